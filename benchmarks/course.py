"""What each strategy and each mistake of lessons 8 and 9 is worth, over seeds.

    python -m benchmarks.course --profile quick --work runs/course

writes data/results/strategies-PROFILE.json and data/results/mistakes-PROFILE.json, from which the lessons draw. With
`--only strategies` or `--only mistakes` it makes one of them. The quick profile is for two cores (about seven hours with
one thread), the full one for a GPU: all strategies at all training-set sizes, all images. A seed cuts the splits, draws
the examples, the head and the order anew. Interrupted, the same command goes on with the first result that is missing,
here or on another machine: each row says where it was made.
"""

import argparse
import gc
import json
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.machine import PeakMemory
from benchmarks.resumable import measured
from ftcourse import Task, evaluate, load_model, load_task
from ftcourse.assets import data_dir, written_aside
from ftcourse.mistakes import all_kinds, ledger, play, prices
from ftcourse.strategies import (
    base_recipe,
    compared,
    finetune_by,
    kept_answers,
    stored_results,
    strategies,
    told_apart,
)
from ftcourse.training import environment

SCENARIOS = {  # network, task: weights, side of the input, test examples a class
    ("resnet18", "cifar10"): ("bundled", 64, 50),
    ("minilm", "reviews"): ("auto", None, 125),
}
EPOCHS = {10: 8, 50: 4, 250: 4, None: 4}       # by examples a class; None: all
SIZES = {  # examples a class
    "quick": {"cifar10": (10, 50, 250), "reviews": (10, 50, 250)},
    "full": {"cifar10": (10, 50, 250, None), "reviews": (10, 50, 250, None)},
}
CURVE = ("linear-probe", "layer-decay", "scratch")          # do fine-tuning and random weights cross?
MORE = {"quick": {"cifar10": (None,)}}                      # for these three alone


def examples(name: str, per_class: int | None, seed: int, tested: int) -> Task:
    """So many examples a class to learn from, and as many, at most 20, to choose by."""
    task = load_task(name, seed=seed)
    if per_class is None: return task
    train, valid = task.train.per_class(per_class, seed), task.valid.per_class(min(per_class, 20), seed)
    return Task(**{**vars(task), "train": train, "valid": valid, "test": task.test.per_class(tested)})


def measure_strategy(network: str, name: str, per_class: int | None, strategy: str, seed: int, work: Path) -> dict:
    """One training by one strategy: what it reached, what it took, what it forgot."""
    weights, size, tested = SCENARIOS[network, name]
    task, loading = examples(name, per_class, seed, tested), {"weights": weights, "size": size}
    before = load_model(network, None if size else task.classes, **loading)
    base = base_recipe(before, EPOCHS[per_class], seed)
    folder = work / f"{network}-{per_class}-{strategy}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    with PeakMemory() as peak: model, run = finetune_by(strategy, task, network, base, folder, **loading)
    shutil.rmtree(folder)
    report, learned = evaluate(model, task.test), run.history[-1]["trainable"]
    return {"network": network, "task": name, "per_class": per_class, "strategy": strategy, "seed": seed,
            "test": report.accuracy, "valid": run.best["valid_accuracy"], "ece": round(report.ece, 4),
            "seconds": round(run.seconds, 1), "peak_mb": round(peak.bytes / 1e6), "trainable": learned,
            "bytes": 4 * learned, "kept": round(kept_answers(model, before, task.test.inputs[::2]), 4)}


def measure_mistake(name: str, seed: int, full: bool) -> dict:
    """One run of one program, right or wrong."""
    outcome = asdict(play(all_kinds()[name](seed, full)))
    gc.collect()                                    # a loop and its witness hold each other, and a network each
    return outcome


def commit() -> str | None:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() or None


def here() -> str:
    """Machine, versions, commit and day in a line, for each row."""
    now = environment()
    return (f"{now['gpu'] or now['processor']}, threads: {torch.get_num_threads()}, torch {now['torch']}, "
            f"commit {(commit() or '?')[:7]}, {time.strftime('%Y-%m-%d')}")


