"""The benchmark's own arithmetic, a small run of it from end to end, and its stored results."""

import copy
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.report import OURS, comparisons, facts, gate, limits, markdown, paired, picture, promise_lines, promises
from benchmarks.workloads import WORKLOADS, gates, job, small

ROOT = Path(__file__).parents[1]
STORED = ROOT / "data" / "results" / "speed.json"


def made(seconds: dict, **more) -> dict:
    """A record of two rounds with the seconds of each contestant for B-head-10."""
    rows = [{"round": i, "workload": "machine", "contestant": OURS, "product": 1e11, "memory": 1e10} for i in range(2)]
    for name, times in seconds.items():
        rows += [{"round": i, "workload": "B-head-10", "contestant": name, "seconds": s, "accuracy": 0.7 + 0.01 * i, "loss": 1.0,
                  "learned": ["fc.bias", "fc.weight"]} for i, s in enumerate(times)]
        rows.append({"round": -1, "workload": "B-head-10", "contestant": name, "seconds": 1.0, "loss": 1.0, "accuracy": 0.5,
                     "learned": ["fc.bias", "fc.weight"]})
    workload = next(asdict(w) for w in WORKLOADS if w.key == "B-head-10")
    return {"rows": rows, "flops": {}, "workloads": {"B-head-10": workload}, "rounds": 2, "threads": 2, "made": "2026-01-01",
            "missing": ["fastai"], "quick": False, "versions": {"ftcourse": "0"}, "environment": {"processor": "a processor"}, **more}


SECONDS = {OURS: [1.0, 3.0], "pytorch, default": [9.0, 30.0], "pytorch, best": [7.0, 12.0]}


def test_ratios_are_paired_within_a_round():
    ratio, low, high, n = paired({0: 9.0, 1: 30.0, 2: 5.0}, {0: 1.0, 1: 3.0, 3: 1.0})
    assert (ratio, low, high, n) == (pytest.approx(np.median([9, 10])), 9, 10, 2)
    rows = {row["contestant"]: row for row in comparisons(made(SECONDS))}
    assert rows["pytorch, best"]["ratio"] == pytest.approx((7 + 4) / 2) and rows["pytorch, best"]["low"] == 4
    assert OURS not in rows


def test_a_promise_is_held_or_missed_by_the_fastest_peer():
    (head,) = [row for row in promises(made(SECONDS)) if row["what"].startswith("head only, images")]
    assert head["holds"] and head["against"] == "pytorch, default" and head["reached"] == pytest.approx(9.5)
    slower = made({**SECONDS, "lightning, default": [6.0, 18.0], "accelerate, best": [0.9, 2.7]})
    (head,) = [row for row in promises(slower) if row["what"].startswith("head only, images")]
    assert not head["holds"] and head["against"] == "lightning, default"
    (never,) = [row for row in promises(slower) if "never slower" in row["what"]]
    assert not never["holds"] and never["reached"] == pytest.approx(0.9)


@pytest.mark.parametrize("change, passes", [
    ({"loss": 1.0019}, (True, True)), ({"loss": 1.003}, (False, True)), ({"learned": ["fc.weight"]}, (True, False)),
])
def test_the_gate_sees_another_loss_and_other_parameters(change, passes):
    record = made(SECONDS)
    next(row for row in record["rows"] if row["round"] < 0 and row["contestant"] == OURS).update(change)
    (ours,) = [row for row in gate(record) if row["contestant"] == OURS]
    assert (ours["same_loss"], ours["same_parameters"]) == passes


def test_the_share_of_the_limit():
    shares = {row["contestant"]: row for row in limits(made(SECONDS, flops={"B-head-10": 6e10}))}
    assert shares[OURS]["high"] == pytest.approx(0.6) and shares[OURS]["low"] == pytest.approx(0.2)


def test_the_table_says_what_is_missing_and_what_failed():
    record = made(SECONDS)
    record["rows"].append({"round": 0, "workload": "B-head-10", "contestant": "lightning, best", "error": "OSError: no room"})
    text = markdown({**record, **facts(record)})
    for words in ("9.50 [9.00, 10.00]", "Not installed, and left out: fastai", "lightning, best, round 0: OSError: no room", "holds"):
        assert words in text
    assert len(picture({**record, **facts(record)}).axes) == 1


