"""From the rows of `python -m benchmarks` to its table, its verdicts and its picture."""

import math
import statistics

OURS = "ftcourse, default"
TOLERANCE = {"best": 2e-3, "default": 2e-2}
"""Of the loss after the gate's steps, relative to plain PyTorch's best: default settings scale images in 8 bits."""


def _seconds(record: dict) -> dict[tuple[str, str], dict[int, float]]:
    """Seconds by workload and contestant, then by round."""
    found = {}
    for row in record["rows"]:
        if row["round"] >= 0 and "seconds" in row: found.setdefault((row["workload"], row["contestant"]), {})[row["round"]] = row["seconds"]
    return found


def paired(theirs: dict[int, float], ours: dict[int, float]) -> tuple[float, float, float, int]:
    """How many times as long they took as we did: median, lowest and highest of the rounds that both have run; their number."""
    ratios = [theirs[i] / ours[i] for i in theirs.keys() & ours.keys()]
    return statistics.median(ratios), min(ratios), max(ratios), len(ratios)


def comparisons(record: dict) -> list[dict]:
    """A row for each workload and each contestant but ourselves: seconds, ratio with its interval, accuracies."""
    seconds, out = _seconds(record), []
    for (workload, name), theirs in seconds.items():
        ours = seconds.get((workload, OURS))
        if name == OURS or not ours or not theirs.keys() & ours.keys(): continue
        ratio, low, high, n = paired(theirs, ours)
        gap, error = _accuracy_gap(record["rows"], workload, name)
        out.append({"workload": workload, "contestant": name, "seconds": statistics.median(theirs.values()),
                    "ours": statistics.median(ours.values()), "ratio": ratio, "low": low, "high": high, "n": n,
                    "accuracy_gap": gap, "accuracy_gap_error": error})
    return out


def _accuracy_gap(rows: list[dict], workload: str, name: str) -> tuple[float, float | None]:
    """Our accuracy on the test examples minus theirs, mean over the rounds (each another seed), and its standard error."""
    by = {(row["contestant"], row["round"]): row["accuracy"] for row in rows
          if row["workload"] == workload and row["round"] >= 0 and "accuracy" in row}
    gaps = [ours - by[name, i] for (who, i), ours in by.items() if who == OURS and (name, i) in by]
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else None
    return statistics.mean(gaps), error


def gate(record: dict) -> list[dict]:
    """For each workload that trains and each contestant: the same parameters, the same loss?"""
    out = []
    first = [row for row in record["rows"] if row["round"] < 0 and "learned" in row]
    for row in first:
        reference = next((r for r in first if r["workload"] == row["workload"] and r["contestant"] == "pytorch, best"), None)
        if reference is None: continue
        off = abs(row["loss"] - reference["loss"]) / reference["loss"]
        setting = "best" if row["contestant"] == OURS else row["contestant"].split(", ")[1]
        out.append({"workload": row["workload"], "contestant": row["contestant"], "loss_off": off,
                    "same_loss": off <= TOLERANCE[setting], "same_parameters": row["learned"] == reference["learned"]})
    return out


def limits(record: dict) -> list[dict]:
    """Where everything learns: what share of the machine's product rate each contestant used, median of the rounds."""
    rates = {row["round"]: row["product"] for row in record["rows"] if row["workload"] == "machine" and "product" in row}
    out = []
    for (workload, name), by_round in _seconds(record).items():
        flops = record["flops"].get(workload)
        if flops and rates:
            shares = [flops / s / rates[i] for i, s in by_round.items() if i in rates]
            out.append({"workload": workload, "contestant": name, "share": statistics.median(shares), "low": min(shares), "high": max(shares)})
    return out


def _fastest(rows: list[dict], workload: str, setting: str = "", who: str = "") -> dict | None:
    """The comparison with the fastest contestant of a workload, by the median of its ratios."""
    some = [row for row in rows if row["workload"] == workload and setting in row["contestant"] and who in row["contestant"]]
    return min(some, key=lambda row: row["ratio"], default=None)


def promises(record: dict) -> list[dict]:
    """What is asked of the library, what was reached, and whether that holds."""
    rows = comparisons(record)
    asked = [("head only, images, 10 epochs, over the fastest peer at its default", 8, _fastest(rows, "B-head-10", "default")),
             ("head only, short texts, 10 epochs, over the fastest peer at its default", 15, _fastest(rows, "B-texts-10", "default")),
             ("last stage, images, 5 epochs, over the fastest peer", 1.5, _fastest(rows, "B-last-5")),
             ("everything learns, images of 64 pixels, over the fastest peer", 1.25, _fastest(rows, "A-64")),
             ("short texts, over padding to the longest allowed", 4, _fastest(rows, "C-short", "default", "pytorch")),
             ("short texts, over batches in random order padded to their longest", 1.4, _fastest(rows, "C-short", "default", "accelerate"))]
    out = [{"what": what, "asked": value, "reached": row["ratio"], "low": row["low"], "high": row["high"], "against": row["contestant"],
            "holds": row["ratio"] >= value} for what, value, row in asked if row]
    slowest = min((row for row in rows), key=lambda row: row["ratio"], default=None)
    if slowest: out.append({"what": f"never slower than the fastest anywhere ({slowest['workload']})", "asked": 0.97, "reached": slowest["ratio"],
                            "low": slowest["low"], "high": slowest["high"], "against": slowest["contestant"], "holds": slowest["ratio"] >= 0.97})
    for workload, share in {"A-64": 0.5, "A-128": 0.6}.items():
        own = next((row for row in limits(record) if row["workload"] == workload and row["contestant"] == OURS), None)
        if own: out.append({"what": f"share of the product rate, {workload}", "asked": share, "reached": own["share"], "low": own["low"],
                            "high": own["high"], "against": "the machine", "holds": own["share"] >= share})
    return out


