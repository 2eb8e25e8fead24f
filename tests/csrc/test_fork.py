"""Forked children compute, whatever the parent's threads were doing at the fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.forking import SCENARIOS
from tests.support.paths import ROOT

CHILDREN = {"kernels": 40, "grandchildren": 10}


@pytest.mark.skipif(sys.platform != "linux", reason="tests what fork does on Linux")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_forked_child_computes(scenario: str) -> None:
    children = CHILDREN.get(scenario, 3)
    command = [sys.executable, "-m", "tests.support.forking", scenario, str(children)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900, check=False)
    assert done.stdout.split() == [str(children)], done.stderr[-2000:]
