"""For all tests: memory from ``torch.empty`` is NaN, so that an output nobody wrote shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _nan_for_uninitialised_memory() -> Iterator[None]:
    # fill_uninitialized_memory works in deterministic mode only; warn_only lets ops without such a form run.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
