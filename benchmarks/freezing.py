"""What each first learning stage reaches, over seeds: `python benchmarks/freezing.py --work runs/freezing`.

ResNet-18 with the bundled weights on 100 images a class of CIFAR-10, and MiniLM on 250 sentences a class of the
reviews. For each stage a training in which it and all after it learn, with one recipe for all; a seed cuts the splits,
draws the examples, the head and the order anew. Mean and standard deviation of the test accuracy, and the seconds, go
to data/results/freezing.json, which `FreezeExplorer` shows. Interrupted, the same command goes on with the first result
that is missing.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

from resumable import arguments, measured, table

from ftcourse import Recipe, Task, evaluate, finetune, load_model, load_task, stages
from ftcourse.assets import data_dir, written_aside
from ftcourse.training import environment

IMAGES = Recipe(epochs=8, batch_size=64, lr=1e-3, layer_decay=0.8, flip=True, crop=4, label_smoothing=0.1)
TEXTS = Recipe(epochs=3, batch_size=32, lr=2e-4, layer_decay=0.8)
CASES = {  # network, task: weights, size of the input, training examples a class, recipe
    ("resnet18", "cifar10"): ("bundled", 64, 100, IMAGES),
    ("minilm", "reviews"): ("auto", None, 250, TEXTS),
}


def measure(network: str, name: str, until: str, seed: int, folder: Path) -> dict:
    """Test accuracy and seconds of one training in which `until` and the stages after it learn."""
    weights, size, count, recipe = CASES[network, name]
    whole = load_task(name, seed=seed)
    task = Task(**{**vars(whole), "train": whole.train.per_class(count, seed=seed)})
    model = load_model(network, classes=task.classes, weights=weights, size=size, seed=seed)
    run = finetune(model, task, replace(recipe, freeze=until, seed=seed), folder)
    return {"network": network, "task": name, "freeze": until, "seed": seed,
            "test": evaluate(model, task.test).accuracy, "seconds": round(run.seconds, 1)}


def main() -> None:
    args = arguments(__doc__)
    parts = {case: [stage.name for stage in stages(load_model(case[0], 2, weights=None))] for case in CASES}
    todo = [(*case, until, seed) for case in CASES for seed in args.seeds for until in parts[case]]
    folder = lambda *case: args.work / "-".join(map(str, case))
    names = ("network", "task", "freeze")
    *_, rows = measured(todo, (*names, "seed"), lambda *case: measure(*case, folder(*case)), args.work)
    recipes = {f"{network}, {task}": asdict(recipe) for (network, task), (*_, recipe) in CASES.items()}
    record = {"table": table(rows, names), "rows": rows, "recipes": recipes, "environment": environment()}
    path = data_dir() / "results" / "freezing.json"
    path.parent.mkdir(exist_ok=True)
    with written_aside(path) as aside: aside.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["table"], indent=1))


if __name__ == "__main__":
    main()
