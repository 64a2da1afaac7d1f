"""Each strategy moves what it says and nothing else; adapters leave no trace; a search is complete and goes on."""

import itertools
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from ftcourse import InputError, Recipe, Task, evaluate, load_model, load_task, stages
from ftcourse.models import predict
from ftcourse.strategies import (
    add_lora,
    as_table,
    base_recipe,
    compared,
    draw_strategies,
    finetune_by,
    kept_answers,
    mean_interval,
    merge_lora,
    only_biases,
    search,
    stored_results,
    strategies,
    strategy,
)

SMALL = Recipe(epochs=2, batch_size=32, lr=1e-3)
MOVED = {  # of ResNet-18: the stages whose parameters change
    "linear-probe": ["head"],
    "last-stage": ["layer4", "head"],
    "last-two": ["layer3", "layer4", "head"],
    "gradual": ["layer4", "head"],
    "lora": ["layer1", "layer2", "layer3", "layer4", "head"],
}


def parts(model) -> dict:
    return {s.name: {k: v.clone() for k, v in s.module.named_parameters()} for s in stages(model)}


@pytest.mark.parametrize("name", list(strategies()))
def test_what_a_strategy_moves(name, tiny, tmp_path):
    """Beside the same start, loaded by itself; and what it saved is an ordinary network."""
    weights = "bundled" if strategy(name).pretrained else None
    start = load_model("resnet18", tiny.classes, weights=weights, size=32)
    before = parts(start)
    model, run = finetune_by(name, tiny, base=SMALL, out=tmp_path / "run", weights="bundled", size=32)
    after, everything = parts(model), [stage.name for stage in stages(start)]
    same = {n: all(torch.equal(before[n][k], after[n][k]) for k in before[n]) for n in before}
    assert [n for n in everything if not same[n]] == MOVED.get(name, everything)
    assert model.state_dict().keys() == start.state_dict().keys()
    assert run.info["strategy"] == name
    assert evaluate(run.model(), tiny.test).accuracy == evaluate(model, tiny.test).accuracy
    if name == "bitfit":
        changed = {k for n in everything[:-1] for k in before[n] if not torch.equal(before[n][k], after[n][k])}
        assert changed and all(k.endswith("bias") for k in changed)


@pytest.mark.parametrize("network", ["resnet18", "minilm"])
def test_adapters_begin_at_the_pretrained_network_and_leave_no_trace(network):
    model = load_model(network, 3, weights=None, size=32 if network == "resnet18" else None)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    inputs = images if network == "resnet18" else ["a text", "and another one"]
    keys, plain = model.state_dict().keys(), predict(model, inputs)
    learning = sum(p.numel() for p in stages(model)[-1].module.parameters())
    add_lora(model, rank=4)
    assert torch.allclose(predict(model, inputs), plain, atol=1e-5)
    adapters = {n: p for n, p in model.named_parameters() if p.requires_grad and "lora_" in n}
    count = lambda parameters: sum(p.numel() for p in parameters)
    assert count(p for p in model.parameters() if p.requires_grad) == learning + count(adapters.values())
    with torch.no_grad():
        for p in adapters.values(): p.normal_(0, 0.02)
    changed = predict(model, inputs)
    assert not torch.allclose(changed, plain, atol=1e-3)
    merge_lora(model)
    assert model.state_dict().keys() == keys
    assert torch.allclose(predict(model, inputs), changed, atol=1e-3)


def test_only_biases_are_few():
    model = load_model("minilm", 2, weights=None)
    only_biases(model)
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    head = {id(p) for p in stages(model)[-1].module.parameters()}
    assert all(n.endswith("bias") or id(p) in head for n, p in model.named_parameters() if n in learning)
    assert {"bert.encoder.layer.0.attention.self.query.bias", "classifier.weight"} <= learning


def test_gradual_unfreezes_from_the_top_at_every_length():
    model = load_model("resnet18", 2, weights=None)
    for epochs in range(2, 20):
        plan = strategy("gradual").recipe(model, Recipe(epochs=epochs)).unfreeze
        order = [entry.split(":")[1] for entry in plan]
        assert order == sorted(order, key=["layer4", "layer3", "layer2", "layer1", "stem"].index) and plan
    assert strategy("gradual").recipe(model, Recipe(epochs=20)).unfreeze[-1].endswith("stem")
    with pytest.raises(InputError, match="between 1 and 0"): strategy("gradual").recipe(model, Recipe(epochs=1))


