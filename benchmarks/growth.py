"""How the cost of a fine-tuning grows: `python -m benchmarks.growth --work runs/growth` (a quarter of an hour on two cores).

Seconds and peak memory over the number of images, their side in pixels, the length of texts in tokens, the stages that learn
and the processes. Each point is a process of its own: a small training to warm up, then three that count, median, or one that
takes over ten seconds. Memory is what the process took beyond its start. The exponent p is that of a + b x^p, fitted to the
logarithm of what was measured. data/results/growth.json and growth.png hold the results; interrupted, the same command goes on
with the first point that is missing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import PeakMemory
from benchmarks.resumable import measured
from ftcourse import Recipe, Split, Task, finetune, load_model, load_task
from ftcourse.assets import data_dir, is_main_process, written_aside
from ftcourse.training import environment

LONG = 10
"""Seconds from which on one training is measured, instead of three."""
STAGES = ("head", "layer4", "layer3", "layer2", "layer1", "none")
CURVES = {  # what grows: its values, and what they are
    "images": ((1000, 2000, 5000, 10000, 20000, 50000), "images of 64 pixels, the head learns, 2 epochs"),
    "pixels": ((32, 64, 96, 128, 160, 224), "side of 48 images, everything learns, 1 epoch"),
    "length": ((8, 16, 32, 64, 128, 256, 512), "tokens in each of 32 texts, everything learns, 1 epoch"),
    "stages": (tuple(range(len(STAGES))), f"stages that learn beside the head: none, {', '.join(STAGES[1:-1])}, all; 192 images"),
    "processes": ((1, 2), "processes of one thread each, everything learns, 192 images"),
}


def _repeated(split: Split, n: int) -> Split: return split.subset(torch.arange(n) % len(split))


def _images(n: int, size: int, learns: str, epochs: int = 1):
    task = load_task("cifar10")
    task = Task(**{**vars(task), "train": _repeated(task.train, n), "valid": _repeated(task.valid, max(8, n // 8))})
    return load_model("resnet18", task.classes, weights="bundled", size=size), task, Recipe(epochs, freeze=learns, batch_size=32)


def _texts(length: int):
    task = load_task("reviews")
    words = lambda n: [" ".join(["film"] * (length - 2))] * n
    some = lambda split, n: Split(words(n), split.labels[:n], split.classes)
    task = Task(**{**vars(task), "train": some(task.train, 32), "valid": some(task.valid, 8)})
    return load_model("minilm", task.classes, size=512), task, Recipe(1, freeze="none", batch_size=32)


def work(curve: str, value: int) -> tuple:
    """Network, task and recipe of one point."""
    if curve == "images": return _images(value, 64, "head", 2)
    if curve == "pixels": return _images(48, value, "none")
    if curve == "length": return _texts(value)
    return _images(192, 64, STAGES[value] if curve == "stages" else "none")


def point(curve: str, value: int) -> dict:
    """Measure one point, in this process."""
    model, task, recipe = work(curve, value)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def once(task: Task) -> float:
        model.load_state_dict(weights)
        with tempfile.TemporaryDirectory() as folder:
            at = time.perf_counter()
            finetune(model, task, recipe, f"{folder}/run")
            return time.perf_counter() - at

    with PeakMemory() as memory:                             # from before the first training: a process keeps what it has had
        once(replace(task, train=_repeated(task.train, 32), valid=_repeated(task.valid, 8)))
        seconds = [once(task)]
    if seconds[0] < LONG: seconds += [once(task) for _ in range(2)]
    return {"curve": curve, "value": value, "seconds": round(statistics.median(seconds), 3), "low": round(min(seconds), 3),
            "high": round(max(seconds), 3), "peak_mb": round(memory.bytes / 1e6, 1)}


def apart(curve: str, value: int) -> dict:
    """Measure one point in a process of its own, or in several."""
    processes = value if curve == "processes" else 1
    threads = 1 if curve == "processes" else len(os.sched_getaffinity(0))
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)] if processes > 1 else []
    kind = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads), "FTCOURSE_PROGRESS": "0"}
    done = subprocess.run([sys.executable, *launch, "-m", "benchmarks.growth", "--point", curve, str(value)], env={**os.environ, **kind},
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def exponent(x: list[float], y: list[float]) -> float:
    """The p for which a + b x^p, with a and b at least 0, lies closest to `y` on a scale of logarithms."""
    from scipy.optimize import nnls

    x, y = np.asarray(x, float), np.asarray(y, float)

    def misfit(p: float) -> float:
        columns = np.stack([np.ones_like(x), (x / x.max()) ** p], 1)
        fitted = columns @ nnls(columns / y[:, None], np.ones_like(y))[0]
        return float((np.log(np.maximum(fitted, 1e-12) / y) ** 2).sum())

    return float(min(np.arange(0.05, 4, 0.01), key=misfit))


def fitted(rows: list[dict]) -> dict:
    """The exponents of seconds and of memory, of the curves over a quantity."""
    out = {}
    for curve in ("images", "pixels", "length"):
        some = [row for row in rows if row["curve"] == curve]
        x = [row["value"] for row in some]
        if len(some) >= 5: out[curve] = {key: round(exponent(x, [max(row[key], 1e-3) for row in some]), 2) for key in ("seconds", "peak_mb")}
    return out


def picture(rows: list[dict], exponents: dict):
    """A panel for each curve: seconds, and memory at the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    for i, (curve, (values, what)) in enumerate(CURVES.items()):
        some = sorted((row for row in rows if row["curve"] == curve), key=lambda row: row["value"])
        axes = figure.add_subplot(2, 3, i + 1)
        x, scale = [row["value"] for row in some], "linear" if curve in ("stages", "processes") else "log"
        axes.errorbar(x, [row["seconds"] for row in some], [[row["seconds"] - row["low"] for row in some], [row["high"] - row["seconds"] for row in some]],
                      fmt="o-", ms=4, color="C0", label="seconds")
        axes.set(xscale=scale, yscale=scale, xlabel=curve, ylabel="seconds")
        axes.set_xticks(values, values, fontsize=8)
        axes.minorticks_off()
        right = axes.twinx()
        right.plot(x, [row["peak_mb"] for row in some], "s--", ms=4, color="C1", label="peak memory, MB")
        right.set(yscale=scale, ylabel="MB")
        if scale == "linear": axes.set_ylim(0), right.set_ylim(0)
        p = exponents.get(curve)
        axes.set_title(f"{what[:52]}{'…' if len(what) > 52 else ''}" + (f"\nseconds ~ x^{p['seconds']:.2f}, memory ~ x^{p['peak_mb']:.2f}" if p else ""), fontsize=8)
        axes.legend([axes.lines[0], right.lines[0]], ["seconds", "peak memory, MB"], fontsize=7, loc="upper left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="for what is measured so far")
    parser.add_argument("--only", nargs="+", choices=CURVES, default=[*CURVES], metavar="CURVE", help=", ".join(CURVES))
    parser.add_argument("--point", nargs=2, metavar=("CURVE", "VALUE"), help="measure one point here and print it")
    args = parser.parse_args()
    if args.point:
        found = point(args.point[0], int(args.point[1]))
        if is_main_process(): print(json.dumps(found), flush=True)
        return
    if not args.work: parser.error("--work FOLDER is needed")
    args.work.mkdir(parents=True, exist_ok=True)
    todo = [(curve, value) for curve in args.only for value in CURVES[curve][0]]
    *_, rows = measured(todo, ("curve", "value"), apart, args.work)
    record = {"made": time.strftime("%Y-%m-%d"), "environment": environment(), "what": {name: what for name, (_, what) in CURVES.items()},
              "exponents": fitted(rows), "rows": rows}
    place = data_dir() / "results"
    with written_aside(place / "growth.json") as aside: aside.write_text(json.dumps(record, indent=1) + "\n")
    picture(rows, record["exponents"]).savefig(place / "growth.png", dpi=100)
    print(json.dumps(record["exponents"], indent=1))


if __name__ == "__main__":
    main()