def test_every_contestant_gets_the_same_examples_and_what_is_frozen_is_what_ftcourse_freezes():
    from ftcourse.freezing import freeze

    for key in gates(WORKLOADS):
        workload = small(next(w for w in WORKLOADS if w.key == key))
        a, b = job(workload, 3, ""), job(workload, 3, "")
        assert torch.equal(a.task.train.labels, b.task.train.labels) and len(a.task.train) == workload.n
        assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))
        held = freeze(copy.deepcopy(a.model), until=workload.learns)
        assert a.learning == [name for name, p in held.named_parameters() if p.requires_grad]
        held.train()
        assert {name for name, m in held.named_modules() if m in {*held.modules()} and not m.training} == \
            {name for name, m in a.model.named_modules() if any(m is f for f in a.frozen)}


def run(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "benchmarks", *args], cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_a_small_run_from_end_to_end(tmp_path):
    """Two workloads beside plain PyTorch and transformers' Trainer; a second call has nothing left to measure."""
    asked = ("--quick", "--json", "--rounds", "1", "--only", "B-head-1", "D-texts", "--peers", "pytorch", "transformers",
             "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"))
    done = run(*asked)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(done.stdout)
    assert len(record["comparisons"]) == 2 * 4 and not [row for row in record["rows"] if "error" in row]
    checked = {row["contestant"]: row for row in record["gate"]}
    assert all(row["same_parameters"] for row in checked.values()) and len(checked) == 5
    assert checked[OURS]["same_loss"] and checked["transformers, best"]["same_loss"]
    texts = {row["contestant"]: row["accuracy"] for row in record["rows"] if row["workload"] == "D-texts"}
    assert len(set(texts.values())) == 1, texts                          # an evaluation has one answer
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"speed.json", "speed.md", "speed.png"}
    stored = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert len(stored["rows"]) == len(record["rows"])
    assert json.loads(run(*asked).stdout)["rows"] == record["rows"]


def test_what_is_asked_wrongly_is_said_in_a_line():
    wrong = run("--only", "E-64")
    assert wrong.returncode == 1 and "no workload E-64; there are A-64" in wrong.stderr and "Traceback" not in wrong.stderr
    assert "invalid choice: 'keras'" in run("--peers", "keras").stderr


def test_the_stored_tables_are_those_of_the_stored_rows():
    record = json.loads(STORED.read_text())
    assert not record["quick"] and not record["missing"] and not [row for row in record["rows"] if "error" in row]
    again = facts(record)
    for name in ("comparisons", "promises", "limits"):
        for stored, made_now in zip(record[name], again[name], strict=True):
            for key, value in stored.items():
                assert made_now[key] == (pytest.approx(value, rel=2e-3, abs=2e-3) if isinstance(value, float) else value), (name, stored)
    assert record["gate"] and [row["same_parameters"] for row in record["gate"]] == [row["same_parameters"] for row in again["gate"]]
    written = STORED.with_suffix(".md").read_text()
    assert markdown(record) == written


def test_the_readme_has_the_stored_promises():
    record, readme = json.loads(STORED.read_text()), (ROOT / "README.md").read_text()
    for line in promise_lines(record): assert line in readme, line


def test_exponents_are_found():
    from benchmarks.growth import exponent

    x = [8, 16, 32, 64, 128, 256]
    assert exponent(x, [3 + 0.01 * v for v in x]) == pytest.approx(1, abs=0.05)
    assert exponent(x, [0.5 + 1e-3 * v**2 for v in x]) == pytest.approx(2, abs=0.05)


def test_stored_growth_is_what_its_rows_say():
    """The exponents follow from the points; nothing grows faster than the mathematics does."""
    from benchmarks.growth import CURVES, fitted

    record = json.loads((ROOT / "data" / "results" / "growth.json").read_text())
    points = {curve: [row["value"] for row in record["rows"] if row["curve"] == curve] for curve in CURVES}
    assert {curve: sorted(values) for curve, values in points.items()} == {c: sorted(v) for c, (v, _) in CURVES.items()}
    assert record["exponents"] == fitted(record["rows"])
    most = {"images": 1.1, "pixels": 2.2, "length": 1.5}                 # pixels of an image: its side squared
    for curve, exponents in record["exponents"].items(): assert exponents["seconds"] <= most[curve], (curve, exponents)
