"""One contestant in a process of its own: reads requests as lines of JSON, answers each with one line.

    python -m benchmarks.worker PEER SETTING

The process that asks is `python -m benchmarks`. A request is {"workload": {…}, "seed": 0, "gate": false}, or {"machine": true}.
"""

import contextlib
import ctypes
import gc
import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace

import torch
import torch.nn.functional as F

from benchmarks.machine import PeakMemory, memory_rate, product_rate
from benchmarks.peers import TRAINERS, Logits, evaluation
from benchmarks.workloads import Job, Workload, job

DISTRIBUTIONS = {"pytorch": "torch"}


def told_by(work: Job) -> dict:
    """What the trained network says of the test examples, in evaluation mode, by one program for all contestants."""
    model, split = Logits(work.model).eval(), work.task.test
    logits = []
    with torch.no_grad():
        for rows in torch.arange(len(split)).split(32):
            logits.append(model(work.model.preprocess(_rows(split.inputs, rows))).float())
    logits = torch.cat(logits)
    return {"loss": float(F.cross_entropy(logits, split.labels)), "accuracy": float((logits.argmax(1) == split.labels).float().mean())}


def _rows(inputs, rows):
    return inputs[rows] if isinstance(inputs, torch.Tensor) else [inputs[i] for i in rows]


def run(peer: str, best: bool, workload: Workload, seed: int, gate: bool) -> dict:
    """One job from raw examples to a trained network on disk: its seconds and peak memory, and what came out of it."""
    if not gate: warm_up(peer, best, workload)
    folder = tempfile.mkdtemp(prefix="bench-")
    work = job(workload, seed, folder, gate=gate)
    before = {name: p.detach().clone() for name, p in work.model.named_parameters()}
    torch.manual_seed(seed)
    with PeakMemory() as memory:
        at = time.perf_counter()
        accuracy = evaluation(peer, work, best) if not workload.epochs else TRAINERS[peer](work, best)
        if workload.epochs and peer != "ftcourse": torch.save(work.model.state_dict(), f"{folder}/trained.pt")
        seconds = time.perf_counter() - at
    shutil.rmtree(folder, ignore_errors=True)
    if not workload.epochs: return {"seconds": seconds, "peak_mb": memory.bytes / 1e6, "accuracy": accuracy}
    learned = sorted(name for name, p in work.model.named_parameters() if not torch.equal(p, before[name]))
    digest = hashlib.sha256(json.dumps(learned).encode()).hexdigest()[:12]
    return {"seconds": seconds, "peak_mb": memory.bytes / 1e6, **told_by(work), "learned": f"{len(learned)} parameters, {digest}"}


def _give_memory_back() -> None:
    """Return to the system what is no longer used: eleven processes wait on one machine, and trainers hold themselves."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError): ctypes.CDLL(None).malloc_trim(0)          # glibc's own


def warm_up(peer: str, best: bool, workload: Workload) -> None:
    """One batch of the same work: while a process waits for the others, the system takes its memory's pages away."""
    few = replace(workload, n=workload.batch_size, epochs=min(1, workload.epochs))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = job(few, 0, folder)
        if few.epochs: TRAINERS[peer](work, best)
        else: evaluation(peer, work, best)


def step_flops(workload: Workload) -> float:
    """Floating-point operations of one job in which everything learns: training forward and backward, and validation."""
    from torch.utils.flop_counter import FlopCounterMode

    work = job(workload, 0, "")
    model = Logits(work.model)
    batch = work.model.preprocess(_rows(work.task.train.inputs, torch.arange(workload.batch_size)))
    with FlopCounterMode(display=False) as forward, torch.no_grad(): model(batch)
    with FlopCounterMode(display=False) as both: model.train()(batch).sum().backward()
    an_example = lambda counted: counted.get_total_flops() / workload.batch_size
    return workload.epochs * (workload.n * an_example(both) + len(work.task.valid) * an_example(forward))


def machine() -> dict: return {"product": product_rate(), "memory": memory_rate()}


def main() -> None:
    peer, setting = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                                        # what the trainers print is no answer
    version = importlib.metadata.version(DISTRIBUTIONS.get(peer, peer))
    print(json.dumps({"version": version, "threads": torch.get_num_threads()}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "machine" in asked: answer = machine()
            elif "flops" in asked: answer = {"flops": step_flops(Workload(**asked["flops"]))}
            else: answer = run(peer, setting == "best", Workload(**asked["workload"]), asked["seed"], asked["gate"])
        except Exception as error:                       # told to the one who asked, who goes on with the others
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        _give_memory_back()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
