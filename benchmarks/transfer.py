"""What pretraining is worth on the bundled CIFAR-10, over seeds: `python benchmarks/transfer.py --work runs/transfer`.

Three starts: ResNet-18 from the bundled weights, the same network from random ones, MobileNetV2 from ImageNet's. Of
each pretrained one a linear probe and a fine-tuned network; of the random one a network trained with the same recipe
for three times the epochs. Test accuracy of every seed, mean and standard deviation go to benchmarks/transfer.json. A
seed cuts train and validation anew and draws head and order anew; the test images are always the same 1,000.
Interrupted, the same command goes on with the first result that is missing.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ftcourse import Recipe, evaluate, finetune, load_model, load_task
from ftcourse.training import default_recipe, environment

OUT = Path(__file__).with_suffix(".json")
PROBE = Recipe(epochs=20, freeze="head", batch_size=128, lr=3e-3, flip=True, views=2)
WHOLE = Recipe(epochs=10, freeze="none", batch_size=64, lr=1e-3, layer_decay=0.8, flip=True, crop=4,
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
    report = evaluate(run.model(), task.test)
    best = max(row["valid_accuracy"] for row in run.history)
    return {"start": start, "way": way, "seed": seed, "test": report.accuracy, "valid": best,
            "seconds": round(time.perf_counter() - began, 1)}


def table(rows: list[dict]) -> list[dict]:
    """Mean, standard deviation and seconds over the seeds, for each start and way."""
    out = []
    for start, way in dict.fromkeys((row["start"], row["way"]) for row in rows):
        some = [row for row in rows if (row["start"], row["way"]) == (start, way)]
        tests = [row["test"] for row in some]
        out.append({"start": start, "way": way, "n": len(some), "mean": round(statistics.mean(tests), 4),
                    "sd": round(statistics.stdev(tests), 4) if len(some) > 1 else None,
                    "seconds": statistics.median(row["seconds"] for row in some)})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="for the runs and what is measured so far")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "rows.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["start"], row["way"], row["seed"]) for row in rows}
    todo = [(start, way, seed) for seed in range(args.seeds) for start in STARTS for way in STARTS[start][3]]
    for start, way, seed in todo:
        if (start, way, seed) in done: continue
        rows.append(measure(start, way, seed, args.work))
        with kept.open("a") as file: file.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
        recipes = {f"{s}, {w}": asdict(recipe) for s, (_, _, _, ways) in STARTS.items() for w, recipe in ways.items()}
        record = {"table": table(rows), "rows": rows, "recipes": recipes, "environment": environment(),
                  "threads": torch.get_num_threads()}
        OUT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(table(rows), indent=1))


if __name__ == "__main__":
    main()
