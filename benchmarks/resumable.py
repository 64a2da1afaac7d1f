"""Measurements that take an hour: each result is kept as soon as it is there, and the same command goes on."""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path


def arguments(doc: str) -> argparse.Namespace:
    """`work`, the folder of the runs and of what is measured so far, and the list of `seeds`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="for the runs and what is measured so far")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def measured(todo: list[tuple], names: tuple[str, ...], measure: Callable, work: Path) -> Iterator[list[dict]]:
    """All rows so far: those that `work` holds, then again after each call of `measure`, for what they lack of `todo`.

    `names` are the keys under which a row holds the entry of `todo` that it is about.
    """
    kept = work / "rows.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {tuple(row[name] for name in names) for row in rows}
    yield rows
    for case in todo:
        if case in done: continue
        rows.append(measure(*case))
        with kept.open("a") as file: file.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
        yield rows


def table(rows: list[dict], names: tuple[str, ...]) -> list[dict]:
    """Mean and standard deviation of "test", and median seconds, over the rows that agree in `names`."""
    out, key = [], lambda row: tuple(row[name] for name in names)
    for case in dict.fromkeys(map(key, rows)):
        some = [row for row in rows if key(row) == case]
        tests = [row["test"] for row in some]
        out.append({**dict(zip(names, case, strict=True)), "n": len(some), "mean": round(statistics.mean(tests), 4),
                    "sd": round(statistics.stdev(tests), 4) if len(some) > 1 else None,
                    "seconds": statistics.median(row["seconds"] for row in some)})
    return out
