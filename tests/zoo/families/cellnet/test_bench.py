"""The rows of CellNet's benchmark."""

from __future__ import annotations

from zoo.families.cellnet.bench import bench
from zoo.families.registry import get_family


def test_every_row_compares_with_the_literal_version() -> None:
    rows = bench(rounds=1, budget=0.0)
    assert get_family("cellnet").bench is not None
    assert {row["topology"] for row in rows} == {"8 cells, full, 56 edges", "8 cells, clusters of 4, 26 edges"}
    for row in rows:
        if row["contender"] == "literal, batch 1":
            assert row["x literal"] == 1
        if row["contender"] == "batched, batch 128":
            assert row["x literal"] > 5