def write(path: Path, rows: list[dict], profile: str) -> None:
    """The rows, one a line, with the machine and the versions that made the last of them."""
    record = {"profile": profile, "made": time.strftime("%Y-%m-%d"), "commit": commit(), "environment": environment(),
              "threads": torch.get_num_threads()}
    lines = ",\n".join(map(json.dumps, rows))
    text = json.dumps(record, indent=1)[:-2] + f',\n "rows": [\n{lines}\n]\n}}\n'
    with written_aside(path) as aside: aside.write_text(text)


def make(what: str, profile: str, todo: list[tuple], names: tuple[str, ...], measure, work: Path) -> None:
    """Measure what is missing, and write the result file after each row."""
    folder, made = work / f"{what}-{profile}", here()
    folder.mkdir(parents=True, exist_ok=True)
    for rows in measured(todo, names, lambda *case: {**measure(*case, folder), "made": made}, folder):
        if rows: write(data_dir() / "results" / f"{what}-{profile}.json", rows, profile)


def complete_cases(rows: list[dict]) -> list[tuple]:
    """The tasks and sizes that every strategy has been measured on, with five seeds or more."""
    count = Counter((row["task"], row["per_class"], row["strategy"]) for row in rows)
    cases = sorted({key[:2] for key in count}, key=lambda case: (case[0], case[1] or 10**9))
    return [case for case in cases if all(count[*case, name] >= 5 for name in strategies())]


def summary(profile: str) -> str:
    """Both tables for the README, in Markdown, from the stored runs."""
    rows = stored_results(profile)
    return "\n".join([*strategy_lines(rows), "", *mistake_lines(prices(ledger(profile)))])


def strategy_lines(rows: list[dict]) -> list[str]:
    """A line a strategy: its accuracy in each case, and in points what it is better than the linear probe."""
    tables = {case: {row["strategy"]: row for row in compared(rows, *case)} for case in complete_cases(rows)}
    cases = " | ".join(f"{task}, {n or 'all'} a class" for task, n in tables)
    head = f"| strategy | {cases} | kept of the first task | parameters that learn |"
    lines = [head, "|---" * (len(tables) + 3) + "|"]

    def cell(row):
        if row["difference"] is None: return f"{row['test'][0]:.3f}"
        gap, interval = row["difference"]
        return f"{row['test'][0]:.3f} ({100 * gap:+.1f}{'' if told_apart(interval) else ' ·'})"

    for name, row in next(iter(tables.values())).items():
        cells = " | ".join(cell(table[name]) for table in tables.values())
        lines.append(f"| {name} | {cells} | {row['kept']:.2f} | {row['trainable']:,.0f} |")
    return lines


def mistake_lines(costs: list) -> list[str]:
    """A line a mistake, the dearest first."""
    def cell(value, interval):
        low, high = (100 * end for end in interval)
        return f"{100 * value:+.1f} [{low:+.1f}, {high:+.1f}]{'' if told_apart(interval) else ' ·'}"

    lines = ["| mistake | price, points of accuracy | reported too high, points |", "|---|---|---|"]
    for found in costs:
        told = "does not run" if found.error else cell(found.deception, found.deception_interval)
        lines.append(f"| {found.name} | {cell(found.price, found.price_interval)} | {told} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=["quick", "full"], default="quick")
    parser.add_argument("--only", choices=["strategies", "mistakes"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--work", type=Path, required=True, help="for what is measured so far")
    args = parser.parse_args()
    if args.only != "mistakes":
        cases = [(*case, n) for case in SCENARIOS for n in SIZES[args.profile][case[1]]]
        cases.sort(key=lambda case: case[2] or 10**9)                       # the small ones first
        todo = [(*case, strategy, seed) for case in cases for seed in args.seeds for strategy in strategies()]
        more = [(*case, n) for case in SCENARIOS for n in MORE.get(args.profile, {}).get(case[1], ())]
        todo += [(*case, strategy, seed) for case in more for seed in args.seeds for strategy in CURVE]
        make("strategies", args.profile, todo, ("network", "task", "per_class", "strategy", "seed"), measure_strategy,
             args.work)
    if args.only != "strategies":
        full = args.profile == "full"
        todo = [(name, seed) for seed in args.seeds for name in all_kinds()]
        make("mistakes", args.profile, todo, ("mistake", "seed"),
             lambda name, seed, _: measure_mistake(name, seed, full), args.work)
    print(summary(args.profile))


if __name__ == "__main__":
    main()
