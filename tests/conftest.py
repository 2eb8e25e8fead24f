"""In all tests, memory from ``torch.empty`` is NaN, so that outputs that were never written are noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _nan_for_uninitialised_memory() -> Iterator[None]:
    # fill_uninitialized_memory needs deterministic mode; warn_only allows ops without a deterministic form.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
