"""nvcc's report on the CUDA kernels against the table in docs/kernels/cuda.md."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.support.nvcc_report import ARCHITECTURES, Kernel, Recorded, compile_report, parse, recorded, sources
from tests.support.paths import DOCS

PAGE = DOCS / "kernels" / "cuda.md"


@pytest.fixture(scope="module")
def table() -> dict[str, Recorded]:
    return recorded(PAGE.read_text())


@pytest.fixture(scope="module")
def kernels() -> list[Kernel]:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not on the PATH: the CUDA kernels are not compiled here")
    return compile_report()


def test_the_table_lists_every_kernel_of_the_sources(table: dict[str, Recorded]) -> None:
    written = {n for path in sources() for n in re.findall(r"(\w+)_kernel\(", path.read_text())}
    assert written == {name.split()[0] for name in table}


def test_the_table_records_no_spills_in_forward_kernels(table: dict[str, Recorded]) -> None:
    assert all(not any(row.spilled.values()) for name, row in table.items() if "backward" not in name)


def test_the_report_reads_registers_shared_memory_and_spills() -> None:
    output = """
ptxas info    : Compiling entry function '_ZN3zoo19tile_forward_kernelI6__halfLb1EEEvT_' for 'sm_90'
ptxas info    : Function properties for _ZN3zoo
    8 bytes stack frame, 16 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 103 registers, used 1 barriers, 128 bytes smem, 480 bytes cmem[0]
"""
    assert parse(output) == [Kernel("tile_forward half gated", "sm_90", 103, 128, 44, 8)]


@pytest.mark.slow
def test_forward_kernels_do_not_spill(kernels: list[Kernel]) -> None:
    spilled = [k for k in kernels if "backward" not in k.name and k.spilled]
    assert spilled == []


@pytest.mark.slow
def test_kernels_keep_nothing_but_spilled_registers_in_local_memory(kernels: list[Kernel]) -> None:
    assert [k for k in kernels if k.stack and not k.spilled] == []


@pytest.mark.slow
def test_kernels_need_no_more_than_the_table_records(kernels: list[Kernel], table: dict[str, Recorded]) -> None:
    assert {k.name for k in kernels} == set(table)
    assert {k.architecture for k in kernels} == set(ARCHITECTURES)
    grown = [
        k
        for k in kernels
        if k.registers > table[k.name].registers[k.architecture] or k.spilled > table[k.name].spilled[k.architecture]
    ]
    assert grown == []
