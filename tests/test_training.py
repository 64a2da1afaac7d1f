"""The training loop against a plain PyTorch loop; kept features; state, kill and resume; what goes wrong."""

import copy
import json
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import STAGED

from ftcourse import training
from ftcourse.assets import InputError
from ftcourse.evaluation import evaluate
from ftcourse.freezing import audit, freeze, param_groups
from ftcourse.models import load_model, predict, stages
from ftcourse.training import (
    Diverged,
    Recipe,
    Run,
    Watch,
    _generator,
    _SmallMaps,
    find_lr,
    finetune,
    lr_factor,
    recipe_from,
)


def network(name="mobilenet_v2", seed=0, size=32):
    """Random weights: these tests are about arithmetic, not about accuracy."""
    return load_model(name, classes=10, weights=None, size=size, seed=seed)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def distance(a, b):
    """Largest difference of two networks' parameters, relative to the largest parameter of its tensor."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((x - y).detach().abs().max() / y.detach().abs().max().clamp_min(1e-3)) for x, y in pairs)


def plain_loop(model, task, recipe):
    """What `finetune` should compute, written plainly: no halves, nothing kept, one piece a batch; no augmentation."""
    groups = param_groups(model, recipe.lr, weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay)
    peaks = [g["lr"] for g in groups]
    optimizer = (
        torch.optim.AdamW(groups, betas=(recipe.momentum, 0.999))
        if recipe.optimizer == "adamw"
        else torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=True)
    )
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    head = {id(p) for p in stages(model)[-1].module.parameters()}
    step, steps = 0, recipe.epochs * math.ceil(len(task.train) / recipe.batch_size)
    for epoch in range(recipe.epochs):
        model.train()
        order = torch.randperm(len(task.train), generator=_generator("cpu", recipe.seed, 3, epoch))
        for index in order.split(recipe.batch_size):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * lr_factor(step, steps, recipe.warmup, recipe.schedule)
            logits = model(model.preprocess(task.train.inputs[index]))
            loss = F.cross_entropy(logits, task.train.labels[index], label_smoothing=recipe.label_smoothing)
            for n, p in model.named_parameters():
                if recipe.l2sp and p.requires_grad and id(p) not in head:
                    loss = loss + recipe.l2sp * ((p - start[n]) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], recipe.clip)
            optimizer.step()
            step += 1
    return model


def no_dropout(model):
    """Dropout draws in another order when prefix and suffix run apart; without it, the arithmetic can be compared."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


# ---- the recipe


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(epochs=0), "epochs=0"),
        (dict(epochs=1.5), "whole number"),
        (dict(lr=0), "lr"),
        (dict(lr=float("nan")), "lr"),
        (dict(lr=math.inf), "lr"),
        (dict(warmup=1.0), "warmup"),
        (dict(schedule="step"), "cosine, linear, constant"),
        (dict(unfreeze=("last",)), "EPOCH:STAGE"),
        (dict(unfreeze=("5:last",)), "between 1 and 4"),
        (dict(unfreeze=("3:last", "2:layer1")), "rise"),
        (dict(views=2), "without augmentation"),
        (dict(views=2, flip=True, cutmix=1.0), "choose one"),
        (dict(batch_size=True), "not a number"),
        (dict(lr="1"), "not a number"),
    ],
)
def test_recipe_refuses(wrong, words):
    with pytest.raises(InputError, match=words) as caught:
        Recipe(**wrong)
    assert "\n" not in str(caught.value)


def test_recipe_survives_json():
    recipe = Recipe(epochs=4, unfreeze=("2:last",), freeze="head", lr=3e-4)
    assert recipe_from(json.loads(json.dumps(asdict(recipe)))) == recipe
    with pytest.raises(InputError, match="no field learning_rate"):
        recipe_from({"learning_rate": 1})


def test_every_field_says_what_it_is():
    import inspect

    import ftcourse.training

    source = inspect.getsource(ftcourse.training.Recipe)
    for name in Recipe.__dataclass_fields__:
        after = source.split(f"    {name}: ", 1)[1].split("\n", 1)[1].lstrip()
        assert after.startswith('"""'), f"{name} has no description"


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9), schedule=st.sampled_from(["cosine", "linear", "constant"]))
@settings(max_examples=60, deadline=None)
def test_schedule_rises_then_never_rises(steps, warmup, schedule):
    factors = [lr_factor(i, steps, warmup, schedule) for i in range(steps)]
    top = round(warmup * steps)
    assert all(0 < f <= 1 for f in factors)
    assert all(a < b for a, b in zip(factors[:top], factors[1 : top + 1], strict=False))
    assert all(a >= b for a, b in zip(factors[top:], factors[top + 1 :], strict=False))


