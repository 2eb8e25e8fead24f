from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sdk.table_files
from sdk import Model, load
from sdk.errors import InputError
from sdk.table_files import ENDINGS, is_table_file, read_file, read_names, sniff
from tests.support.tables import COLUMNS, CSV, FILLED, ROWS, table_spec, write_table_model

FRAME = pd.DataFrame(ROWS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_table_model(tmp_path_factory.mktemp("models") / "table"))


def _write(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV.replace(",", ";"),
        CSV.replace(",", "\t"),
        CSV.replace(",", "|"),
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        CSV.rstrip("\n"),
        CSV.replace("\n", "\n\n"),
        CSV.replace("red", '"red"').replace("member", '"member"'),
        CSV.replace("36", " 36 ").replace("True", "TRUE"),
        "bought;" + CSV.replace(",", ";").replace("\nT", '\n"a, b";T').replace("\nF", "\n;F"),
        "".join(f"{number},{line}\n" for number, line in zip(["", 1, 2, 3], CSV.splitlines(), strict=True)),
    ],
)
def test_csv_is_read_in_its_usual_forms(tmp_path: Path, text: str) -> None:
    found, single = table_spec().prepare(_write(tmp_path, text))
    assert not single
    np.testing.assert_array_equal(found, table_spec().prepare(ROWS)[0])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.TSV", CSV.replace(",", "\t")),
        ("rows.jsonl", "\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
        ("rows.json", json.dumps(ROWS, indent=1)),
        ("rows.json", "\n".join(json.dumps({**row, "extra": [1]}) for row in ROWS)),
    ],
)
def test_other_texts_are_read_too(tmp_path: Path, name: str, text: str) -> None:
    found, _ = table_spec().prepare(str(_write(tmp_path, text, name)))
    np.testing.assert_array_equal(found, table_spec().prepare(ROWS)[0])


def test_parquet_is_read_too(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    FRAME[["member", "colour", "age"]].to_parquet(tmp_path / "rows.parquet")
    found, _ = table_spec().prepare(tmp_path / "rows.parquet")
    np.testing.assert_array_equal(found, table_spec().prepare(ROWS)[0])


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("r.csv", "", "r.csv: the first line is empty, allowed the names of the columns"),
        ("r.csv", "36,red,True\n1,red,True\n", "r.csv: found no column 'age', 'colour', 'member' among '36', 'red'"),
        ("r.csv", CSV.replace("colour", "age"), "r.csv: found column 'age' more than once"),
        ("r.csv", CSV + "True,1\n", "r.csv, line 5: found 2 cells, allowed 3 as in the first line"),
        ("r.csv", CSV + "True,1,red,\n", "r.csv, line 5: found 4 cells"),
        ("r.csv", CSV.replace("51.5", "x"), "r.csv, line 3: column 'age': found 'x', allowed a number"),
        ("r.csv", CSV.replace("51.5", ""), r"r.csv, line 3: column 'age': found no value \(''\)"),
        ("r.csv", CSV.replace("51.5", "NA"), r"r.csv, line 3: column 'age': found no value \('NA'\)"),
        ("r.csv", CSV.replace("51.5", "inf"), "r.csv, line 3: column 'age': found 'inf', allowed a finite number"),
        ("r.csv", CSV.replace("51.5", '"51,5"'), "line 3: column 'age': found '51,5', .* write it with a decimal"),
        ("r.csv", CSV.replace("blue", "pink"), "r.csv, line 3: column 'colour': unknown category 'pink'"),
        ("r.csv", CSV.replace("blue", '"blue'), "r.csv, line 4: found broken CSV"),
        ("r.csv", CSV.replace("blue", '"bl"ue'), "r.csv, line 3: found broken CSV"),
        ("r.csv", CSV.replace("blue", "b" * 200_000), "r.csv, line 3: found broken CSV: field larger"),
        ("r.csv", CSV.encode("utf-16"), "found bytes that are not UTF-8; save it as UTF-8"),
        ("r.csv", CSV.replace("red", "vert é").encode("latin-1"), "found bytes that are not UTF-8"),
        ("r.jsonl", '{"age": 1', "r.jsonl, line 1: not JSON"),
        ("r.jsonl", "3", "r.jsonl, line 1: found 3, allowed an object"),
        ("r.jsonl", "[" * 100_000, "not JSON"),
        ("r.jsonl", '{"age": 1, "age": 2}', "a key is there twice"),
        ("r.jsonl", '{"age": 1}', "r.jsonl, line 1: found no column 'colour', 'member'"),
        ("r.json", '[{"age": 1}]', "r.json, row 0: found no column 'colour', 'member'"),
        ("r.json", '{"age": 1, "colour": "red", "member": [true]}', r"column 'member': found \[True\]"),
        ("r.parquet", "PAR1", "r.parquet: cannot be read as Parquet"),
        ("r.txt", CSV, "r.txt: found '.txt', allowed tables that end with .csv"),
    ],
)
def test_a_broken_file_is_named_with_line_and_column(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, name: str, text: str | bytes, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, text, name)
    with pytest.raises(InputError, match=problem):
        model.predict(name)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, model: Model) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        model.predict(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"folder\.csv: not a file"):
        model.predict(tmp_path / "folder.csv")


