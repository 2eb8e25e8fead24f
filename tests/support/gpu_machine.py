"""``python -m tests.support.gpu_machine cuda``: print the GPUs of this machine; exit with 1 if torch sees none."""

from __future__ import annotations

import subprocess
import sys

import torch

from tests.support.gpu_steps import tool


def main(device: str) -> int:
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    for program, *arguments in (["nvcc", "--version"], ["nvidia-smi"]):
        path = tool(program)
        found = subprocess.run([path, *arguments], capture_output=True, text=True).stdout if path else "not found\n"
        print(f"{program}: {found}", end="")
    count = torch.cuda.device_count()
    for number in range(count):
        facts = torch.cuda.get_device_properties(number)
        print(
            f"device {number}: {facts.name}, capability {facts.major}.{facts.minor}, {facts.multi_processor_count} "
            f"multiprocessors, {facts.total_memory / 1e9:.1f} GB"
        )
    if device == "cuda" and not count:
        print("torch sees no CUDA device")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