def test_cosine_is_torchs_cosine():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for step in range(40):
        assert lr_factor(step, 40, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        oracle.step()


# ---- the arithmetic


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=2, batch_size=20, lr=1e-2, freeze="head"),
        Recipe(epochs=2, batch_size=16, lr=1e-2, freeze="last", label_smoothing=0.1, layer_decay=0.5, optimizer="sgd"),
        Recipe(
            epochs=1, batch_size=20, lr=1e-2, freeze="none", clip=0.5, warmup=0.0, schedule="linear", optimizer="sgd"
        ),
        Recipe(epochs=2, batch_size=20, lr=1e-2, freeze="last", l2sp=0.05, clip=0, optimizer="sgd"),
    ],
    ids=["head", "last", "all", "l2sp"],
)
def test_finetune_is_the_plain_loop(tiny, tmp_path, recipe, monkeypatch):
    monkeypatch.setattr(
        "ftcourse.training._goodness", lambda record: record["epoch"]
    )  # the last epoch is what comes back
    ours, theirs = no_dropout(network("resnet18")), no_dropout(network("resnet18"))
    finetune(ours, tiny, recipe, out=tmp_path / "run")
    plain_loop(freeze(theirs, until=recipe.freeze), tiny, recipe)
    assert (
        distance(ours, theirs) < 2e-3
    )  # AdamW's first steps are sign-like and enlarge the last bits, so only the head takes it
    assert distance(ours, network("resnet18")) > 1e-2  # and the comparison would notice a network that did not learn


@pytest.mark.parametrize("micro", [1, 7, 16])
def test_pieces_of_a_batch_give_the_step_of_the_batch(tiny, tmp_path, micro):
    """60 examples in batches of 32: the last window has 28, in pieces of 7, or 16 and 12. Each counts the same."""
    nets = []
    for size in (0, micro):
        net = no_dropout(network("convnext_tiny"))  # no BatchNorm: with it, a piece would have statistics of its own
        finetune(
            net,
            tiny,
            Recipe(epochs=1, batch_size=32, micro_batch=size, freeze="head", keep_gb=0, clip=0.1),
            out=tmp_path / f"{size}",
        )
        nets.append(net)
    assert distance(*nets) < 1e-3


@pytest.mark.parametrize(
    "name, until",
    [
        ("mobilenet_v2", "last"),
        ("mobilenet_v2", "head"),
        ("resnet18", "layer3"),
        ("vit_b_16", "last"),
        ("convnext_tiny", "layer4"),
        ("efficientnet_b0", "last"),
    ],
)
def test_keeping_the_prefix_changes_nothing(tiny, tmp_path, name, until):
    """Tolerance 1e-4 of the largest weight: a convolution over 64 images may add in another order than one over 20.

    SGD, because AdamW's first steps are sign-like: where a gradient is nearly 0, its last bits would decide."""
    nets = []
    for keep in (2.0, 0.0):
        net = network(name)
        run = finetune(
            net,
            tiny,
            Recipe(epochs=2, batch_size=20, freeze=until, keep_gb=keep, optimizer="sgd", lr=1e-2),
            out=tmp_path / f"{keep}",
        )
        nets.append((net, run))
    assert distance(nets[0][0], nets[1][0]) < 1e-4
    for a, b in zip(nets[0][1].history, nets[1][1].history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)


def test_kept_features_are_not_computed_again(tiny, tmp_path, monkeypatch):
    calls = []
    net = freeze(network(), until="last")
    net.features[0].register_forward_hook(lambda module, inputs, out: calls.append(len(inputs[0])))
    finetune(net, tiny, Recipe(epochs=5, batch_size=20), out=tmp_path / "kept")
    assert sum(calls) == len(tiny.train) + len(tiny.valid) + 4  # and two images each to measure what keeping needs
    calls.clear()
    finetune(net, tiny, Recipe(epochs=5, batch_size=20, flip=True), out=tmp_path / "anew")
    assert sum(calls) == 5 * len(tiny.train) + len(tiny.valid) + 2


def test_an_unfreezing_plan_runs_what_stays_frozen_once(tiny, tmp_path, monkeypatch):

    seen, original = [], training._through_prefix
    monkeypatch.setattr(
        training, "_through_prefix", lambda phase, images, *a: seen.append(len(images)) or original(phase, images, *a)
    )
    plan = Recipe(epochs=3, batch_size=20, freeze="head", unfreeze=("1:last", "2:layer6"), optimizer="sgd", lr=1e-2)
    nets = []
    for keep in (2.0, 0.0):
        nets.append(network())
        finetune(nets[-1], tiny, replace(plan, keep_gb=keep), out=tmp_path / f"{keep}")
        if keep:
            assert sum(seen) == len(tiny.train) + len(tiny.valid) + 4
    assert distance(*nets) < 1e-4


