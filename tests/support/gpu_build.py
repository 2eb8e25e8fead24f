"""``python -m tests.support.gpu_build``: compile the kernels for the GPU of this machine, without pip.

The module is built in build/gpu and copied to sdk/, where a checkout finds it. Where cellzoo is installed, as in
``.venv``, the installed module is the one that runs: it is only checked.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.gpu_steps import tool
from tests.support.paths import ROOT

FOLDER = ROOT / "build" / "gpu"
_CHECK = "from sdk import _kernels; print(_kernels.__file__); raise SystemExit(not _kernels.cuda_built)"


def architecture() -> str:
    """Return the first GPU's architecture as CMake names it, such as ``90-real``."""
    import torch

    major, minor = torch.cuda.get_device_capability()
    return f"{major}{minor}-real"


def commands(architectures: str) -> list[list[str]]:
    """Return the commands that configure and build the module."""
    cmake = tool("cmake") or "cmake"
    nanobind = subprocess.check_output([sys.executable, "-m", "nanobind", "--cmake_dir"], text=True).strip()
    options = [
        "-DZOO_CUDA=ON", f"-DZOO_CUDA_ARCHITECTURES={architectures}", f"-DCMAKE_CUDA_COMPILER={tool('nvcc')}",
        f"-Dnanobind_DIR={nanobind}", f"-DPython_EXECUTABLE={sys.executable}",
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
    ]  # fmt: skip
    return [
        [cmake, "-S", str(ROOT), "-B", str(FOLDER), "-G", "Ninja", *options],
        [cmake, "--build", str(FOLDER), "--target", "_kernels"],
    ]


def installed_elsewhere() -> Path | None:
    """Return the file of the installed module that hides the checkout's, or None."""
    spec = importlib.util.find_spec("sdk._kernels")
    found = Path(spec.origin) if spec is not None and spec.origin else None
    return None if found is None or found.resolve().parent == ROOT / "sdk" else found


def compile_module() -> None:
    """Build the module and put it in the place of the checkout's. Raises CalledProcessError."""
    for command in commands(architecture()):
        print(" ".join(command), flush=True)
        subprocess.run(command, check=True)
    (built,) = FOLDER.glob("_kernels*.so")
    for stale in (ROOT / "sdk").glob("_kernels*.so"):  # one of another name might be imported instead
        stale.unlink()
    temporary = ROOT / "sdk" / f".{built.name}"
    shutil.copy2(built, temporary)
    os.replace(temporary, ROOT / "sdk" / built.name)


def print_resources() -> None:
    """Print the registers and memory of every kernel in the module that runs, where cuobjdump is there."""
    program = tool("cuobjdump")
    module = next((ROOT / "sdk").glob("_kernels*.so"), None)
    if program is not None and module is not None:
        subprocess.run([program, "-res-usage", str(module)])


def main() -> int:
    """Compile, unless an installed module hides the checkout's, and return 0 if the module that runs has CUDA."""
    failed = False
    if installed_elsewhere() is None:
        try:
            compile_module()
        except subprocess.CalledProcessError as error:
            failed = True
            print(f"the build failed with exit code {error.returncode}; looking for kernels that are already there")
    print_resources()
    checked = subprocess.run([sys.executable, "-c", _CHECK], cwd=ROOT)
    if checked.returncode:
        print("no kernels with CUDA are here: read the errors above, or reinstall cellzoo with nvcc and ZOO_CUDA=ON")
    elif failed:
        print("the kernels that are already there have CUDA, and the next steps use them")
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main())
