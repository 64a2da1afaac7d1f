"""ftcourse beside its peers on the same work: `python -m benchmarks` (an hour), `python -m benchmarks --quick` (ten minutes).

The peers are installed by `pip install -e '.[bench]'`, in an environment of their own; one that is missing is left out, and
the table says so. Each contestant is a process of its own that waits while the others work. A round runs every workload in
turn by every contestant, in an order that is reversed from round to round, and measures the machine's rate in a product of
matrices before. What counts is the ratio of seconds within a round: its median over the rounds, and the lowest and highest.
Before the rounds a gate: after four steps on one batch (with `--quick` two), without dropout, every contestant must have
trained the same parameters, and in its best setting must have reached the same loss.

`--out FOLDER` receives speed.json, speed.md and speed.png (data/results, with `--quick` nothing is written unless it is
given); `--json` prints the results. With `--work FOLDER` an interrupted command goes on where it stopped.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.report import facts, markdown, picture
from benchmarks.resumable import measured

PEERS = {"ftcourse": "ftcourse", "pytorch": "torch", "accelerate": "accelerate", "transformers": "transformers",
         "lightning": "lightning", "fastai": "fastai"}               # and the module that must be there
ROOT = Path(__file__).parents[1]


def contestants(wanted: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """ftcourse and those wanted that can run here, each a peer and a setting; and those that are not installed."""
    asked = [name for name in PEERS if name in wanted or name == "ftcourse"]
    there = [name for name in asked if importlib.util.find_spec(PEERS[name])]
    able = [(name, setting) for name in there for setting in ("default", "best") if (name, setting) != ("ftcourse", "best")]
    return able, [name for name in asked if name not in there]


class Contestant:
    """A process that works when it is asked to."""

    def __init__(self, peer: str, setting: str, threads: int, log: Path):
        self.name = f"{peer}, {setting}"
        kind = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads), "FTCOURSE_PROGRESS": "0", "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "true", "PYTHONWARNINGS": "ignore"}
        if peer != "ftcourse": kind |= {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**30)}   # ftcourse sets them itself
        self.log = log.open("w")
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", peer, setting], cwd=ROOT, text=True,
                                        env={**os.environ, **kind}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)

    def hears(self) -> dict:
        """The next answer. Ends the command when the process has ended."""
        line = self.process.stdout.readline()
        if not line: raise SystemExit(f"{self.name} has ended without an answer; its last words:\n{self.last_words()}")
        return json.loads(line)

    def last_words(self) -> str: return "\n".join(Path(self.log.name).read_text(errors="replace").splitlines()[-5:])

    def asked(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.hears()

    def close(self) -> None:
        with contextlib.suppress(OSError): self.process.stdin.close()
        self.process.wait(30)
        self.log.close()


def every(rounds: int, workloads: list[str], looked_at: list[str], names: list[str]) -> list[tuple]:
    """What to measure, in order: the gate (round -1), then each round with the machine's rates first."""
    todo = [(-1, workload, name) for workload in looked_at for name in names]
    for i in range(rounds):
        order = names if i % 2 == 0 else names[::-1]
        todo += [(i, "machine", names[0]), *((i, workload, name) for workload in workloads for name in order)]
    return todo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller jobs and one round")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--rounds", type=int, help="5, with --quick 1")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORKLOAD", help="keys of the table, such as B-head-10")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=[*PEERS], metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each contestant")
    parser.add_argument("--work", type=Path, help="keeps what is measured so far")
    parser.add_argument("--out", type=Path, help="for speed.json, speed.md and speed.png")
    args = parser.parse_args()
    record = compete(args)
    out = args.out or (None if args.quick or args.only else ROOT / "data" / "results")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "speed.json").write_text(as_json(record))
        (out / "speed.md").write_text(markdown(record))
        picture(record).savefig(out / "speed.png", dpi=110)
    print(json.dumps(record) if args.json else markdown(record))


def compete(args) -> dict:
    """Run all that is asked for; the record that the table is made from."""
    from benchmarks.workloads import WORKLOADS, gate, gates, small
    from ftcourse.training import environment

    unknown = set(args.only) - {w.key for w in WORKLOADS}
    if unknown: raise SystemExit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(w.key for w in WORKLOADS)}")
    chosen = {w.key: small(w) if args.quick else w for w in WORKLOADS if not args.only or w.key in args.only}
    able, missing = contestants(args.peers)
    rounds = args.rounds or (1 if args.quick else 5)
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        running = {}
        for peer, setting in able:
            one = Contestant(peer, setting, args.threads, work / f"{peer}-{setting}.log")
            stack.callback(one.close)
            running[one.name] = one
        versions = {name: one.hears() for name, one in running.items()}
        began = time.time()

        def measure(i: int, key: str, name: str) -> dict:
            if key == "machine": answer = running[name].asked(machine=True)
            else:
                job = gate(chosen[key], 2 if args.quick else 4) if i < 0 else chosen[key]
                answer = running[name].asked(workload=asdict(job), seed=max(i, 0), gate=i < 0)
            return {"round": i, "workload": key, "contestant": name, **answer}

        with contextlib.redirect_stdout(sys.stderr):
            *_, rows = measured(every(rounds, [*chosen], gates(chosen.values()), [*running]), ("round", "workload", "contestant"), measure, work)
        ours = running["ftcourse, default"]
        flops = {key: ours.asked(flops=asdict(w))["flops"] for key, w in chosen.items() if key.startswith("A")}
    record = {"made": time.strftime("%Y-%m-%d"), "quick": args.quick, "rounds": 1 + max(row["round"] for row in rows), "threads": args.threads,
              "seconds": round(time.time() - began), "environment": environment(), "missing": missing,
              "versions": {name.split(",")[0]: told["version"] for name, told in versions.items()},
              "workloads": {key: asdict(w) for key, w in chosen.items()}, "flops": flops, "rows": rows}
    return {**record, **facts(record)}


def as_json(record: dict) -> str:
    """The record with one measurement a line."""
    brief = lambda v: float(f"{v:.4g}") if isinstance(v, float) and math.isfinite(v) else v
    short = lambda row: {k: brief(v) for k, v in row.items()}
    rows = ",\n".join(json.dumps(short(row)) for row in record["rows"])
    return json.dumps({k: v for k, v in record.items() if k != "rows"}, indent=1)[:-2] + f',\n "rows": [\n{rows}\n]\n}}\n'


if __name__ == "__main__":
    main()