def test_too_little_memory_keeps_in_a_file_and_changes_nothing(tiny, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    nets = []
    for name, keep in (("memory", 2.0), ("file", 1e-6)):
        nets.append(network())
        finetune(nets[-1], tiny, Recipe(epochs=2, freeze="last", keep_gb=keep), out=tmp_path / name)
    said = capfd.readouterr().err
    assert "more than keep_gb=1e-06; it is kept in a file in" in said and same(*nets)
    assert not list((tmp_path / "cache" / "kept").iterdir())


def test_too_little_disk_is_said_and_trains_all_the_same(tiny, tmp_path, capfd, monkeypatch):

    monkeypatch.setattr(training.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    finetune(network(), tiny, Recipe(epochs=1, freeze="last", keep_gb=1e-6), out=tmp_path / "run")
    assert "computed anew" in capfd.readouterr().err


def test_views_draw_from_fixed_versions(tiny, tmp_path):
    runs = [
        finetune(network(), tiny, Recipe(epochs=2, freeze="last", views=3, flip=True, crop=4), out=tmp_path / f"{i}")
        for i in range(2)
    ]
    assert [r["train_loss"] for r in runs[0].history] == [r["train_loss"] for r in runs[1].history]


def test_moving_average_is_the_average(tiny, tmp_path, monkeypatch):
    """One batch an epoch; the average after steps w1, w2 at decay d is d w1 + (1 - d) w2."""
    monkeypatch.setattr(
        "ftcourse.training._goodness", lambda record: record["epoch"]
    )  # the last epoch is what comes back
    plain = Recipe(epochs=2, batch_size=64, freeze="head", schedule="constant", warmup=0, lr=1e-2)
    weights = {}
    for name, recipe in {"w1": replace(plain, epochs=1), "w2": plain, "mean": replace(plain, ema=0.9)}.items():
        net = network("resnet18")
        finetune(net, tiny, recipe, out=tmp_path / name)
        weights[name] = net.fc.weight.detach()
    assert torch.allclose(weights["mean"], 0.9 * weights["w1"] + 0.1 * weights["w2"], atol=1e-6)
    assert not torch.allclose(weights["w1"], weights["w2"], atol=1e-3)


# ---- frozen is frozen


@pytest.mark.parametrize("name", STAGED)
def test_frozen_stages_stand_still(tiny, tmp_path, name):
    net = freeze(network(name), until="last")
    before = audit(net)
    finetune(net, tiny, Recipe(epochs=1, batch_size=20, flip=True), out=tmp_path / "run")
    after = audit(net)
    assert before.frozen and after.frozen == before.frozen
    assert after.learning != before.learning


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_a_prefix_let_loose_is_seen_to_move(tiny, tmp_path, name, capfd):
    """Undo the hold as careless code would: the stages move, the audit sees it, and nothing of them is kept."""
    net = freeze(network(name), until="last")
    for module in net.modules():
        module.__dict__.pop("train", None)
    before = audit(net).frozen
    net.train()
    run = finetune(net, tiny, Recipe(epochs=1, batch_size=20), out=tmp_path / "run")
    assert "modules in train mode" in capfd.readouterr().err and run.history
    assert audit(net).frozen != before


# ---- phases, stopping


def test_unfreezing_over_epochs(tiny, tmp_path):
    net = network("resnet18")
    run = finetune(net, tiny, Recipe(epochs=4, freeze="head", unfreeze=("1:layer4", "3:layer2")), out=tmp_path / "run")
    assert [r["phase"] for r in run.history] == ["head", "layer4", "layer4", "layer2"]
    sizes = [r["trainable"] for r in run.history]
    assert sizes[0] < sizes[1] == sizes[2] < sizes[3] < run.info["parameters"]


def test_patience_ends_a_phase(tiny, tmp_path, capfd):
    net = network()
    run = finetune(net, tiny, Recipe(epochs=30, freeze="head", lr=1e-9, patience=2), out=tmp_path / "run")
    assert len(run.history) <= 6
    assert "2 epochs without improvement" in capfd.readouterr().err


def test_best_weights_come_back(tiny, tmp_path):
    net = network()
    run = finetune(net, tiny, Recipe(epochs=4, freeze="none", lr=3e-2, batch_size=20), out=tmp_path / "run")
    accuracy = float((predict(net, tiny.valid.inputs).argmax(1) == tiny.valid.labels).float().mean())
    assert accuracy == pytest.approx(run.best["valid_accuracy"]) == max(r["valid_accuracy"] for r in run.history)
    assert same(run.model(), net)


def test_finetune_leaves_the_global_random_state_alone(tiny, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finetune(network(), tiny, Recipe(epochs=1, freeze="head", randaugment=1, flip=True), out=tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


def test_mixing_trains(tiny, tmp_path):
    run = finetune(
        network(),
        tiny,
        Recipe(epochs=1, freeze="last", mixup=0.4, cutmix=1.0, colour=0.2, crop=4),
        out=tmp_path / "run",
    )
    assert math.isfinite(run.history[0]["train_loss"])


def test_two_precisions_in_one_process(tiny, tmp_path):
    for precision in ("bf16", "fp32"):
        finetune(network(), tiny, Recipe(epochs=1, freeze="head", precision=precision), out=tmp_path / precision)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="fp16 needs a GPU"):
            finetune(network(), tiny, Recipe(epochs=1, precision="fp16"), out=tmp_path / "fp16")


# ---- what goes wrong


def test_a_loss_that_is_not_finite_stops_and_keeps_the_best(tiny, tmp_path):
    """The rate grows in the second epoch's warm-up until the loss explodes; the first epoch's weights must survive."""
    recipe = Recipe(
        epochs=40, batch_size=20, optimizer="sgd", lr=1e18, clip=0, warmup=0.97, freeze="head", layer_decay=1.0
    )
    net = network()
    with pytest.raises(Diverged, match="the loss became (inf|nan) in epoch .*lower lr"):
        finetune(net, tiny, recipe, out=tmp_path / "run")
    if (tmp_path / "run" / "history.jsonl").read_text():
        run = Run.load(tmp_path / "run")
        assert run.info["status"] == "diverged" and same(run.model(), net)
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


def test_refusals(tiny, tmp_path):
    finetune(network(), tiny, Recipe(epochs=1, freeze="head"), out=tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run"):
        finetune(network(), tiny, Recipe(epochs=1), out=tmp_path / "run")
    with pytest.raises(InputError, match="is complete"):
        finetune(network(), tiny, Recipe(epochs=1, freeze="head"), out=tmp_path / "run", resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match="not empty"):
        finetune(network(), tiny, Recipe(epochs=1), out=tmp_path / "full")
    with pytest.raises(InputError, match="3 classes and the task cifar10 has 10"):
        finetune(load_model("resnet18", classes=3, weights=None, size=32), tiny, Recipe(epochs=1), out=tmp_path / "n")
    with pytest.raises(InputError, match="no stage 'layer9'"):
        finetune(network(), tiny, Recipe(epochs=1, freeze="layer9"), out=tmp_path / "s")
    with pytest.raises(InputError, match="is not the folder of a run"):
        Run.load(tmp_path / "full")


def test_a_full_disk_leaves_no_half_file(tiny, tmp_path, monkeypatch):
    from test_models import full

    calls = []
    monkeypatch.setattr(safetensors.torch, "save_file", lambda *args: calls.append(args) or full(*args))
    with pytest.raises(OSError, match="No space left"):
        finetune(network(), tiny, Recipe(epochs=2, freeze="head"), out=tmp_path / "run")
    assert calls and not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".") or "state" in p.name]


@pytest.mark.parametrize("best", [0, 1, 2])
def test_a_state_holds_the_best_weights_once(best, tiny, tmp_path, monkeypatch):
    """Beside the newest weights only where those are others; who reads the run that was cut off gets the best."""
    monkeypatch.setattr(training, "_goodness", lambda record: -abs(record["epoch"] - best))
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), tiny, Recipe(epochs=4, freeze="head", lr=1e-2), out=tmp_path, watch=Interrupting(2))
    with safetensors.safe_open(tmp_path / "state.safetensors", "pt") as file: names = list(file.keys())
    assert any(name.startswith("best/") for name in names) == (best != 2)
    tensors, _ = training._load_state(tmp_path / "state.safetensors")
    newest, kept = tensors["model/classifier.1.weight"], tensors["best/classifier.1.weight"]
    assert torch.equal(newest, kept) == (best == 2)
    assert torch.equal(Run.load(tmp_path).model().classifier[1].weight, kept)


