"""The instruction sets of the compiled kernels, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zoo.kernels import runtime


@pytest.fixture(params=runtime.compiled().usable_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine can run."""
    before = runtime.compiled().current_isa()
    runtime.compiled().set_isa(request.param)
    yield request.param
    runtime.compiled().set_isa(before)
