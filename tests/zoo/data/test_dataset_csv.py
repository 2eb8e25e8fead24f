"""CSV files for training."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config.data import DatasetConfig
from zoo.data.dataset_csv import read_csv_files
from zoo.utils.errors import DataError

CONFIG = DatasetConfig(name="dataset", path="x")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_cells_are_texts_without_spaces_and_those_for_no_value_are_none(tmp_path: Path) -> None:
    rows = read_csv_files([write(tmp_path / "a.csv", "x,y\n 1 ,NA\nnan,b c\n,2\n")], CONFIG)
    assert rows["x"][:] == ["1", None, None]
    assert rows["y"][:] == [None, "b c", "2"]


def test_files_follow_each_other_and_have_the_same_columns(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.csv", "x,y\n1,2\n"), write(tmp_path / "b.csv", "x,y\n3,4\n")
    assert read_csv_files([first, second], CONFIG)["x"][:] == ["1", "3"]
    other = write(tmp_path / "c.csv", "y,x\n3,4\n")
    with pytest.raises(DataError, match=r"c\.csv: found the columns y, x, allowed those of .*a\.csv: x, y"):
        read_csv_files([first, other], CONFIG)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1\n2,3\n", r"line 2: found 1 cells, allowed 2 as in the first line$"),
        ("x,y\n1\n2,3,4\n", r"line 2: found 1 cells, .* \(the first of 2 faults\)$"),
        ("x,x\n1,2\n", "found column 'x' more than once, allowed each name once"),
        (",x\n1,2\n", r"column 1 of 2 has no name, .*pandas writes its index so without index=False"),
        ("", "the first line is empty, allowed the names of the columns"),
    ],
)
def test_broken_files_are_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv_files([write(tmp_path / "a.csv", text)], CONFIG)