class InterruptingAStep(Watch):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, at): self.left = at

    def step(self, loss, groups):
        self.left -= 1
        if not self.left: raise KeyboardInterrupt


@pytest.mark.parametrize("between, epochs", [(0, 3), (1e9, 1)])
def test_a_state_is_written_no_more_often_than_it_pays(between, epochs, tiny, tmp_path, monkeypatch, capsys):
    """What is on disk when it is cut off is of one piece, is what the message says, and goes on to the same end."""
    monkeypatch.setattr(training, "_BETWEEN", between)
    recipe = Recipe(epochs=5, freeze="head", batch_size=16, lr=1e-2)
    whole, cut = network(seed=1), network(seed=1)
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    steps = -(-len(tiny.train) // 16)
    with pytest.raises(KeyboardInterrupt):
        finetune(cut, tiny, recipe, out=tmp_path / "cut", watch=InterruptingAStep(3 * steps + 1))
    assert f"{epochs} epochs are kept" in capsys.readouterr().err
    run = Run.load(tmp_path / "cut")
    assert len(run.history) == epochs == training._load_state(run.path / "state.safetensors")[1]["next_epoch"]
    resumed = network(seed=1)
    again = finetune(resumed, tiny, recipe, out=tmp_path / "cut", resume=True)
    assert len(again.history) == 5 and same(whole, resumed)


def test_what_is_kept_counts_the_epochs_that_ran(tiny, tmp_path, monkeypatch, capsys):
    """A phase that patience ended early has run fewer than it was given."""
    monkeypatch.setattr(training, "_goodness", lambda record: -record["epoch"])   # the first stays the best
    monkeypatch.setattr(training, "_BETWEEN", 0)
    recipe = Recipe(epochs=12, freeze="head", unfreeze=("10:last",), patience=2)
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), tiny, recipe, out=tmp_path, watch=Interrupting(10))
    assert "4 epochs are kept" in capsys.readouterr().err and len(Run.load(tmp_path).history) == 4


