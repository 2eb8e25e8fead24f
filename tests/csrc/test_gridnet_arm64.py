"""The CPU kernels compiled for arm64 and run in an emulator, against the reference."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from sdk.kernels import ACTIVATIONS
from tests.support.paths import ROOT
from tests.zoo.kernels.gridnet.test_op import CASES, Case
from zoo.kernels.gridnet import reference

pytestmark = pytest.mark.slow

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
SOURCES = [
    "core/dispatch.cpp",
    "core/per_process.cpp",
    "core/thread_pool.cpp",
    "core/workspace.cpp",
    "gridnet/cpu/api.cpp",
    "gridnet/cpu/kernels.cpp",
]
FLAGS = [
    "-std=c++20",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
]  # CMakeLists.txt


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on the PATH: nothing is compiled for arm64, or run, here")
    built = tmp_path_factory.mktemp("arm64") / "gridnet"
    sources = [str(ROOT / "csrc" / name) for name in SOURCES]
    defines = ["-DZOO_ISA=baseline", "-DZOO_VECTOR_BYTES=16", f"-I{ROOT / 'csrc'}"]
    main = str(ROOT / "tests" / "support" / "gridnet_cpu_program.cpp")
    command = [COMPILER, *FLAGS, *defines, main, *sources, "-static", "-pthread", "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arm64_gives_the_output_and_gradients_of_the_reference(program: Path, case: Case) -> None:
    tensors = case.tensors(torch.float64)
    expected = case.run(reference, tensors)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = [expected, *torch.autograd.grad(expected, tensors, grad)]
    numbers = [
        *case.grid, case.batch, case.block, case.inner, case.gated, case.normalize, ACTIVATIONS[case.activation],
        case.outer or 1, case.separate and case.outer != 1, case.outer is not None, case.residual,
        min(case.recompute, case.outer or 1), 2,
    ]  # fmt: skip
    data = [tensor.detach().numpy().tobytes() for tensor in (*tensors, grad)]
    given = struct.pack(f"{len(numbers)}q", *numbers) + b"".join(data)
    done = subprocess.run([EMULATOR, str(program)], input=given, capture_output=True, check=True)
    found = torch.frombuffer(bytearray(done.stdout), dtype=torch.float64).split([t.numel() for t in wanted])
    for a, b in zip(found, wanted, strict=True):
        scale = 1 + b.abs().max()
        torch.testing.assert_close(a.view_as(b) / scale, b / scale, rtol=1e-10, atol=1e-10)
