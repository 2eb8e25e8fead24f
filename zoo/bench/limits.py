"""The limits of the machine, measured between the contenders: multiply-adds and memory bandwidth."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from zoo.kernels import runtime
from zoo.utils.stats import Spread


class Limits:
    """Samples of the peak of each instruction set and of the bandwidth; :meth:`sample` takes one of each."""

    def __init__(self, isas: Sequence[str], quick: bool) -> None:
        self._rounds = 100_000 if quick else 10_000_000
        # Three arrays, together several times the size of any last-level cache; quick uses small ones that fit.
        self._arrays = [torch.ones((2 if quick else 192) * 2**18) for _ in range(3)]
        self._flops: dict[str, list[float]] = {isa: [] for isa in isas}
        self._bytes: list[float] = []

    def sample(self) -> None:
        """Take one sample of each limit with torch's number of threads; restore the instruction set."""
        kernels, threads = runtime.compiled(), torch.get_num_threads()
        before = kernels.current_isa()
        for isa, rates in self._flops.items():
            kernels.set_isa(isa)
            started = time.perf_counter()
            flops = kernels.multiply_adds(self._rounds, threads)
            rates.append(flops / (time.perf_counter() - started) / 1e9)
        kernels.set_isa(before)
        out, a, b = self._arrays
        started = time.perf_counter()
        kernels.triad(out.data_ptr(), a.data_ptr(), b.data_ptr(), out.numel(), threads)
        self._bytes.append(3 * out.nbytes / (time.perf_counter() - started) / 1e9)

    def peaks(self) -> dict[str, Spread]:
        """Return the GFLOP/s of float32 multiply-adds from registers, by instruction set."""
        return {isa: Spread.of(rates) for isa, rates in self._flops.items()}

    def bandwidth(self) -> Spread:
        """Return the GB/s of ``out = a + 3 b``, counted as two arrays read and one written."""
        return Spread.of(self._bytes)