def test_ctrl_c_after_the_last_epoch_keeps_it(tiny, tmp_path):
    whole, cut, resumed = (network(seed=1) for _ in range(3))
    recipe = Recipe(epochs=2, freeze="head")
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        finetune(cut, tiny, recipe, out=tmp_path / "cut", watch=Interrupting(1))
    assert len(Run.load(tmp_path / "cut").history) == 2
    run = finetune(resumed, tiny, recipe, out=tmp_path / "cut", resume=True)
    assert run.info["status"] == "complete" and len(run.history) == 2 and same(whole, resumed)


def test_find_lr(tiny):
    net = freeze(network(), until="head")
    before = copy.deepcopy(net)
    curve = find_lr(net, tiny, Recipe(batch_size=20), steps=40)
    assert same(net, before) and 1e-6 < curve.suggestion < 1 and len(curve.lrs) == len(curve.losses)
    curve.plot()


# ---- killed and resumed

SCRIPT = """
import sys, os
import torch
from ftcourse.data import load_task, Task
from ftcourse.models import load_model
from ftcourse.training import Recipe, finetune
import json
cifar = load_task("cifar10")
counts = {"train": 6, "valid": 2, "test": 2}
tiny = Task(**{**vars(cifar), **{part: getattr(cifar, part).per_class(n) for part, n in counts.items()}})
name, out, recipe = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
finetune(load_model(name, classes=10, weights=None, size=32, seed=0), tiny, Recipe(**recipe), out=out)
"""


@pytest.mark.parametrize("name", [name for name in STAGED if name not in ("resnet34", "resnet50")])  # resnet18's kind
def test_killed_at_a_random_point_and_resumed_is_bit_identical(tiny, tmp_path, name):
    values = dict(
        epochs=6,
        batch_size=20,
        freeze="head",
        unfreeze=["2:last"],
        lr=1e-3,
        flip=True,
        crop=2,
        ema=0.9 if name == "resnet18" else 0.0,
    )
    recipe, out = Recipe(**values), tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), name, str(out), json.dumps(values)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (out / "state.safetensors").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.6))
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole, resumed = network(name), network(name)
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    if (
        Run.load(out).info["status"] == "complete"
    ):  # the whole run fitted in before the signal: nothing to resume, still equal
        resumed = Run.load(out).model()
    else:
        run = finetune(resumed, tiny, recipe, out=out, resume=True)
        assert [r["epoch"] for r in run.history] == list(range(6))
    assert same(whole, resumed)
    left = {p.name for p in out.iterdir() if not p.name.startswith(".")}
    assert left == {"run.json", "history.jsonl", "model.safetensors"}


def test_resume_before_the_first_epoch_and_with_another_recipe(tiny, tmp_path, monkeypatch):

    monkeypatch.setattr(training, "_train_epoch", lambda *a: os.kill(os.getpid(), signal.SIGINT) or time.sleep(5))
    recipe = Recipe(epochs=2, freeze="head")
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), tiny, recipe, out=tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(InputError, match="another recipe"):
        finetune(network(), tiny, Recipe(epochs=3, freeze="head"), out=tmp_path / "run", resume=True)
    net, whole = network(), network()
    finetune(net, tiny, recipe, out=tmp_path / "run", resume=True)
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    assert same(net, whole)


class Interrupting(Watch):
    """Ctrl-C at the end of an epoch."""

    def __init__(self, epoch): self.at = epoch

    def epoch(self, record):
        if record["epoch"] == self.at: raise KeyboardInterrupt


@pytest.mark.parametrize(
    "freezing", [{"freeze": "head"}, {"freeze": "last", "ema": 0.5}, {"freeze": "head", "unfreeze": ("2:last",)}]
)
def test_a_run_that_was_cut_off_gives_its_best_weights(tiny, tmp_path, freezing):
    pretrained = lambda: load_model("resnet18", classes=tiny.classes, weights="bundled", size=32)
    recipe, out = Recipe(epochs=6, batch_size=20, lr=1e-3, **freezing), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        finetune(pretrained(), tiny, recipe, out=out, watch=Interrupting(4))
    run = Run.load(out)
    assert len(run.history) == 5 and run.best["epoch"] > 0                # else the file alone would do
    report = evaluate(run.model(), tiny.valid)
    assert report.accuracy == pytest.approx(run.best["valid_accuracy"])
    whole, resumed = pretrained(), network("resnet18", seed=3)             # what it was given with does not matter
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    finetune(resumed, tiny, recipe, out=out, resume=True)
    assert same(whole, resumed) and same(resumed, Run.load(out).model())


