"""What each process of test_processes.py does: the trainings that a file lists, `python processes.py FILE`."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

import ftcourse.training as training
from ftcourse.data import Split, Task, load_task
from ftcourse.models import load_model

IMAGES = ("resnet18", "mobilenet_v2")  # random weights let little through a MobileNet: losses are compared on a ResNet


def images(train: int = 6, valid: int = 3) -> Task:
    """Ten classes of real images, so many of each."""
    cifar = load_task("cifar10")
    return Task(**vars(cifar) | {"train": cifar.train.per_class(train), "valid": cifar.valid.per_class(valid)})


def texts() -> Task:
    """Sentences of very different lengths; the label is whether there are more than six words."""
    words = "a good film . the plot was not very good , the end is dull ! the actor is great".split()
    inputs = [" ".join(words[: 1 + (7 * i) % 18]) for i in range(45)]
    split = Split(inputs, torch.tensor([int(len(text.split()) > 6) for text in inputs]), ["short", "long"])
    source = {"name": "words", "source": "made", "sha256": "0" * 64}
    return Task("words", split, split, split, ["short", "long"], source)


def network(name: str, classes):
    """Nothing is drawn at random in its forward pass, so that losses can be compared."""
    bare = {"weights": None, "size": 32} if name in IMAGES else {}
    model = load_model(name, classes=classes, seed=0, **bare)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout): module.p = 0.0
    return model


def train(job: dict, folder: Path) -> dict:
    """One training: the examples that this process took, step by step, and what it ended with."""
    task = images(**job.get("counts", {})) if job["network"] in IMAGES else texts()
    model, seen, rank = network(job["network"], task.classes), [], os.environ.get("RANK", "0")
    backward, validate = training._backward, training._validate

    def watched(phase, index, *rest):
        seen.append(index.tolist())
        return backward(phase, index, *rest)

    def dies(phase):
        if (epochs := job.get("epochs_done", 0)) == 1: os.kill(os.getpid(), signal.SIGKILL)
        job["epochs_done"] = epochs + 1
        return validate(phase)

    if job.get("differs") and rank != "0": torch.nn.init.normal_(list(model.parameters())[-2])
    training._backward, training._validate = watched, dies if rank == job.get("dies") else validate
    recipe = training.Recipe(**job["recipe"])
    try: run = training.finetune(model, task, recipe, folder / job["name"], resume=job.get("resume", False))
    finally: training._backward, training._validate = backward, validate
    norms = [module for module in model.modules() if hasattr(module, "running_mean") and module.weight.requires_grad]
    sums = [float(value.double().sum()) for value in model.state_dict().values()]
    means = [norm.running_mean.tolist() for norm in norms]
    return {"seen": seen, "history": run.history, "sums": sums, "path": str(run.path), "means": means}


if __name__ == "__main__":
    given = Path(sys.argv[1])
    results = {job["name"]: train(job, given.parent) for job in json.loads(given.read_text())}
    given.with_name(f"results-{os.environ['RANK']}.json").write_text(json.dumps(results))