def facts(record: dict) -> dict:
    """What follows from the rows."""
    return {"comparisons": comparisons(record), "gate": gate(record), "limits": limits(record), "promises": promises(record)}


def rounds(record: dict) -> str:
    """How many rounds the ratios are medians of."""
    few, many = (f(row["n"] for row in record["comparisons"]) for f in (min, max))
    return f"{few} round{'' if few == 1 else 's'}" if few == many else f"{few} to {many} rounds"


def _interval(row: dict, key: str) -> str:
    """A median and its lowest and highest; of one round the number alone."""
    return f"{row[key]:.2f}" + (f" [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] < row["high"] else "")


def promise_lines(record: dict) -> list[str]:
    """What is asked and what was reached, as a table."""
    return ["| what is asked | at least | reached | against | |", "|---|---|---|---|---|",
            *(f"| {row['what']} | {row['asked']:g} | {_interval(row, 'reached')} | {row['against']} | "
              f"{'holds' if row['holds'] else 'MISSED'} |" for row in record["promises"])]


def markdown(record: dict) -> str:
    """The tables."""
    machine, rows = record["environment"], record["comparisons"]
    rates = [row for row in record["rows"] if row["workload"] == "machine" and "product" in row]
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    median = lambda key: statistics.median(row[key] for row in rates) / 1e9
    lines = [f"ftcourse beside its peers, {record['made']}: {machine['processor']}, {record['threads']} threads, "
             f"{', '.join(f'{name} {version}' for name, version in record['versions'].items())}; {rounds(record)}.",
             f"Products of matrices {median('product'):.0f} GFLOP/s ({min(r['product'] for r in rates) / 1e9:.0f} to "
             f"{max(r['product'] for r in rates) / 1e9:.0f} over the rounds), copying {median('memory'):.1f} GB/s." if rates else "",
             "", "Seconds of ftcourse, and how many times as long each peer took: median of the rounds [lowest, highest].", "",
             "| workload | ftcourse, s | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for key, workload in record["workloads"].items():
        by = {row["contestant"]: row for row in rows if row["workload"] == key}
        if by: lines.append(f"| {key}: {workload['title']} | {next(iter(by.values()))['ours']:.2f} | "
                            + " | ".join(_interval(by[name], 'ratio') if name in by else "failed" for name in names) + " |")
    lines += ["", *promise_lines(record)]
    lines += ["", "Share of the machine's product rate where everything learns, validation and writing included:", ""]
    lines += [f"- {row['workload']}, {row['contestant']}: {row['share']:.0%} [{row['low']:.0%}, {row['high']:.0%}]" for row in record["limits"]]
    off = [row for row in record["gate"] if not (row["same_loss"] and row["same_parameters"])]
    lines += ["", f"Gate, after {'two' if record['quick'] else 'four'} steps on one batch: {len(record['gate']) - len(off)} of {len(record['gate'])} with plain PyTorch's parameters "
              f"and loss (within {TOLERANCE['best']:g} of it in the best settings, {TOLERANCE['default']:g} in the default ones)."]
    lines += [f"- {row['workload']}, {row['contestant']}: loss off by {row['loss_off']:.1%}"
              + ("" if row["same_parameters"] else ", other parameters trained") for row in off]
    lines += ["", "Accuracy where the procedure differs, ours minus theirs in points, over the rounds (each another seed) ± standard error:", ""]
    wide = [row for row in rows if row["accuracy_gap_error"] is not None and abs(row["accuracy_gap"]) > 2 * row["accuracy_gap_error"] + 0.005]
    lines += [f"- {row['workload']}, {row['contestant']}: {100 * row['accuracy_gap']:+.1f} ± {100 * row['accuracy_gap_error']:.1f}" for row in wide]
    told = any(row["accuracy_gap_error"] is not None for row in rows)
    if not wide: lines += ["- no pair differs by more than two standard errors and half a point." if told else "- one round cannot tell."]
    failed = [row for row in record["rows"] if "error" in row]
    lines += [f"- failed: {row['workload']}, {row['contestant']}, round {row['round']}: {row['error']}" for row in failed]
    if record["missing"]: lines += ["", f"Not installed, and left out: {', '.join(record['missing'])}."]
    return "\n".join(lines) + "\n"


def picture(record: dict):
    """How many times as long each peer took, a panel for each workload."""
    from matplotlib.figure import Figure

    rows = record["comparisons"]
    keys = list(dict.fromkeys(row["workload"] for row in rows))
    columns = min(3, len(keys))
    lines = math.ceil(len(keys) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * lines), layout="constrained")
    for i, key in enumerate(keys):
        axes = figure.add_subplot(lines, columns, i + 1)
        some = [row for row in rows if row["workload"] == key][::-1]
        for at, row in enumerate(some):
            best = row["contestant"].endswith("best")
            axes.plot([row["low"], row["high"]], [at, at], color="C0" if best else "C1", lw=1.5)
            axes.plot(row["ratio"], at, "o" if best else "s", color="C0" if best else "C1", ms=5)
        axes.axvline(1, color="0.4", lw=1)
        axes.set(xscale="log", title=key)
        axes.set_yticks(range(len(some)), [row["contestant"] for row in some], fontsize=7)
        top = max([row["high"] for row in some] + [2])
        ticks = [t for t in (0.5, 1, 2, 4, 8, 16, 32, 64, 128) if t <= 1.3 * top]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.tick_params(axis="x", labelsize=7)
    figure.suptitle("How many times as long as ftcourse (1: the line)", fontsize=11)
    return figure
