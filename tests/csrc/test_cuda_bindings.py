"""The registered ops with their CUDA bodies and bindings, whole, on a build in which the shim stands for the GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.sanitize import build_with


@pytest.mark.slow
def test_the_cuda_bodies_of_the_ops_pass_the_tests_of_the_cpu() -> None:
    shim = f"-DZOO_CUDA_SHIM={ROOT}/tests/support/cuda_shim.h"
    (module,) = build_with(ROOT / "build" / "shim", "_kernels", [shim]).glob("_kernels*.so")
    tests = ["tests/zoo/kernels/test_on_gpu.py", "-k", "cpu"]
    command = [sys.executable, "-m", "pytest", *tests, "-p", "tests.support.shim_kernels", "-q"]
    environment = {**os.environ, "ZOO_SHIM_KERNELS": str(module)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
