"""Each mistake is what it says; its price is what the runs say; and what a witness saw names it."""

import inspect
import json
import statistics

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ftcourse import InputError, Recipe, Run, evaluate, finetune, load_model
from ftcourse.cli import main
from ftcourse.freezing import audit
from ftcourse.mistakes import (
    Loop,
    Outcome,
    Probe,
    Texts,
    all_kinds,
    code,
    confusion,
    cost,
    diagnose,
    draw_confusion,
    draw_prices,
    ledger,
    mistake,
    mistakes,
    play,
    price_list,
    prices,
    right_program,
)

FEW = {"train": (6, 6), "valid": (2, 2), "test": (3, 3), "fresh": (3, 3)}


def small(kind: type) -> type:
    """The same program on a few examples, for one epoch."""
    return type(kind.__name__, (kind,), {"per_class": FEW, "epochs": 1, "batch": 4, "size": 32})


def test_there_are_enough_and_each_has_a_name_a_sentence_and_code():
    assert len(mistakes()) >= 20
    for name, kind in mistakes().items():
        assert kind.name == name and kind.__doc__.endswith(".") and issubclass(kind, right_program(kind))
        wrong, right = code(name)
        assert wrong != right and "def " in wrong and "def " in right


def test_a_mistake_replaces_few_methods():
    """No mistake is a program of its own: one method, or two where the second says what is served."""
    for name, kind in mistakes().items():
        own = [key for key, value in vars(kind).items() if inspect.isfunction(value)]
        assert 1 <= len(own) <= 2, (name, own)
        assert all(hasattr(Loop, key) for key in own), name


def test_the_right_program_reports_what_evaluate_says():
    loop = small(Probe)(seed=1, full=False)
    outcome = play(loop)
    assert outcome.reported == pytest.approx(evaluate(loop.model, loop.test).accuracy)
    assert outcome.true == pytest.approx(evaluate(loop.model, loop.fresh).accuracy)
    assert diagnose(outcome).name == "none" and not audit(loop.model).problems
    seen = {image.numpy().tobytes() for split in (loop.train, loop.valid, loop.test) for image in split.inputs}
    assert not seen & {image.numpy().tobytes() for image in loop.fresh.inputs}      # the truth is told by others


def test_the_right_programs_step_is_plain_torchs():
    """One step of the loop against the same step written down without it."""
    loop = small(Loop)(seed=0, full=False)
    loop.augment, loop.rate, loop.batch = lambda images: images, lambda step: 1.0, 16
    loop.train, loop.valid, loop.test, loop.fresh = loop.splits()
    loop.model = loop.network()
    plain = load_model("resnet18", loop.train.classes, weights="bundled", size=32, seed=0).train()
    loop.optimizer, loop.done, loop.steps = torch.optim.SGD(loop.model.parameters(), lr=0.1), 0, 1
    rows = torch.arange(16)
    loop.order = lambda: rows
    loop.train_epoch()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    nn.CrossEntropyLoss()(plain(plain.preprocess(loop.train.inputs[rows])), loop.train.labels[rows]).backward()
    nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    optimizer.step()
    for (key, a), b in zip(loop.model.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-5), key


@pytest.mark.parametrize("name", [
    "batchnorm-in-train-mode", "no-eval", "duplicates", "loss-class", "sorted", "blue-first", "features-kept",
    "not-normalised", "no-zero-grad", "random-stem",
])
def test_a_mistake_is_seen_on_a_few_images(name):
    outcome = play(small(mistake(name))(seed=3, full=False))
    assert diagnose(outcome).name == name
    assert json.loads(json.dumps(outcome.evidence)) == outcome.evidence          # it can be stored
    assert bool(outcome.error) == (name == "loss-class") == (outcome.reported is None)


def test_the_same_seed_gives_the_same_outcome():
    first, again = (play(small(Probe)(seed=2, full=False)) for _ in range(2))
    facts = lambda outcome: (outcome.reported, outcome.true, outcome.history, outcome.evidence)
    assert facts(first) == facts(again)


@pytest.fixture(scope="module")
def runs(): return ledger("quick")


def test_the_ledger_is_complete(runs):
    keys = [(run.mistake, run.seed) for run in runs]
    assert len(keys) == len(set(keys))
    for name in all_kinds(): assert len([key for key in keys if key[0] == name]) >= 5, name
    for run in runs: assert 0 <= run.true <= 1 and (run.error or 0 <= run.reported <= 1)


def test_a_price_is_the_paired_difference(runs):
    pick = lambda name: {run.seed: run for run in runs if run.mistake == name}
    flawed, fine = pick("not-normalised"), pick("Loop")
    gaps = np.array([fine[seed].true - flawed[seed].true for seed in sorted(flawed)])
    found = cost("not-normalised", runs)
    assert found.n == len(gaps) and found.price == pytest.approx(gaps.mean())
    assert found.price_interval == pytest.approx(tuple(stats.ttest_1samp(gaps, 0).confidence_interval(0.95)))
    beyond = [(flawed[seed].reported - flawed[seed].true) - (fine[seed].reported - fine[seed].true) for seed in flawed]
    assert found.deception == pytest.approx(statistics.fmean(beyond))