def test_names_that_there_are_not(tiny):
    with pytest.raises(InputError, match="no strategy 'lora2'; there are linear-probe"): finetune_by("lora2", tiny)


def test_kept_answers_are_those_of_the_first_head(cifar):
    images = cifar.test.inputs[:40]
    before = load_model("resnet18", weights="bundled", size=32)
    tuned = load_model("resnet18", 10, weights="bundled", size=32)
    assert kept_answers(tuned, before, images) == 1.0          # another head, the same backbone
    strange = load_model("resnet18", 10, weights=None, size=32)
    assert kept_answers(strange, before, images) < 0.2
    assert torch.equal(before.fc.weight, load_model("resnet18", weights="bundled", size=32).fc.weight)


def test_nearest_texts_as_scikit_learn_finds_them():
    texts = load_task("reviews").test.inputs[:50]
    before, other = load_model("minilm", 2), load_model("minilm", 2, weights=None)
    assert kept_answers(before, before, texts) == 1.0

    def nearest(model):
        vectors = []
        for text in texts:                                     # alone: without padding
            batch = model.eval().preprocess([text])
            with torch.no_grad(): vectors.append(model.bert(**batch).last_hidden_state[0].mean(0).numpy())
        return NearestNeighbors(metric="cosine").fit(vectors).kneighbors(n_neighbors=1, return_distance=False)[:, 0]

    assert kept_answers(other, before, texts) == pytest.approx((nearest(other) == nearest(before)).mean(), abs=0.021)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_interval_of_a_mean_is_students(n):
    values = np.random.default_rng(n).normal(size=n)
    mean, interval = mean_interval(values.tolist())
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval(0.95)))


def test_one_number_has_no_interval(): assert mean_interval([0.5]) == (0.5, (-math.inf, math.inf))


# The search.

PROBE = Recipe(epochs=2, freeze="head", batch_size=32)
HERE = {"weights": None, "size": 32, "base": PROBE}


def test_a_grid_is_tried_whole(tiny, tmp_path):
    space = {"lr": [1e-3, 1e-2], "label_smoothing": [0.0, 0.1]}
    found = search(tiny, space, tmp_path, sampler="grid", trials=9, prune=False, **HERE)
    tried = {(row["lr"], row["label_smoothing"]) for row in found.rows}
    assert tried == set(itertools.product([1e-3, 1e-2], [0.0, 0.1]))
    assert found.rows[0]["lr"] == PROBE.lr and found.rows[0]["label_smoothing"] == 0       # the base comes first
    assert found.best["accuracy"] == max(row["accuracy"] for row in found.rows) and found.gain >= 0
    assert found.recipe.lr == found.best["lr"] and found.recipe.epochs == 2
    assert not list(tmp_path.rglob("*.safetensors"))                                      # histories, no networks
    assert "trials" in repr(found) and found.plot()


def test_a_trial_is_an_ordinary_run(tiny, tmp_path):
    from ftcourse import Run, finetune

    found = search(tiny, {"lr": (1e-4, 1e-1)}, tmp_path / "study", sampler="random", trials=3, prune=False, **HERE)
    row = found.rows[-1]
    run = Run.load(tmp_path / "study" / f"trial-{row['number']}")
    again = finetune(load_model("resnet18", tiny.classes, weights=None, size=32), tiny, run.recipe, tmp_path / "again")
    assert again.best["valid_accuracy"] == row["accuracy"] and 1e-4 <= row["lr"] <= 1e-1
    assert sum(found.importance.values()) == pytest.approx(1, abs=0.01) or not found.importance


KILLED = """
from pathlib import Path
from ftcourse import Recipe, Task, load_task
from ftcourse.strategies import search
task = load_task("cifar10")
few = Task(**{**vars(task), "train": task.train.per_class(6), "valid": task.valid.per_class(2)})
base = Recipe(epochs=2, freeze="head", batch_size=32)
search(few, {"lr": (1e-4, 1e-1)}, Path("study"), trials=50, weights=None, size=32, base=base)
"""


