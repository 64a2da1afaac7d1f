"""What README and lesson 7 say of a stored result is what the result says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ftcourse.models import load_model
from ftcourse.training import Recipe, default_recipe

ROOT = Path(__file__).parents[1]


def stored(task: str) -> dict:
    return json.loads((ROOT / "benchmarks" / f"sentiment-{task}.json").read_text())


def test_the_stored_run_used_the_default_recipe():
    """But for the size of the pieces: a batch of 32 sentences is one piece under either limit."""
    default = default_recipe(load_model("minilm", 2, weights=None).preprocess)
    assert replace(Recipe(**stored("reviews")["recipe"]), max_tokens=default.max_tokens) == default


@pytest.mark.parametrize("place", ["README.md", "nbs/07_sentiment.ipynb"])
@pytest.mark.parametrize("task", ["reviews", "imdb"])
def test_the_text_quotes_the_stored_run(place, task):
    text, result = (ROOT / place).read_text(), stored(task)
    for number in (*result["accuracy"].values(), *result["interval"]["minilm"], *result["difference_interval"]):
        assert f"{number:.3f}" in text
    assert f"{result['difference']:.3f}" in text and f"{result['examples']['test']:,}" in text


def test_the_network_beats_counting_words_and_zero_is_outside_the_interval():
    result = stored("reviews")
    assert result["accuracy"]["minilm"] >= 0.82 and result["difference_interval"][0] > 0


def test_on_long_reviews_too():
    result = stored("imdb")
    assert result["accuracy"]["minilm"] >= 0.90 and result["difference_interval"][0] > 0
    assert result["examples"]["test"] > 4900 and len(result["epochs"]) == result["recipe"]["epochs"]


def test_batches_of_like_length_read_fewer_tokens_in_less_time():
    padding = stored("reviews")["padding"]
    ways = padding["ways"]
    tokens = {name: way["tokens"] for name, way in ways.items()}
    assert padding["real_tokens"] <= tokens["like length"] < tokens["shuffled"] < tokens["limit"]
    assert max(ways["like length"]["seconds"]) < min(ways["shuffled"]["seconds"])


def test_the_readme_quotes_the_stored_speed_of_grading():
    result = json.loads((ROOT / "benchmarks" / "grading.json").read_text())
    text = (ROOT / "README.md").read_text()
    for name in ("nbgrader", "otter"):
        assert result[name]["times_ours"] >= 20
        assert f"| {result[name]['times_ours']:.0f} |" in text and result[name]["version"] in text
    assert result["many"]["seconds"] < 300 and f"{result['many']['seconds']:.0f} s in two cages" in text


def test_the_readme_quotes_the_tables_of_strategies_and_mistakes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.course import summary

    lines, readme = summary("quick").splitlines(), (ROOT / "README.md").read_text().splitlines()
    assert len(lines) > 40 and set(lines) <= set(readme)
