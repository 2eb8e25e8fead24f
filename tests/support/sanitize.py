"""Builds csrc with sanitizers and runs the kernels' tests on it: ``make sanitize``.

    python -m tests.support.sanitize [address] [thread]

``address`` runs the tests of kernels, batches of images and the native backend on a build with AddressSanitizer and
UndefinedBehaviorSanitizer. ``thread`` runs tests/support/pool_program.cpp on a build with ThreadSanitizer. Builds are
kept in build/sanitize.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import ROOT

BUILDS = ROOT / "build" / "sanitize"
SANITIZERS = {"address": "address,undefined", "thread": "thread"}


def build(kind: str, target: str) -> Path:
    return build_with(BUILDS / kind, target, [f"-DZOO_SANITIZE={SANITIZERS[kind]}"])


def build_with(folder: Path, target: str, options: Sequence[str]) -> Path:
    """Build a target in ``folder`` without nvcc, with these options of CMakeLists.txt; return the folder."""
    nanobind = subprocess.check_output([sys.executable, "-m", "nanobind", "--cmake_dir"], text=True).strip()
    given = [*options, "-DZOO_CUDA=OFF", f"-DPython_EXECUTABLE={sys.executable}", f"-Dnanobind_DIR={nanobind}"]
    cmake = Path(sys.executable).parent / "cmake"
    command = str(cmake) if cmake.exists() else "cmake"
    subprocess.run([command, "-S", ROOT, "-B", folder, "-G", "Ninja", *given], check=True)
    subprocess.run([command, "--build", folder, "--target", target], check=True)
    return folder


def run_address() -> None:
    (module,) = build("address", "_kernels").glob("_kernels*.so")
    # libstdc++, too: other extensions throw before the kernels load it, and ASan finds no function to pass that on to.
    libraries = " ".join(_library(name) for name in ("libasan.so", "libstdc++.so.6"))
    environment = {
        **os.environ, "LD_PRELOAD": libraries, "ZOO_SANITIZED_KERNELS": str(module),
        "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1",
    }  # fmt: skip
    tests = [
        "tests/zoo/kernels",
        "tests/zoo/data/test_one_pass.py",
        "tests/sdk/backends/native",
        "-p",
        "tests.support.sanitized_kernels",
        "-q",
        "-rN",
    ]
    # -s: a report ends the process, and pytest would keep it for itself.
    subprocess.run([sys.executable, "-m", "pytest", "-s", *tests], cwd=ROOT, env=environment, check=True)


def _library(name: str) -> str:
    return subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip()


def run_thread() -> None:
    program = build("thread", "pool_program") / "pool_program"
    subprocess.run([program], check=True)


if __name__ == "__main__":
    for kind in sys.argv[1:] or list(SANITIZERS):
        start = time.monotonic()
        {"address": run_address, "thread": run_thread}[kind]()
        print(f"{kind}: clean, {time.monotonic() - start:.0f} s")
