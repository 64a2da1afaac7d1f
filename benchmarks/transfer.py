"""What pretraining is worth on the bundled CIFAR-10, over seeds: `python benchmarks/transfer.py --work runs/transfer`.

Three starts: ResNet-18 from the bundled weights, the same network from random ones, MobileNetV2 from ImageNet's. Of
each pretrained one a linear probe and a fine-tuned network; of the random one a network trained with the same recipe
for three times the epochs. Test accuracy of every seed, mean and standard deviation go to benchmarks/transfer.json. A
seed cuts train and validation anew and draws head and order anew; the test images are always the same 1,000.
Interrupted, the same command goes on with the first result that is missing.
"""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from resumable import arguments, measured, table

from ftcourse import Recipe, evaluate, finetune, load_model, load_task
from ftcourse.training import default_recipe, environment

OUT = Path(__file__).with_suffix(".json")
PROBE = Recipe(epochs=20, freeze="head", batch_size=128, lr=3e-3, flip=True, views=2)
WHOLE = Recipe(epochs=30, freeze="none", batch_size=64, lr=1e-3, layer_decay=0.8, flip=True, crop=4,
               label_smoothing=0.1)
LONG = replace(WHOLE, epochs=3 * WHOLE.epochs)
DEFAULT = default_recipe()
STARTS = {  # name: network, weights, side of the input in pixels, how it is trained
    "resnet18, bundled weights": ("resnet18", "bundled", 64, {"probe": PROBE, "fine-tuned": WHOLE}),
    "resnet18, random weights": ("resnet18", None, 64, {"three times the epochs": LONG}),
    "mobilenet_v2, ImageNet weights": ("mobilenet_v2", "imagenet", 128, {"probe": PROBE, "fine-tuned": DEFAULT}),
}


def measure(start: str, way: str, seed: int, work: Path) -> dict:
    """Accuracy of one start trained in one way: on the test images, and on those that training chose by."""
    network, weights, size, ways = STARTS[start]
    task = load_task("cifar10", seed=seed)
    model = load_model(network, classes=task.classes, weights=weights, size=size, seed=seed)
    began = time.perf_counter()
    folder = work / f"{start} {way} {seed}".replace(",", "").replace(" ", "-")
    run = finetune(model, task, replace(ways[way], seed=seed), folder)
    report = evaluate(model, task.test)               # finetune leaves it with its best weights
    best = max(row["valid_accuracy"] for row in run.history)
    return {"start": start, "way": way, "seed": seed, "test": report.accuracy, "valid": best,
            "seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    args, names = arguments(__doc__), ("start", "way")
    todo = [(start, way, seed) for seed in args.seeds for start in STARTS for way in STARTS[start][3]]
    recipes = {f"{s}, {w}": asdict(recipe) for s, (_, _, _, ways) in STARTS.items() for w, recipe in ways.items()}
    for rows in measured(todo, (*names, "seed"), lambda *case: measure(*case, args.work), args.work):
        record = {"table": table(rows, names), "rows": rows, "recipes": recipes, "environment": environment(),
                  "threads": torch.get_num_threads()}
        if rows: OUT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(table(rows, names), indent=1))


if __name__ == "__main__":
    main()
