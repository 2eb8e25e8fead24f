from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from zoo.bench import prediction
from zoo.kernels import runtime
from zoo.utils import timing


@pytest.fixture(autouse=True)
def _one_thread_and_a_restored_instruction_set() -> Iterator[None]:
    threads, isa = torch.get_num_threads(), runtime.compiled().current_isa()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    runtime.compiled().set_isa(isa)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the fewest samples with almost no rest, for tests of the report."""
    measure = prediction._measure
    monkeypatch.setattr(timing, "_REST", 1e-4)
    monkeypatch.setattr(timing, "_SHORT", 1e-4)
    monkeypatch.setattr(prediction, "_measure", lambda contenders, inputs, budget: measure(contenders, inputs, 0))