def test_what_must_cost_costs(runs):
    """The contract of the lesson: these bands hold for the stored runs."""
    costs = {found.name: found for found in prices(runs)}
    assert costs["labels-shuffled-away"].price > 0.35
    assert costs["loss-class"].price > 0.35 and costs["loss-class"].error
    assert costs["test-on-train"].price == pytest.approx(0, abs=0.02) and costs["test-on-train"].deception > 0.1
    assert costs["duplicates"].deception > 0.02
    assert list(costs) == sorted(costs, key=lambda name: -costs[name].price)
    table = list(costs.values())
    assert price_list(table).count("\n") == len(costs) + 1 and draw_prices(table)


def test_diagnosis_on_seeds_that_its_limits_were_not_set_on(runs):
    unseen = [run for run in runs if run.seed >= 2]
    counts = confusion(unseen)
    assert sum(counts.values()) == len(unseen)
    hits = sum(n for (true, named), n in counts.items() if true == named)
    assert hits / len(unseen) > 0.9
    assert not [named for true, named in counts if true == "none" and named != "none"]       # no false alarm
    assert draw_confusion(counts)


@pytest.mark.parametrize("recipe, named, why", [
    (Recipe(epochs=1, freeze="none", lr=1e-2), "one-high-rate", "one rate of 0.01"),
    (Recipe(epochs=1, freeze="head", warmup=0.0), "no-warm-up", "full rate"),
    (Recipe(epochs=1, freeze="head", views=1, flip=True), "features-kept", "one view"),
    (Recipe(epochs=1, freeze="head"), "none", "nothing"),
])
def test_a_run_of_finetune_is_diagnosed(recipe, named, why, tiny, tmp_path):
    run = finetune(load_model("resnet18", tiny.classes, weights="bundled", size=32), tiny, recipe, tmp_path / "run")
    assert diagnose(Run.load(run.path)).name == named and why in diagnose(run).why


def test_over_fitting_is_read_from_the_history(tmp_path):
    names = ("epoch", "train_loss", "valid_loss", "valid_accuracy")
    rows = (0, 1.0, 1.0, 0.5), (1, 0.5, 0.8, 0.5), (2, 0.1, 1.2, 0.5)
    history = [dict(zip(names, row, strict=True)) for row in rows]
    run = Run(tmp_path, Recipe(epochs=3), history)
    assert diagnose(run).name == "none" and "over-fits: after epoch 2" in diagnose(run).why


def test_what_cannot_be_diagnosed_or_priced(runs):
    with pytest.raises(InputError, match="a str can't be diagnosed"): diagnose("run")
    with pytest.raises(InputError, match="no mistake 'typo'; there are test-on-train"): cost("typo", runs)
    with pytest.raises(InputError, match="no run of sorted beside a right one"):
        cost("sorted", [Outcome("sorted", 0, 0.5, 0.5)])
    with pytest.raises(InputError, match="no runs of the nightly profile"): ledger("nightly")


def test_texts_go_through_the_same_loop():
    kind = type("Texts", (Texts,), {"per_class": {key: (8, 8) for key in FEW}, "epochs": 1, "batch": 2})
    outcome = play(kind(seed=0, full=False))
    assert outcome.evidence["seen"]["test"]["padding_read"] == 0 and diagnose(outcome).name == "none"


# The command.


def test_the_command_lists_the_prices(capsys, runs):
    assert main(["mistakes"]) == 0
    assert capsys.readouterr().out.strip() == price_list(prices(runs))
    assert main(["mistakes", "--json"]) == 0
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)["mistakes"]} == set(mistakes())


def test_the_command_runs_one(capsys, monkeypatch):
    monkeypatch.setattr(Probe, "per_class", FEW)
    monkeypatch.setattr(Probe, "size", 32)
    assert main(["mistakes", "batchnorm-in-train-mode"]) == 0
    told = capsys.readouterr().out
    assert "\n    for p in self.model.parameters(): p.requires_grad = False\n" in told and "mended by\n" in told
    assert main(["mistakes", "batchnorm-in-train-mode", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mistakes"][0]["n"] == 1 and found["mistakes"][0]["price_interval"] is None
    assert found["stored"][0]["n"] >= 5 and len(found["stored"][0]["price_interval"]) == 2


def test_the_command_given_a_name_that_there_is_not(capsys):
    assert main(["mistakes", "nonsense"]) == 2
    assert "no mistake 'nonsense'" in capsys.readouterr().err
    assert main(["mistakes", "sorted", "--seeds", "0"]) == 2


def test_the_command_diagnoses_a_run(capsys, tiny, tmp_path):
    model = load_model("resnet18", tiny.classes, weights="bundled", size=32)
    finetune(model, tiny, Recipe(epochs=1, freeze="head", warmup=0.0), tmp_path / "run")
    assert main(["diagnose", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("no-warm-up: ")
    assert main(["diagnose", str(tmp_path)]) == 2
