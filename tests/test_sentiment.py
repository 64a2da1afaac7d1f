"""Lesson 7's claims: its own functions, taken from the notebook, and the facts about MiniLM on which its text rests."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch.nn import functional as F

from ftcourse.data import Split, load_task, windows
from ftcourse.evaluation import compare, evaluate
from ftcourse.freezing import audit, freeze
from ftcourse.models import load_model, predict, stages
from ftcourse.training import Recipe, finetune

pytestmark = pytest.mark.usefixtures("one_thread")
LESSON = Path(__file__).parents[1] / "nbs" / "07_sentiment.ipynb"


@pytest.fixture(scope="module")
def lesson():
    """The imports and functions of the notebook, without what it runs."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    kept = [node for tree in trees for node in tree.body if isinstance(node, wanted)]
    found = {}
    exec(compile(ast.Module(kept, type_ignores=[]), str(LESSON), "exec"), found)  # noqa: S102
    return found


@pytest.fixture(scope="module")
def reviews():
    return load_task("reviews")


@pytest.fixture(scope="module")
def few(reviews):
    """100 sentences to learn from, 20 to choose by, 60 to test on."""
    return replace(
        reviews,
        train=reviews.train.per_class(50),
        valid=reviews.valid.per_class(10),
        test=reviews.test.per_class(30),
    )


def reader(classes, **options):
    return load_model("minilm", classes=classes, size=64, **options)


def test_the_baselines_report_says_what_scikit_learn_says(lesson, reviews, few):
    test = reviews.test.per_class(100)
    counter = lesson["count_words"](few.train)
    report = lesson["report_of"](counter, test)
    guess, probabilities = counter.predict(test.inputs), counter.predict_proba(test.inputs)
    assert report.accuracy == accuracy_score(test.labels, guess)
    assert report.loss == pytest.approx(log_loss(test.labels, probabilities), rel=1e-5)
    assert torch.allclose(report.probabilities.double(), torch.from_numpy(probabilities), atol=1e-6)
    assert compare(report, report).difference == 0


def test_more_sentences_help_the_baseline(lesson, reviews, few):
    test = reviews.test
    splits = few.train, reviews.train.per_class(1000)
    small, large = (lesson["report_of"](lesson["count_words"](split), test) for split in splits)
    assert compare(small, large).interval[0] > 0.05 and large.accuracy > 0.69


def test_leaving_one_word_out_finds_a_planted_word(lesson):
    """A judge that knows one word: that word carries the whole verdict, wherever it stands, and no other any."""
    judge = lambda texts: torch.tensor([3.0 * ("superb" in text.split()) - 1 for text in texts])
    for text in ("superb work", "a slow and superb film", "it is superb"):
        words, moved = lesson["word_weights"](judge, text)
        assert words == text.split()
        assert moved == [3.0 if word == "superb" else 0.0 for word in words]
    assert lesson["word_weights"](judge, "superb , superb !")[1] == [0.0] * 4  # either is enough
    assert lesson["without_each_word"]("a b  c") == (["a", "b", "c"], ["b c", "a c", "a b"])


def test_leaving_one_word_out_finds_the_planted_word_in_a_trained_network(lesson, few):
    """Train MiniLM on sentences that differ in one word only; then that word must weigh most."""
    frames = [f"{a} {b} was {{}} today" for a in ("the", "this", "that") for b in ("film", "book", "song", "meal")]
    texts = [frame.format(word) for frame in frames for word in ("dreadful", "superb")]
    split = Split(texts, torch.arange(len(texts)) % 2, few.classes)
    model = reader(few.classes)
    task = replace(few, train=split, valid=split, test=split)
    finetune(model, task, Recipe(epochs=3, freeze="layer.3", batch_size=8, lr=2e-4))

    def odds(given):
        logits = predict(model, given)
        return logits[:, 1] - logits[:, 0]

    words, moved = lesson["word_weights"](odds, "a trip was superb again")
    assert words[max(range(len(words)), key=lambda i: moved[i])] == "superb"
    words, moved = lesson["word_weights"](odds, "a trip was dreadful again")
    assert words[min(range(len(words)), key=lambda i: moved[i])] == "dreadful"


def test_the_mean_of_tokens_is_that_of_one_text_at_a_time(lesson, few):
    model, texts = reader(few.classes), few.train.inputs[:7]
    found = lesson["mean_of_tokens"](model, texts)
    with torch.no_grad():
        alone = torch.stack([model.bert(**model.preprocess([t])).last_hidden_state[0].mean(0) for t in texts])
    assert torch.allclose(found, alone, atol=1e-5)


def test_the_control_has_the_same_shape_and_other_numbers(few):
    model, scratch = reader(few.classes), reader(few.classes, weights=None)
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in scratch.named_parameters()}
    assert scratch.preprocess.max_length == model.preprocess.max_length
    pairs = zip(model.bert.parameters(), scratch.bert.parameters(), strict=True)
    assert not any(torch.equal(p, q) for p, q in pairs if p.ndim > 1)


def test_half_of_the_parameters_are_in_the_first_stage(few):
    model = reader(few.classes)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert count(stages(model)[0].module) > count(model) / 2


def test_no_running_statistics_but_dropout(few):
    """What lesson 3 says of a BERT: in train mode a loose frozen stage keeps its bits and is no fixed function."""
    model = reader(few.classes)
    for stage in stages(model)[:-1]:
        stage.module.requires_grad_(False)
    model.train()
    before, x = audit(model), model.preprocess(few.train.inputs[:8])
    with torch.no_grad():
        once, twice = (stages(model)[0].module(x).hidden for _ in range(2))
    assert not torch.equal(once, twice) and audit(model).frozen == before.frozen
    assert len(before.problems) == 7 and all("Dropout" in text for text in before.problems)
    freeze(model, until="head").train()
    with torch.no_grad():
        once, twice = (stages(model)[0].module(x).hidden for _ in range(2))
    assert torch.equal(once, twice) and audit(model).problems == []


def test_grouping_by_length_reads_fewer_tokens(reviews):
    ids = reader(reviews.classes, weights=None).preprocess.prepare(reviews.train.inputs)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
    read = lambda batches: sum(len(rows) * int(ids.lengths[rows].max()) for rows in batches)
    grouped, shuffled, widest = read(windows(order, ids.lengths, 32)), read(order.split(32)), len(ids) * 64
    assert len(ids.ids) < grouped < 1.1 * len(ids.ids) < shuffled < widest
    assert (ids.lengths == 64).float().mean() < 0.01  # next to nothing is cut at 64


def test_worst_shows_the_sentences(few):
    report = evaluate(reader(few.classes), few.test)
    for error in report.worst(5, few.test):
        assert error["input"] == few.test.inputs[error["index"]] and error["name"] == few.test.names[error["index"]]
        assert error["true"] != error["predicted"]
    assert F.cross_entropy(report.logits, report.labels) == pytest.approx(report.loss, rel=1e-4)
