"""What a process uses, and what its machine can do at best."""

import contextlib
import resource
import statistics
import time
from pathlib import Path

import torch


class PeakMemory(contextlib.AbstractContextManager):
    """`bytes` in use at the peak beyond those at the start: on a GPU as torch counts, else of the process (Linux)."""

    def __enter__(self):
        if torch.cuda.is_available(): torch.cuda.reset_peak_memory_stats()
        else: Path("/proc/self/clear_refs").write_text("5")          # sets the peak to what is resident now
        self.start = self._now()
        return self

    def __exit__(self, *_):
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else self._now()
        self.bytes = peak - self.start

    def _now(self) -> int:
        if torch.cuda.is_available(): return torch.cuda.memory_allocated()
        peak = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return 1024 * (int(peak[0].split()[1]) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _median_seconds(work, n: int) -> float:
    work()
    times = []
    for _ in range(n):
        at = time.perf_counter()
        work()
        times.append(time.perf_counter() - at)
    return statistics.median(times)


def product_rate(side: int = 1536, n: int = 9) -> float:
    """Floating-point operations a second in a product of two float32 matrices of `side` x `side`, median of `n`."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    out = torch.empty(side, side)
    return 2 * side**3 / _median_seconds(lambda: torch.mm(a, b, out=out), n)


def memory_rate(megabytes: int = 256, n: int = 5) -> float:
    """Bytes a second, read and written, in copying `megabytes`, median of `n`."""
    a = torch.ones(megabytes * 2**18)
    out = torch.empty_like(a)
    return 2 * a.nbytes / _median_seconds(lambda: out.copy_(a), n)
