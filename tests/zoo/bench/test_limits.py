from __future__ import annotations

import pytest
import torch

from tests.support.bench import ISAS
from zoo.bench.limits import Limits
from zoo.kernels import runtime


def test_measuring_the_limits_restores_the_instruction_set() -> None:
    before = runtime.compiled().current_isa()
    limits = Limits(ISAS, quick=True)
    for _ in range(3):
        limits.sample()
    assert runtime.compiled().current_isa() == before
    assert list(limits.peaks()) == ISAS
    for spread in (*limits.peaks().values(), limits.bandwidth()):
        assert spread.samples == 3
        assert 0 < spread.low <= spread.median <= spread.high


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_limits_do_the_work_they_count(isa: str, threads: int) -> None:
    kernels = runtime.compiled()
    kernels.set_isa(isa)
    a, b, out = torch.rand(1001), torch.rand(1001), torch.empty(1002)
    out[-1] = 7
    kernels.triad(out.data_ptr(), a.data_ptr(), b.data_ptr(), 1001, threads)
    torch.testing.assert_close(out[:-1], a + 3 * b)
    assert out[-1] == 7
    lanes = {"baseline": 4, "avx2": 8, "avx512": 16}[isa]
    assert kernels.multiply_adds(10, threads) == 2 * 12 * lanes * 10 * threads
