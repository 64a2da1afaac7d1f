"""What is timed: the networks, the data and the settings that all contestants share."""

import copy
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import nn

from ftcourse import Split, Task, load_model, load_task, stages
from ftcourse.freezing import _index


@dataclass(frozen=True)
class Workload:
    """One job: a training from raw examples in memory to a network that has been validated every epoch, or an evaluation."""

    key: str
    title: str
    network: str = "resnet18"
    learns: str = "none"
    """The first stage that learns: "none" (all learn), "last", "head"."""
    epochs: int = 1
    """0: an evaluation of `n` examples."""
    n: int = 256
    """Examples to train on; a quarter as many validate each epoch."""
    n_test: int = 256
    """Test examples that say what has been learned; not part of what is timed."""
    size: int = 64
    """Side of the images in pixels, or the longest text in tokens."""
    long: bool = False
    """Texts of many sentences instead of one."""
    batch_size: int = 32
    lr: float = 1e-3

    @property
    def of_texts(self) -> bool: return self.network == "minilm"


def _head_only(epochs: int, **more) -> dict: return {"learns": "head", "epochs": epochs, "lr": 3e-3, **more}


WORKLOADS = (
    Workload("A-64", "everything learns, images of 64 pixels, 1 epoch"),
    Workload("A-128", "everything learns, images of 128 pixels, 1 epoch", n=96, size=128),
    Workload("B-head-1", "the head learns, images, 1 epoch", **_head_only(1)),
    Workload("B-head-5", "the head learns, images, 5 epochs", **_head_only(5)),
    Workload("B-head-10", "the head learns, images, 10 epochs", **_head_only(10, n=384)),
    Workload("B-last-1", "the last stage and the head learn, images, 1 epoch", learns="last"),
    Workload("B-last-5", "the last stage and the head learn, images, 5 epochs", learns="last", epochs=5),
    Workload("B-texts-10", "the head learns, short texts, 10 epochs", "minilm", size=128, **_head_only(10, n=384)),
    Workload("C-short", "everything learns, short texts, 1 epoch", "minilm", size=128, n=192, lr=2e-4),
    Workload("C-long", "everything learns, long texts, 1 epoch", "minilm", size=256, n=64, long=True, lr=2e-4),
    Workload("D-images", "evaluation, images of 64 pixels", epochs=0, n=1000),
    Workload("D-texts", "evaluation, short texts", "minilm", size=128, epochs=0, n=500),
)


def small(workload: Workload) -> Workload:
    """The same with a few examples in small batches, a quarter as many where texts are long: every ratio in minutes."""
    if workload.long: return replace(workload, n=16, n_test=16, batch_size=4)
    return replace(workload, n=min(workload.n, 32 if workload.epochs else 96), n_test=32, batch_size=16)


def gate(workload: Workload, steps: int) -> Workload:
    """The same on one batch, `steps` times: what has been learned then does not depend on the order."""
    return replace(workload, n=workload.batch_size, epochs=steps)


def gates(workloads) -> list[str]:
    """Keys of the workloads that the gate looks at: the first in which a network's stages learn from one on."""
    found = {}
    for w in workloads:
        if w.epochs: found.setdefault((w.network, w.learns), w.key)
    return list(found.values())


@dataclass
class Job:
    """What a contestant is given: the network as loaded, the raw examples of three splits."""

    workload: Workload
    model: nn.Module
    task: Task
    learning: list[str]
    """Names of the parameters that are to learn."""
    frozen: list[nn.Module]
    """The modules that are to stay as they are."""
    seed: int
    folder: str
    gate: bool = False
    """Is this a comparison of what comes out, and not of seconds? Then nothing is dropped out."""


@cache
def _whole(name: str) -> Task: return load_task(name)


@cache
def _weights(network: str, size: int, classes: tuple[str, ...], seed: int) -> nn.Module:
    return load_model(network, list(classes), weights="auto" if network == "minilm" else "bundled", size=size, seed=seed)


def _joined(split: Split, n: int, draws: torch.Generator) -> Split:
    """`n` texts of 1 to 16 sentences of one class each, few short and few long ones: lengths as reviews have them."""
    inputs, labels = [], []
    for i in range(n):
        label = i % len(split.classes)
        own = (split.labels == label).nonzero().flatten()
        many = int(torch.distributions.LogNormal(1.6, 0.6).icdf(torch.rand((), generator=draws)).clamp(1, 16))
        rows = own[torch.randint(len(own), (many,), generator=draws)]
        inputs.append(" ".join(split.inputs[int(row)] for row in rows))
        labels.append(label)
    return Split(inputs, torch.tensor(labels), split.classes)


def _some(split: Split, n: int, long: bool, draws: torch.Generator) -> Split:
    if long: return _joined(split, n, draws)
    return split.subset(torch.randperm(len(split), generator=draws)[:n])


def job(workload: Workload, seed: int, folder: str, *, gate: bool = False) -> Job:
    """The network and the examples for one job; `seed` draws them. Not part of what is timed."""
    whole = _whole("reviews" if workload.of_texts else "cifar10")
    draws = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(_weights(workload.network, workload.size, tuple(whole.classes), seed))
    if gate:
        for module in model.modules():
            if isinstance(module, nn.Dropout): module.p = 0.0
    parts = stages(model)
    first = _index(model, workload.learns)
    own, before = set(model.modules()), [stage.module for stage in parts[:first]]
    held = {p for module in before for p in module.parameters()}
    frozen = [m for module in before for m in module.modules() if m in own]
    learning = [name for name, p in model.named_parameters() if p not in held]
    sizes = {"train": workload.n, "valid": max(8, workload.n // 4), "test": workload.n_test if workload.epochs else workload.n}
    splits = {name: _some(getattr(whole, name), n, workload.long, draws) for name, n in sizes.items()}
    return Job(workload, model, Task(**{**vars(whole), **splits}), learning, frozen, seed, folder, gate)
