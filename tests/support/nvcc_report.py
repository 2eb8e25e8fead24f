"""nvcc's report on the CUDA kernels: registers, spills and occupancy. Prints the table of docs/kernels/cuda.md:

python -m tests.support.nvcc_report
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.gridnet_cuda import CSRC

ARCHITECTURES = ("sm_80", "sm_90")
_STORAGE = {"f": "float", "d": "double", "6__half": "half", "13__nv_bfloat16": "bfloat16"}
_SHARED_PER_SM = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}
_KERNEL = re.compile(r"\d+([a-z_]+)_kernelI(f|d|6__half|13__nv_bfloat16)((?:Lb[01]E)*)E")
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<counts>(?:\d+ \| ){4})")


@dataclass(frozen=True)
class Kernel:
    """One kernel for one architecture."""

    name: str
    """As in the table: ``tile_forward float gated``."""
    architecture: str
    registers: int
    static_shared: int
    spilled: int
    """Bytes stored to and loaded from local memory."""
    stack: int
    """Bytes of local memory per thread: for spilled registers, and for arrays that are not in registers."""


def sources() -> list[Path]:
    """Every CUDA source of the package."""
    return sorted(CSRC.rglob("*.cu"))


def compile_report() -> list[Kernel]:
    """Compile the sources with ``nvcc -Xptxas -v`` for every architecture; raises on a compiler error."""
    targets = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in ARCHITECTURES]

    def compile_one(source: Path) -> list[Kernel]:
        with tempfile.TemporaryDirectory() as folder:
            command = ["nvcc", "-std=c++20", f"-I{CSRC}", "-Xptxas", "-v", *targets, "-c", str(source)]
            command += ["-o", f"{folder}/o"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"nvcc failed on {source.relative_to(CSRC)}:\n{done.stdout}{done.stderr}")
        return parse(done.stderr)

    with ThreadPoolExecutor(max_workers=2) as pool:
        reports = list(pool.map(compile_one, sources()))
    return sorted((k for report in reports for k in report), key=lambda k: (k.name, k.architecture))


def parse(ptxas_output: str) -> list[Kernel]:
    """The kernels in the output of ``ptxas -v``."""
    kernels = []
    for entry in ptxas_output.split("Compiling entry function ")[1:]:
        mangled, architecture = re.match(r"'(\S+)' for '(sm_\w+)'", entry).groups()  # type: ignore[union-attr]
        registers = int(re.search(r"Used (\d+) registers", entry)[1])  # type: ignore[index]
        shared = re.search(r"(\d+) bytes smem", entry)
        spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", entry))
        stack = re.search(r"(\d+) bytes stack frame", entry)
        static_shared = int(shared[1]) if shared else 0
        kernels.append(
            Kernel(_readable(mangled), architecture, registers, static_shared, spilled, int(stack[1]) if stack else 0)
        )
    return kernels


def _readable(mangled: str) -> str:
    found = _KERNEL.search(mangled)
    if found is None:
        raise ValueError(f"kernel {mangled} is named differently from what this report knows")
    name, storage, flags = found.groups()
    chosen = re.findall(r"Lb([01])E", flags)
    words = [name, _STORAGE[storage]]
    if chosen:
        words.append("gated" if chosen[0] == "1" else "plain")
    if len(chosen) > 1:
        words.append("resident" if chosen[1] == "1" else "streaming")
    if len(chosen) > 2 and chosen[2] == "1":
        words.append("8")
    return " ".join(words)


def launch_shape(name: str) -> tuple[int, int]:
    """Threads and bytes of dynamic shared memory per CTA: of gridnet's kernels for a large batch of 32^3 grids with
    block 8, of Meta-NCA's for the recipe nca-iris-deep (a rule of widths 36, 32, 32, 12 with a norm)."""
    kernel, storage, *kind = name.split()
    size, gated = 8 if storage == "double" else 4, "gated" in kind
    tiles = 4 if kernel == "tile_backward_input" and gated else 2
    if kernel.startswith("tile_"):
        one_cell = kernel == "tile_backward_parameters" or gated
        positions = (2 + 2 if one_cell else 4 + 2) * (4 + 2) * (32 + 2)
        return 256, positions * (tiles * size + 4)
    if kernel in ("block_forward", "block_evolution"):
        return 256 if kind[:2] == ["plain", "resident"] else 512, 10**3 * (2 * size + 4)
    if kernel == "block_backward":
        channels, resident, held = (
            2 if gated else 1,
            "resident" in kind,
            kind[:2] == ["plain", "resident"] and size == 4,
        )
        of_states, of_grads = (2 * 10**3, 2 * 10**3) if resident else (10**3, 8**3)
        return 256 if held else 512, (of_states + channels * of_grads + 10**3) * size + 10**3 * 4
    if kernel == "apply_rule":
        return 128, 68 * 32 * size
    if kernel == "apply_rule_backward":
        return 128, 212 * (32 + 1) * size
    if kernel.startswith("evolve_layer"):  # a layer of 10 x 10 weights: four chunks, which up to four groups share out
        of_group = 212 * (32 + 1) * size if kernel.endswith("backward") else 68 * 32 * size
        groups = next(n for n in (4, 2, 1) if n * of_group <= 96 * 1024)
        return 128 * groups, groups * of_group
    return 128 if kernel in ("multiply", "value_grads", "neighbour_sums") else 256, 0


def occupancy(kernel: Kernel) -> float:
    """Part of a multiprocessor's 64 warps that can be resident."""
    threads, dynamic = launch_shape(kernel.name)
    warps = threads // 32
    registers_per_warp = -(-kernel.registers // 8) * 8 * 32
    by_registers = 65536 // registers_per_warp // warps
    reserved = 1024
    by_shared = _SHARED_PER_SM[kernel.architecture] // (dynamic + kernel.static_shared + reserved)
    return min(by_registers, by_shared, 64 // warps, 32) * warps / 64


def table(kernels: list[Kernel]) -> str:
    """Markdown, a row per kernel, sm_80 and sm_90 side by side."""
    lines = [
        "| kernel | registers sm_80 | registers sm_90 | spilled bytes sm_80 | spilled bytes sm_90 "
        "| threads | shared bytes | occupancy sm_80 | occupancy sm_90 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_name: dict[str, dict[str, Kernel]] = {}
    for kernel in kernels:
        by_name.setdefault(kernel.name, {})[kernel.architecture] = kernel
    for name, of in by_name.items():
        a, h = of["sm_80"], of["sm_90"]
        threads, dynamic = launch_shape(name)
        lines.append(
            f"| `{name}` | {a.registers} | {h.registers} | {a.spilled} | {h.spilled} "
            f"| {threads} | {dynamic + h.static_shared} | {occupancy(a):.0%} | {occupancy(h):.0%} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Recorded:
    """A row of the table in docs/kernels/cuda.md, by architecture."""

    registers: dict[str, int]
    spilled: dict[str, int]


def recorded(markdown: str) -> dict[str, Recorded]:
    """The rows of ``table`` found in a page."""
    rows = {}
    for line in markdown.splitlines():
        found = _ROW.match(line)
        if found is None:
            continue
        counts = [int(c) for c in found["counts"].split(" | ")[:4]]
        rows[found["name"]] = Recorded(
            dict(zip(ARCHITECTURES, counts[:2], strict=True)),
            dict(zip(ARCHITECTURES, counts[2:], strict=True)),
        )
    return rows


if __name__ == "__main__":
    print(table(compile_report()))
