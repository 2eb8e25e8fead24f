"""The sources in Clang, and in compilers for Windows: read as a whole, and with Clang compiled, run and compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

CMAKE = (ROOT / "CMakeLists.txt").read_text()
CLANGS = ("clang++", *(f"clang++-{version}" for version in range(24, 15, -1)))
MINGW = "x86_64-w64-mingw32-g++-posix"
ISAS = {
    "baseline": ["-DZOO_VECTOR_BYTES=16"],
    "avx2": ["-DZOO_VECTOR_BYTES=32", "-mavx2", "-mfma"],
    "avx512": ["-DZOO_VECTOR_BYTES=64", "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"],
}
FLAGS = ["-std=c++20", "-fsyntax-only", "-Werror", "-Wall", "-Wno-psabi", f"-I{ROOT / 'csrc'}"]


def sources(name: str) -> list[str]:
    """The files of a list in CMakeLists.txt."""
    [listed] = re.findall(rf"set\({name}\b(.*?)\)$", CMAKE, re.DOTALL | re.MULTILINE)
    return re.findall(r"csrc/\S+\.cpp", listed)


def clang() -> str:
    found = next((path for name in CLANGS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no clang++ on the PATH")
    return found


def mingw() -> str:
    if shutil.which(MINGW) is None:
        pytest.skip(f"{MINGW} is not on the PATH: nothing is compiled for Windows here")
    return MINGW


def clang_for_windows() -> list[str]:
    """Clang with the headers of MinGW's GCC, whose other variant has no std::mutex."""
    found = subprocess.check_output([mingw(), "-print-file-name=include/c++"], text=True).strip()
    target = "x86_64-w64-mingw32"
    return [clang(), f"--target={target}", "-nostdinc++", "-isystem", found, "-isystem", f"{found}/{target}"]


COMPILERS = {"clang": lambda: [clang()], "gcc for Windows": lambda: [mingw()], "clang for Windows": clang_for_windows}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_compiler_takes_every_source_without_a_warning(compiler: str) -> None:
    command = [*COMPILERS[compiler](), *FLAGS]
    runs = [[*command, path] for path in sources("CPU_SOURCES")]
    for isa, flags in ISAS.items():
        runs += [[*command, f"-DZOO_ISA={isa}", *flags, path] for path in sources("ISA_SOURCES")]
    for run in runs:
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(run)}\n{done.stderr[:3000]}"


def test_kernels_compiled_by_clang_pass_the_tests_of_gridnet(tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    cmake = str(tools / "cmake") if (tools / "cmake").exists() else "cmake"
    nanobind = subprocess.check_output([sys.executable, "-m", "nanobind", "--cmake_dir"], text=True).strip()
    options = {"CMAKE_CXX_COMPILER": clang(), "ZOO_CUDA": "OFF", "Python_EXECUTABLE": sys.executable}
    defines = [f"-D{name}={value}" for name, value in {**options, "nanobind_DIR": nanobind}.items()]
    subprocess.run([cmake, "-S", ROOT, "-B", tmp_path, "-G", "Ninja", *defines], check=True)
    subprocess.run([cmake, "--build", tmp_path, "--parallel", "2"], check=True)
    (module,) = tmp_path.glob("_kernels*.so")
    environment = {**os.environ, "ZOO_SANITIZED_KERNELS": str(module)}
    tests = ["tests/zoo/kernels/gridnet/test_op.py", "-p", "tests.support.sanitized_kernels", "-q", "-rN"]
    subprocess.run([sys.executable, "-m", "pytest", *tests], cwd=ROOT, env=environment, check=True)