def test_cut_off_while_the_best_weights_are_written_into_the_file(tiny, tmp_path, monkeypatch):
    recipe, out = Recipe(epochs=4, batch_size=20, lr=1e-3, freeze="last"), tmp_path / "run"
    pretrained = lambda: load_model("resnet18", classes=tiny.classes, weights="bundled", size=32)

    def torn(path, tensors):
        assert tensors                                                        # else there is nothing to write
        with path.open("r+b") as file:
            file.seek(-2_000_000, 2)
            file.write(bytes(1_000_000))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_overwrite", torn)
        finetune(pretrained(), tiny, recipe, out=out)
    run = Run.load(out)
    before = run.model()                                                      # of what the state knows
    assert evaluate(before, tiny.valid).accuracy == pytest.approx(run.best["valid_accuracy"])
    whole, resumed = pretrained(), pretrained()
    finetune(whole, tiny, recipe, out=tmp_path / "whole")
    finetune(resumed, tiny, recipe, out=out, resume=True)
    assert same(whole, resumed) and same(resumed, Run.load(out).model())


def test_values_are_put_in_place_of_those_in_a_safetensors_file(tmp_path):
    old = {"a": torch.zeros(2, 3), "b": torch.zeros((), dtype=torch.int64), "c": torch.ones(5, dtype=torch.bfloat16)}
    new = {"a": torch.randn(3, 2).T, "b": torch.tensor(7), "c": torch.randn(5).bfloat16()}
    safetensors.torch.save_file(old, tmp_path / "x.safetensors", metadata={"format": "pt"})
    for names in (["a"], ["b", "c"], []):
        training._overwrite(tmp_path / "x.safetensors", {name: new[name] for name in names})
        old |= {name: new[name] for name in names}
        read = safetensors.torch.load_file(tmp_path / "x.safetensors")
        assert read.keys() == old.keys() and all(torch.equal(read[name], old[name]) for name in old)


def test_the_state_holds_only_what_learns(tiny, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), tiny, Recipe(epochs=3, freeze="head"), out=tmp_path / "run", watch=Interrupting(1))
    state, whole = (tmp_path / "run" / name for name in ("state.safetensors", "model.safetensors"))
    assert state.stat().st_size < 0.03 * whole.stat().st_size
    whole.unlink()
    with pytest.raises(InputError, match="model.safetensors is missing"):
        finetune(network(), tiny, Recipe(epochs=3, freeze="head"), out=tmp_path / "run", resume=True)


def test_a_damaged_state_is_named(tiny, tmp_path):
    out = tmp_path / "run"
    run = finetune(network(), tiny, Recipe(epochs=1, freeze="head"), out=out)
    run.info["status"] = "running"
    run.save()
    (out / "state.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="is damaged"):
        finetune(network(), tiny, Recipe(epochs=1, freeze="head"), out=out, resume=True)


# ----------------------------------------------------------------------------------------------------------- policy


LONG = Recipe(epochs=10, freeze="last", batch_size=2, lr=1e-3)                # 100 steps


def trials(monkeypatch, outcome=None):
    """Count the trials, and have them find `outcome`, policies and their seconds as a function of the usual policy."""
    seen, real = [], training._trial
    found = lambda phase: seen.append(phase.name) or (outcome(phase.policy) if outcome else real(phase))
    monkeypatch.setattr(training, "_trial", found)
    return seen


def few(tiny): return replace(tiny, train=tiny.train.subset(torch.arange(20)))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(training, "_LONG", 100)
    monkeypatch.setattr(training, "_usual_way", lambda: "products")
    return tmp_path / "policies.json"


def test_no_policy_changes_what_is_computed_but_for_rounding(tiny, monkeypatch):
    """In double precision, where rounding carries no value over ReLU's edge; the logits are rounded to single."""
    batch = training._batch
    model = load_model("resnet18", classes=tiny.classes, weights="bundled", size=64)
    gradients, recipe = {}, Recipe(freeze="layer3", batch_size=32, precision="fp32")
    for policy in training.try_policies(model, tiny, recipe):
        learning, task = freeze(copy.deepcopy(model), until="layer3"), training._prepared(model, tiny)
        phase = training._Phase(learning, task, recipe, range(1), training._accelerator("fp32"), {})
        phase.train()
        phase.suffix.double()
        with training._same_threads(), monkeypatch.context() as patch:
            patch.setattr(training, "_batch", lambda *args: (batch(*args)[0].double(), batch(*args)[1]))
            phase.use(policy)
            loss = training._backward_in_pieces(phase, torch.arange(32), _generator("cpu", 0))
        gradients[policy] = [loss, *(p.grad for p in phase.params)]
    (usual, first), *others = gradients.items()
    assert {p.small_maps for p in gradients} == {"", "contiguous", "products"}
    assert {p.memory_format for p, _ in others} > {""}
    for policy, values in others:
        for a, b in zip(values, first, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max())), policy


