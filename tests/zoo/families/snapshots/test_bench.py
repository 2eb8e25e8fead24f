"""The bench of the snapshots family."""

from __future__ import annotations

import math

from zoo.families.snapshots import bench


def test_the_bench_compares_with_the_dense_form() -> None:
    row = bench.row((40, 20, 10), 0.05, batch=8, seconds=0.01)
    assert row["network"] == "40-20-10"
    assert row["density"] == "5.00%"
    assert all(
        math.isfinite(row[key]) and row[key] > 0 for key in ("forward ms", "dense / forward", "dense / in one call")
    )
    assert {0.0001, 0.001, 0.01, 0.05} <= set(bench.DENSITIES)
    assert bench.NETWORKS == ((784, 256, 128, 10), (4096, 4096, 4096))
