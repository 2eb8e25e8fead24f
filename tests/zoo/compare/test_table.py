"""The table, its CSV and Markdown, and the Pareto front."""

from __future__ import annotations

import csv
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.compare import record
from zoo.compare.figures import draw_pareto, front
from zoo.compare.table import groups, rows, to_csv, to_markdown

RECORDS = [
    record("worse", np.arange(20) < 10, cpu_seconds=None, edges=None, latency_ms={}),
    record("better", np.arange(20) < 19, baseline=False, seeds=3, accuracy_mean=0.9, accuracy_std=0.01),
    record("other", [True], data="iris", cpu_seconds=None, wall_seconds=None, file_bytes=None),
]


def test_groups_are_data_sets_with_the_most_accurate_first() -> None:
    assert {name: [r.name for r in members] for name, members in groups(RECORDS).items()} == {
        "digits": ["better", "worse"],
        "iris": ["other"],
    }


def test_a_row_says_what_is_known_and_marks_baselines() -> None:
    better, worse = rows(groups(RECORDS)["digits"])
    assert better["model"] == "better"
    assert better["seeds"] == "3: 90.00% ± 1.00%"
    assert (better["p"], better["time"], better["latency 64"]) == ("best", "2 s", "0.3 ms")
    assert worse["model"] == "worse *"
    assert (worse["p"], worse["edges"], worse["time"], worse["latency 1"]) == ("0.004", "-", "2 s (wall)", "-")


def test_markdown_has_a_table_per_data_set_and_csv_a_line_per_model() -> None:
    text = to_markdown(RECORDS)
    assert text.count("### ") == 2
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 1
    lines = list(csv.DictReader(io.StringIO(to_csv(RECORDS))))
    assert [line["name"] for line in lines] == ["better", "worse", "other"]
    assert float(lines[0]["accuracy"]) == 0.95
    assert lines[1]["latency_64_ms"] == lines[2]["cpu_seconds"] == ""


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_no_model_beats_the_front_in_both(points: list[tuple[int, int]]) -> None:
    found = front([(float(cost), float(accuracy)) for cost, accuracy in points])
    for cost, accuracy in points:
        assert any(c <= cost and a >= accuracy for c, a in found)
    assert [a for _, a in found] == sorted({a for _, a in found})


def test_a_figure_has_two_panels_per_data_set_even_without_costs() -> None:
    unknown = record("unknown", [True, False], data="own", multiply_adds=None)
    assert len(draw_pareto([*RECORDS, unknown]).axes) == 6
