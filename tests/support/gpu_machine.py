"""``python -m tests.support.gpu_machine cuda``: print the GPUs of this machine; exit with 1 if torch sees none."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from tests.support.gpu_steps import tool

_PROGRAMS = (
    ["nvcc", "--version"], ["ptxas", "--version"], ["compute-sanitizer", "--version"], ["g++", "--version"],
    ["cmake", "--version"], ["ninja", "--version"], ["nvidia-smi"],
    ["nvidia-smi", "-q", "-d", "CLOCK,ECC,POWER,TEMPERATURE,PERFORMANCE"],
    ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv"],
)  # fmt: skip
_PACKAGES = (
    "torch", "torchvision", "triton", "numpy", "accelerate", "pydantic", "safetensors", "scikit-learn", "onnxruntime",
    "onnx", "pytest", "hypothesis", "nanobind", "click", "rich", "matplotlib", "huggingface-hub", "datasets",
)  # fmt: skip


def package_version(name: str) -> str:
    """Return the version of a package, or that it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def main(device: str) -> int:
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{platform.platform()}, {os.cpu_count()} processors, {', '.join(torch.cuda.get_arch_list()) or 'no CUDA'}")
    print(", ".join(f"{name} {package_version(name)}" for name in _PACKAGES))
    for program, *arguments in _PROGRAMS:
        path = tool(program)
        command = [path, *arguments] if path else []
        found = subprocess.run(command, capture_output=True, text=True).stdout if path else "not found\n"
        print(f"{program}: {found}", end="")
    count = torch.cuda.device_count()
    for number in range(count):
        facts = torch.cuda.get_device_properties(number)
        print(
            f"device {number}: {facts.name}, capability {facts.major}.{facts.minor}, {facts.multi_processor_count} "
            f"multiprocessors, {facts.total_memory / 1e9:.1f} GB, {torch.cuda.mem_get_info(number)[0] / 1e9:.1f} free"
        )
    if device == "cuda" and not count:
        print("torch sees no CUDA device")
        return 1
    if device == "cuda":
        print(f"a sum on the device: {float(torch.ones(1000, device='cuda').sum()):g}, expected 1000")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
