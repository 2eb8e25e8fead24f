"""Timing on a GPU: CUDA events around each call, after a flush of the L2 cache, with the host ahead of the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from zoo.utils.stats import Spread

_LEAST = 3  # samples of a contender that exceeds its budget
_AHEAD = 4_000_000
"""Clock cycles, about 2 ms, for which the device is kept busy before a call, while the host queues the call."""


class GpuTimer:
    """Times calls on ``device``, the current CUDA device; ``cuda`` is torch.cuda, or what stands for it in tests."""

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._cuda = cuda
        l2_bytes = int(cuda.get_device_properties(device).L2_cache_size)
        # Written before every call, so that the call finds none of its tensors in the L2 cache.
        self._flush = torch.empty(max(2 * l2_bytes, 2**22), dtype=torch.uint8, device=device)

    def interleave(self, calls: Mapping[str, Callable[[], object]], rounds: int, budget: float) -> dict[str, Spread]:
        """Return the device's seconds per call, sampled in turn (A B C A B C ...) after three untimed calls of each.

        A contender that has spent ``budget`` seconds takes no part in further rounds, but has at least three samples.
        """
        for call in calls.values():
            for _ in range(3):
                call()
        samples: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(rounds):
            for name, call in calls.items():
                if turn < _LEAST or sum(samples[name]) < budget:
                    samples[name].append(self.seconds(call))
        return {name: Spread.of(values) for name, values in samples.items()}

    def seconds(self, call: Callable[[], object]) -> float:
        """Return the seconds between the events before and after the call, on the device."""
        begin, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        self._flush.zero_()
        self._cuda._sleep(_AHEAD)
        begin.record()
        call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


class GpuLimits:
    """Samples of a GPU's copy bandwidth and multiply-add rate; :meth:`sample` takes one of each."""

    def __init__(self, timer: GpuTimer, quick: bool, device: torch.device) -> None:
        self._timer = timer
        self._side = 64 if quick else 8192
        self._matrices = [torch.ones(self._side, self._side, device=device) for _ in range(3)]
        self._from, self._to = (torch.ones(2**16 if quick else 2**28, device=device) for _ in range(2))
        self._flops: list[float] = []
        self._bytes: list[float] = []

    def sample(self) -> None:
        """Take one sample of each limit. TF32 is off, so that the product runs on the units that the kernels use."""
        a, b, c = self._matrices
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            torch.mm(a, b, out=c)  # chooses its algorithm
            seconds = self._timer.seconds(lambda: torch.mm(a, b, out=c))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        self._flops.append(2 * self._side**3 / seconds / 1e9)
        seconds = self._timer.seconds(lambda: self._to.copy_(self._from))
        self._bytes.append(2 * self._from.nbytes / seconds / 1e9)

    def peaks(self) -> dict[str, Spread]:
        """Return the GFLOP/s of a float32 matrix product of side 8192, cuBLAS's best use of the multiply-adds."""
        return {"float32 matrix product": Spread.of(self._flops)}

    def bandwidth(self) -> Spread:
        """Return the GB/s of a copy of 1 GB within the device's memory, counted as read and written."""
        return Spread.of(self._bytes)