def test_a_killed_search_goes_on(tiny, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path)
    while not (tmp_path / "study" / "trial-3").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = search(tiny, {"lr": (1e-4, 1e-1)}, tmp_path / "study", trials=6, **HERE)
    assert len(found.rows) == 6 and found.rows[0]["lr"] == PROBE.lr
    assert search(tiny, {"lr": (1e-4, 1e-1)}, tmp_path / "study", trials=6, **HERE).rows == found.rows


def test_processes_share_the_trials(tiny, tmp_path):
    found = search(tiny, {"lr": (1e-4, 1e-1)}, tmp_path, trials=5, processes=2, **HERE)
    assert 5 <= len(found.rows) <= 6                           # the last two may end at the same time
    assert len({row["number"] for row in found.rows}) == len(found.rows) == len({row["lr"] for row in found.rows})


@pytest.mark.parametrize("space, sampler, message", [
    ({"rate": [1]}, "tpe", "no field rate"),
    ({}, "tpe", "empty"),
    ({"lr": [1e-3]}, "bayes", "choose tpe, random or grid"),
    ({"lr": (1e-4, 1e-1)}, "grid", "a grid needs lists"),
    ({"lr": (1e-1, 1e-4)}, "tpe", "a range is"),
])
def test_a_space_that_cannot_be_searched(space, sampler, message, tiny, tmp_path):
    with pytest.raises(InputError, match=message): search(tiny, space, tmp_path / "study", sampler=sampler, **HERE)
    assert not (tmp_path / "study").exists()


# The stored results.


def test_the_stored_table_is_complete():
    """Every strategy with five seeds where the lesson draws from it; no row twice."""
    rows = stored_results("quick")
    keys = [(r["task"], r["per_class"], r["strategy"], r["seed"]) for r in rows]
    assert len(keys) == len(set(keys))
    every = itertools.product(["cifar10", "reviews"], [10, 50, 250], strategies())
    curve = itertools.product(["cifar10"], [None], ["linear-probe", "layer-decay", "scratch"])
    for case in [*every, *curve]: assert len([key for key in keys if key[:3] == case]) >= 5, case
    assert all("commit" in row["made"] for row in rows)


def accuracies(rows, name: str) -> list[float]:
    """Test accuracies of a strategy on ten images a class, in the order of the seeds."""
    mine = [r for r in rows if (r["task"], r["per_class"], r["strategy"]) == ("cifar10", 10, name)]
    return [r["test"] for r in sorted(mine, key=lambda r: r["seed"])]


def test_the_table_says_what_the_rows_say():
    rows = stored_results("quick")
    table = {row["strategy"]: row for row in compared(rows, "cifar10", 10)}
    gaps = np.array(accuracies(rows, "full")) - np.array(accuracies(rows, "linear-probe"))
    assert table["full"]["difference"][0] == pytest.approx(gaps.mean())
    assert table["full"]["difference"][1] == pytest.approx(tuple(stats.ttest_1samp(gaps, 0).confidence_interval(0.95)))
    assert table["linear-probe"]["difference"] is None and table["linear-probe"]["kept"] == 1
    assert as_table(list(table.values())).count("\n") == len(table) + 1
    assert draw_strategies(list(table.values()), {"full": 0.5})


def test_a_run_falls_where_the_stored_ones_fall(cifar, tmp_path):
    """The lesson's contract: a linear probe on ten images a class, made anew, lies in the band of the stored seeds."""
    stored = accuracies(stored_results("quick"), "linear-probe")
    splits = {"train": cifar.train.per_class(10), "valid": cifar.valid.per_class(10), "test": cifar.test.per_class(50)}
    few, loading = Task(**{**vars(cifar), **splits}), {"weights": "bundled", "size": 64}
    base = base_recipe(load_model("resnet18", **loading), 8)
    model, _ = finetune_by("linear-probe", few, base=base, out=tmp_path / "run", **loading)
    assert min(stored) - 0.03 < evaluate(model, few.test).accuracy < max(stored) + 0.03