def test_broken_rows_are_returned_and_the_others_predicted(tmp_path: Path, model: Model) -> None:
    path = _write(tmp_path, CSV.replace("51.5", "x") + "True,1\n" + "False,3,blue\n")
    found = model.predict(path, errors="return", batch_size=2)
    assert [isinstance(answer, InputError) for answer in found] == [False, True, False, True, False]
    assert str(found[3]).endswith("rows.csv, line 5: found 2 cells, allowed 3 as in the first line")


def test_missing_cells_of_csv_are_filled(tmp_path: Path) -> None:
    spec = table_spec(FILLED)
    path = _write(tmp_path, "age,colour,member\nNA,,null\n")
    expected = spec.prepare({"age": 40, "colour": "green", "member": True})[0]
    np.testing.assert_array_equal(spec.prepare(path)[0], expected)


def test_the_known_columns_decide_about_the_delimiter(tmp_path: Path) -> None:
    path = _write(tmp_path, "age|colour|member|a;b;c;d;e;f\n1|red|True|0\n")
    assert sniff(path)[1] == ";"
    assert sniff(path, COLUMNS.names)[1] == "|"


def test_a_long_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = _write(tmp_path, CSV + "True,1,red\n" * 200_000)
    tracemalloc.start()
    count = sum(rows.count for rows in read_file(path, COLUMNS, 64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_003
    assert peak < 2**20


def test_long_lines_and_lists_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setattr(sdk.table_files, "LONGEST_LINE", 100)
    with pytest.raises(InputError, match="line 2: found more than 100 characters in a line"):
        model.predict(_write(tmp_path, "age,colour,member\n" + "1" * 200))
    monkeypatch.setattr(sdk.table_files, "LARGEST_LIST", 100)
    with pytest.raises(InputError, match="a list of more than 100 bytes"):
        model.predict(_write(tmp_path, "[\n" + "\n" * 200 + "]", "rows.json"))


def test_a_missing_pyarrow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"Parquet needs pyarrow; `pip install 'cellzoo\[parquet\]'`"):
        model.predict(_write(tmp_path, "PAR1", "rows.parquet"))


def test_tables_are_known_by_their_endings() -> None:
    assert all(is_table_file(f"a{ending}") and is_table_file(f"a{ending.upper()}") for ending in ENDINGS)
    assert not is_table_file("a.png")


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "/".join(["y" * 200] * 30) + ".parquet"])
def test_a_file_name_that_the_system_does_not_take_is_an_error_of_the_input(name: str) -> None:
    for read in (read_names, lambda path: list(read_file(path, COLUMNS, 10))):
        with pytest.raises(InputError, match="cannot be read: File name too long"):
            read(name)