def test_a_trial_leaves_the_run_bit_for_bit_what_it_is_without(tiny, tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(training, "_usual_way", lambda: "")
    real, as_usual, runs = training._trial, lambda phase: {next(iter(real(phase))): 1.0}, {}
    monkeypatch.setattr(training, "_trial", as_usual)
    for policy in ("auto", "fixed"):
        runs[policy] = network(seed=1)
        finetune(runs[policy], few(tiny), replace(LONG, policy=policy, flip=True), out=tmp_path / policy)
    assert own_cache.exists() and same(*runs.values())


def test_the_faster_policy_is_chosen_told_stored_and_remembered(tiny, tmp_path, own_cache, monkeypatch, capsys):
    usual = training.Policy(2, "products")
    seconds = {usual: 1.0, replace(usual, threads=1): 0.8, replace(usual, threads=3): 0.7,
               replace(usual, small_maps=""): 0.94, replace(usual, memory_format="channels_last"): 0.9}
    assert training._chosen(seconds) == training.Policy(3, "products", "channels_last")
    seen = trials(monkeypatch, lambda own: {own: 1.0, replace(own, small_maps=""): 0.5})
    for i in range(2):
        before = torch.get_num_threads()
        run = finetune(network(), few(tiny), LONG, out=tmp_path / f"run{i}")
        assert run.info["policies"]["0"]["small_maps"] == "" and torch.get_num_threads() == before
        assert ("small maps as products" in capsys.readouterr().err) == (i == 0)                # instead of …
    assert seen == ["layer7"]
    assert Run.load(tmp_path / "run1").info["policies"] == run.info["policies"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"KEY": {"threads": 0, "small_maps": "products"}}', '{"KEY": 3}',
                                     '{"KEY": {"threads": 1, "small_maps": "", "memory_format": "preserve_format"}}',
                                     '{"KEY": {"threads": 1, "small_maps": "fast"}}',
                                     '{"KEY": {"threads": 100000, "small_maps": "products"}}'])
def test_what_is_remembered_is_not_trusted(tiny, tmp_path, own_cache, monkeypatch, content):
    seen = trials(monkeypatch, lambda own: {own: 1.0})
    monkeypatch.setattr(training, "_tried_before", lambda phase: "KEY")
    own_cache.write_text(content)
    finetune(network(), few(tiny), LONG, out=tmp_path / "run")
    assert seen == ["layer7"]
    assert json.loads(own_cache.read_text())["KEY"]["threads"] == torch.get_num_threads()


def test_a_short_training_and_a_fixed_policy_try_nothing(tiny, tmp_path, own_cache, monkeypatch):
    seen = trials(monkeypatch)
    finetune(network(), few(tiny), replace(LONG, epochs=9), out=tmp_path / "short")       # 90 steps
    run = finetune(network(), few(tiny), replace(LONG, policy="fixed"), out=tmp_path / "fixed")
    assert not seen and not own_cache.exists()
    assert run.info["policies"] == {"0": {"threads": torch.get_num_threads(), "small_maps": "", "memory_format": ""}}
    with pytest.raises(InputError, match="policy='quick' is unknown"): Recipe(policy="quick")


def test_a_short_training_runs_by_what_a_long_one_has_shown(tiny, tmp_path, own_cache, monkeypatch):
    seen = trials(monkeypatch, lambda own: {own: 1.0, replace(own, memory_format="contiguous_format"): 0.5})
    runs = [finetune(network(), few(tiny), replace(LONG, epochs=n), out=tmp_path / str(n)) for n in (1, 10, 2)]
    assert seen == ["layer7"]
    assert [run.info["policies"]["0"]["memory_format"] for run in runs] == ["", *["contiguous_format"] * 2]


