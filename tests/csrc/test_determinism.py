"""docs/reliability.md promises which changes leave all bits alone; every cell of its table is measured."""

from __future__ import annotations

import pytest
import torch

from tests.support.determinism import COLUMNS, NEAR, ROWS, SAME, measure
from tests.support.paths import ROOT


def promised() -> dict[str, dict[str, str]]:
    text = (ROOT / "docs" / "reliability.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("| kernel:", "| native:", "| torch:", "| onnx:"))]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row: dict(zip(COLUMNS, rest, strict=True)) for row, *rest in cells}


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, str]]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return measure(list(ROWS))
    finally:
        torch.set_num_threads(before)


def test_the_table_has_every_row() -> None:
    assert list(promised()) == list(ROWS)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
def test_a_cell_holds(row: str, column: str, measured: dict[str, dict[str, str]]) -> None:
    promise, found = promised()[row][column], measured[row][column]
    assert found == promise or (promise == NEAR and found == SAME)


@pytest.mark.parametrize("column", ["threads", "batch"])
def test_what_may_change_bits_does_change_some(column: str, measured: dict[str, dict[str, str]]) -> None:
    assert NEAR in [cells[column] for cells in measured.values()], "the table could promise more, or measures nothing"
