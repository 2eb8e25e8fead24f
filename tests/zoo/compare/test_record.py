"""Stored results: what is written is read again, and damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.compare import record
from zoo.compare.record import Results, facts, read_results, write_results
from zoo.utils.errors import CompareError


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_every_sample_is_remembered(hits: list[bool]) -> None:
    assert record("a", hits).hits().tolist() == hits


def test_results_survive_the_file(tmp_path: Path) -> None:
    results = Results({"a": record("a", [True, False, True])}, {"a": {"accuracy": 0.5}}, {"processors": 2})
    write_results(results, tmp_path / "new" / "results.json")
    assert read_results(tmp_path / "new" / "results.json") == results
    assert read_results(tmp_path / "missing.json") == Results()


def test_facts_are_plain_and_have_no_bits() -> None:
    found = facts(record("a", np.arange(8) < 6))
    assert found["accuracy"] == 0.75
    assert found["interval_95"][0] < 0.75 < found["interval_95"][1]
    assert "right" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a file of results"),
        ('{"format_version": 9}', "found format 9, this version reads 1; measure again"),
        ('{"format_version": 1, "models": [{"name": "a"}]}', "not a file of results"),
        ("[]", "not a file of results"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(CompareError, match=message) as info:
        read_results(tmp_path / "results.json")
    assert "\n" not in str(info.value)