@pytest.mark.parametrize("seconds, way", [((3, 2, 1), "products"), ((3, 2, 2.5), "contiguous"), ((1, 0.95, 2), "")])
def test_how_small_maps_run_is_measured_once_and_remembered(seconds, way, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(training, "cache_dir", lambda: tmp_path / "cache")
    found = lambda: measured.append(1) or dict(zip(training._WAYS, seconds, strict=True))
    monkeypatch.setattr(training, "_seconds_of_ways", found)
    monkeypatch.setattr(training, "_usual_way", training._usual_way.__wrapped__)    # each call as in a new process
    assert [training._usual_way() for _ in range(3)] == [way] * 3 and len(measured) == 1
    file = tmp_path / "cache" / "policies.json"
    key = next(iter(json.loads(file.read_text())))
    for i, damaged in enumerate(("[]", "{", json.dumps({key: ["products"]}), json.dumps({key: "fast"}))):
        file.write_text(damaged)
        assert training._usual_way() == way and len(measured) == 2 + i


def test_the_ways_are_timed_without_a_trace(monkeypatch, tmp_path):
    """Each way's seconds are its own, and random numbers stay."""
    unfolded, unfold = [], F.unfold
    monkeypatch.setattr(F, "unfold", lambda *args: unfolded.append(1) or unfold(*args))

    def timed(work):
        unfolded.clear()
        result = work()
        return 4.0 if unfolded else 1.0, result

    monkeypatch.setattr(training, "_timed", timed)
    monkeypatch.setattr(training, "cache_dir", lambda: tmp_path)
    assert training._seconds_of_ways() == {"": 1, "contiguous": 1, "products": 4}
    state = torch.get_rng_state()
    assert training._usual_way.__wrapped__() == "" and torch.equal(state, torch.get_rng_state())


def test_a_run_goes_on_with_the_policy_that_it_was_begun_with(tiny, tmp_path, own_cache, monkeypatch):
    trials(monkeypatch, lambda own: {own: 1.0, replace(own, small_maps=""): 0.5})
    whole, resumed = network(seed=1), network(seed=1)
    finetune(whole, few(tiny), LONG, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        finetune(resumed, few(tiny), LONG, out=tmp_path / "cut", watch=Interrupting(4))
    own_cache.unlink()
    trials(monkeypatch, lambda own: {own: 1.0, replace(own, memory_format="contiguous_format"): 0.5})
    finetune(resumed, few(tiny), LONG, out=tmp_path / "cut", resume=True)
    assert not own_cache.exists() and same(whole, resumed)


def test_a_policy_is_one_phases_own(tiny, tmp_path, own_cache, monkeypatch):
    """The threads that the first phase chose are not what the second calls usual."""
    own, usual = torch.get_num_threads(), []
    other = 1 if own > 1 else 2
    found = lambda policy: usual.append(policy.threads) or {policy: 1.0, replace(policy, threads=other): 0.5}
    trials(monkeypatch, found)
    recipe = replace(LONG, epochs=20, freeze="head", unfreeze=("10:last",))
    run = finetune(network(), few(tiny), recipe, out=tmp_path / "run")
    assert usual == [own, own] and {p["threads"] for p in run.info["policies"].values()} == {other}
    assert torch.get_num_threads() == own


def test_what_a_trial_showed_is_remembered_where_there_was_no_cache_yet(tiny, tmp_path, own_cache, monkeypatch):
    seen = trials(monkeypatch, lambda own: {own: 1.0})
    monkeypatch.setattr(training, "cache_dir", lambda: tmp_path / "new" / "cache")
    for i in range(2): finetune(network(), few(tiny), LONG, out=tmp_path / f"run{i}")
    assert seen == ["layer7"]


def test_a_read_only_cache_costs_a_trial_each_time_and_no_more(tiny, tmp_path, own_cache, monkeypatch):
    seen = trials(monkeypatch, lambda own: {own: 1.0})
    own_cache.mkdir()                                                          # can neither be read nor replaced
    for i in range(2): finetune(network(), few(tiny), LONG, out=tmp_path / f"run{i}")
    assert seen == ["layer7"] * 2


@pytest.mark.parametrize("text, cores", [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1), ("100", None),
                                         ("", None)])
def test_a_containers_quota_bounds_the_threads(text, cores, monkeypatch):
    allowed = set(range(16))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed)
    monkeypatch.setattr(training.Path, "read_text", lambda path: text)
    assert training._cores() == (cores or 16)


# ------------------------------------------------------------------------------------------------------- small maps


@pytest.mark.parametrize("options", [{"padding": 1}, {"stride": 2, "padding": 1}, {"kernel_size": 1}, {"bias": True},
                                     {"dilation": 2, "padding": 2}, {"groups": 4, "padding": 1}, {"padding": "same"}])
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_small_maps_give_what_the_convolution_gives(options, side):
    """Output and both gradients, for maps at both sides of the limit, beside torch's own convolution."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 12, **{"kernel_size": 3, "bias": False, "padding": 1} | options)
    x = torch.randn(5, 8, side, side, requires_grad=True)
    results = []
    for mode in map(training._run_small_maps, training._WAYS):
        with mode: out = conv(x)
        (out**2).sum().backward()
        results.append((out.detach(), x.grad.clone(), conv.weight.grad.clone()))
        x.grad = conv.weight.grad = None
    for ours in results[1:]:
        for a, b in zip(ours, results[0], strict=True): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side, times", [(2, 1), (3, 0)])
def test_only_small_maps_are_multiplied(monkeypatch, side, times):
    called, unfold = [], F.unfold
    monkeypatch.setattr(F, "unfold", lambda *args: called.append(args) or unfold(*args))
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    with _SmallMaps("products"): conv(torch.rand(1, 3, side, side))
    assert len(called) == times


def test_a_network_is_not_changed_by_training_with_small_maps(tiny):
    model = load_model("resnet18", classes=tiny.classes, weights=None, size=64)
    before = {name: module.forward.__func__ for name, module in model.named_modules()}
    finetune(model, tiny, Recipe(epochs=1, freeze="last"))
    assert {name: module.forward.__func__ for name, module in model.named_modules()} == before
