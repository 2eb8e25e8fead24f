"""A short form of ``make hammer``: many threads in two processes get the same answers from one model."""

from __future__ import annotations

import pytest

from tests.support.hammer import failed, hammer


@pytest.mark.parametrize("backend", ["native", "onnx", pytest.param("torch", marks=pytest.mark.slow)])
def test_threads_and_processes_get_the_same_bits_in_flat_memory(backend: str) -> None:
    figures = hammer("gridnet-digits", backend, processes=2, threads=16, seconds=3)
    assert not failed(figures), figures
    assert figures["calls"] > 16 * 2


def test_differences_errors_and_growth_are_failures() -> None:
    good = {"problems": [], "different answers": 0, "resident MB": [[100, 101, 102]]}
    assert not failed(good)
    assert failed({**good, "problems": ["thread 1: another result"]})
    assert failed({**good, "different answers": 1})
    assert failed({**good, "resident MB": [[100, 101, 102], [100, 150, 200]]})
