"""``zoo predict --out`` writes every input's answer or error to one file, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import sdk
from tests.support.command import fails, run

NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype={"label": str}, float_precision="round_trip"),
    ".jsonl": lambda path: pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()]),
    ".parquet": pd.read_parquet,
}


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    path = tmp_path / "iris.csv"
    pd.DataFrame(load_iris().data, columns=list(NAMES)).to_csv(path, index=False)
    return path


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


@pytest.mark.parametrize("ending", READERS)
def test_images_and_bad_files_are_rows_of_one_file(
    ending: str, tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    good = [path for path, _ in digit_files]
    (tmp_path / "cut.png").write_bytes(Path(good[0]).read_bytes()[:40])
    out = tmp_path / f"found{ending}"
    inputs = [good[0], str(tmp_path / "cut.png"), "missing.png", str(tmp_path / "*.jpg"), *good[1:]]
    result = run("predict", "gridnet-digits", *inputs, "--out", str(out), "--top", "2")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{out}: labels of 8 of 11 inputs; 3 without, see column error; the first: ")
    found = READERS[ending](out)
    assert list(found) == ["input", "label", "probability", "label_2", "probability_2", "error"]
    assert found["input"].tolist() == inputs
    labels = sdk.load("gridnet-digits").predict(good)
    assert found["label"].dropna().tolist() == labels
    assert found["error"].isna().tolist() == [path in good for path in inputs]
    assert found["error"][2] == "no such file: 'missing.png'"
    assert found[["label", "probability"]].isna().all(axis=1).tolist() == [path not in good for path in inputs]
    assert (found["probability"].dropna() > found["probability_2"].dropna()).all()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("source", [".csv", ".jsonl", ".parquet", ".json"])
@pytest.mark.parametrize("ending", READERS)
def test_rows_of_tables_are_found_again_by_file_and_row(ending: str, source: str, tmp_path: Path) -> None:
    rows = pd.DataFrame(load_iris().data, columns=list(NAMES)).astype(object)
    rows.iloc[1, 0] = None
    table, out = tmp_path / f"rows{source}", tmp_path / f"found{ending}"
    writers: dict[str, Callable[[], Any]] = {
        ".csv": lambda: rows.to_csv(table, index=False),
        ".jsonl": lambda: rows.to_json(table, orient="records", lines=True),
        ".json": lambda: rows.to_json(table, orient="records"),
        ".parquet": lambda: rows.to_parquet(table),
    }
    writers[source]()
    result = run("predict", "nca-iris", str(table), str(tmp_path / "no.csv"), "--out", str(out))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{out}: labels of 149 of 151 inputs; 2 without")
    found = READERS[ending](out)
    assert list(found) == ["input", "row", "label", "probability", "error"]
    first = {".csv": 2, ".jsonl": 1, ".parquet": 0, ".json": 0}[source]
    assert found["row"].dropna().astype(int).tolist() == list(range(first, first + 150))
    assert found["input"].tolist() == [str(table)] * 150 + [str(tmp_path / "no.csv")]
    whole = pd.DataFrame(load_iris().data, columns=list(NAMES))
    expected = sdk.load("nca-iris").predict(whole)
    assert found["label"].dropna().tolist() == [expected[0], *expected[2:]]
    assert found["error"][1].startswith("column 'sepal length (cm)': found ")
    assert "no such file" in found["error"][150]


def test_a_long_table_is_written_in_blocks_in_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(0.1, 7, (9000, 4)).round(1)
    pd.DataFrame(rows, columns=list(NAMES)).to_csv(tmp_path / "rows.csv", index=False)
    outs = [tmp_path / f"found{ending}" for ending in READERS]
    for out in outs:
        assert run("predict", "nca-iris", str(tmp_path / "rows.csv"), "--out", str(out)).exit_code == 0
    frames = [READERS[out.suffix](out) for out in outs]
    assert frames[0]["label"].tolist() == sdk.load("nca-iris").predict(tmp_path / "rows.csv")
    for frame in frames[1:]:
        assert frame["label"].tolist() == frames[0]["label"].tolist()
        assert frame["row"].tolist() == list(range(2, 9002))
        np.testing.assert_array_equal(frame["probability"], frames[0]["probability"])


def test_a_finished_file_is_replaced_with_overwrite_alone(tmp_path: Path, iris: Path) -> None:
    out = tmp_path / "found.csv"
    out.write_text("mine")
    line = fails(1, "predict", "nca-iris", str(iris), "--out", str(out))
    assert (
        line == f"zoo: error: --out {out}: found a file of this name; replace it with --overwrite, or give another name"
    )
    assert out.read_text() == "mine"
    assert run("predict", "nca-iris", str(iris), "--out", str(out), "--overwrite").exit_code == 0
    assert len(pd.read_csv(out)) == 150


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path, iris: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.csv"
    usual = sdk.Model.predict

    def predict(self: Any, *given: Any, **options: Any) -> Any:
        out.write_text("of another process")
        return usual(self, *given, **options)

    monkeypatch.setattr(sdk.Model, "predict", predict)
    assert str(out) in fails(1, "predict", "nca-iris", str(iris), "--out", str(out))
    assert out.read_text() == "of another process"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_prediction_leaves_no_file(
    number: int, code: int, tmp_path: Path, iris: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk.Model, "predict", lambda *given, **options: signal.raise_signal(number))
    out = tmp_path / "found.csv"
    line = fails(code, "predict", "nca-iris", str(iris), "--out", str(out))
    assert line == f"zoo: error: interrupted; {out} was not written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iris.csv"]


def test_a_link_that_leads_nowhere_is_a_file_of_that_name(tmp_path: Path, iris: Path) -> None:
    (tmp_path / "found.csv").symlink_to(tmp_path / "none")
    assert "found a file of this name" in fails(
        1, "predict", "nca-iris", str(iris), "--out", str(tmp_path / "found.csv")
    )


def test_a_folder_that_cannot_be_written_to_is_refused_first(
    tmp_path: Path, iris: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(options["dir"]))

    monkeypatch.setattr("zoo.cli.results.tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(sdk, "load", None)
    line = fails(1, "predict", "nca-iris", str(iris), "--out", str(tmp_path / "found.csv"))
    assert line.endswith(f"found.csv: cannot write to {tmp_path}: Permission denied")


@pytest.mark.parametrize("name", ["found.txt", "found", "found.json", "none/found.csv", "folder", "folder.csv"])
def test_where_nothing_can_be_written_nothing_is_predicted(
    name: str, tmp_path: Path, iris: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "load", None)  # not even loaded
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.csv").mkdir()
    line = fails(1, "predict", "nca-iris", str(iris), "--out", str(tmp_path / name), "--overwrite")
    assert f"--out {tmp_path / name}: found" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "folder.csv", "iris.csv"]


def test_parquet_without_pyarrow_is_refused_first(tmp_path: Path, iris: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    line = fails(1, "predict", "nca-iris", str(iris), "--out", str(tmp_path / "found.parquet"))
    assert line.endswith("Parquet needs pyarrow; `pip install 'cellzoo[parquet]'`, or write .csv or .jsonl")


def test_an_input_is_never_overwritten(tmp_path: Path, iris: Path) -> None:
    before = iris.read_bytes()
    for given in (str(iris), str(tmp_path), str(tmp_path / "*.csv"), os.path.join(str(tmp_path), ".", "iris.csv")):
        line = fails(1, "predict", "nca-iris", given, "--out", str(iris), "--overwrite")
        assert "found one of the inputs; give another name" in line
    assert iris.read_bytes() == before


def test_the_exit_code_is_one_only_if_nothing_was_predicted(tmp_path: Path, iris: Path) -> None:
    out = tmp_path / "found.csv"
    result = run("predict", "nca-iris", "missing.csv", "--out", str(out), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"out": str(out), "predicted": 0, "errors": 1}
    assert pd.read_csv(out)["error"].tolist() == ["no such file"]
    assert run("predict", "nca-iris", "missing.csv", str(iris), "--out", str(out), "--overwrite").exit_code == 0
    (tmp_path / "empty.csv").write_text(",".join(NAMES) + "\n")
    result = run("predict", "nca-iris", str(tmp_path / "empty.csv"), "--out", str(out), "--overwrite")
    assert (result.exit_code, result.stdout) == (0, f"{out}: labels of 0 of 0 inputs\n")
    assert list(pd.read_csv(out)) == ["input", "row", "label", "probability", "error"]


def test_folders_are_taken_with_their_subfolders_on_request(tmp_path: Path, digit_files: list[tuple[str, str]]) -> None:
    deep = tmp_path / "photos" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "photos" / ".hidden").mkdir()
    for target in ("a.png", "b/B.PNG", "b/c/d.png", ".hidden/x.png", "b/.y.png", "b/notes.txt", "b/page.pdf"):
        (tmp_path / "photos" / target).write_bytes(Path(digit_files[0][0]).read_bytes())
    (deep / "loop").symlink_to(tmp_path / "photos")
    out = tmp_path / "found.csv"
    given = ["predict", "gridnet-digits", str(tmp_path / "photos"), "--out", str(out), "--overwrite"]
    assert run(*given).exit_code == 0
    assert pd.read_csv(out)["input"].tolist() == [str(tmp_path / "photos" / "a.png")]
    assert run(*given, "--recursive").exit_code == 0
    names = ["a.png", "b/B.PNG", "b/c/d.png"]
    assert pd.read_csv(out)["input"].tolist() == [str(tmp_path / "photos" / name) for name in names]


def test_names_that_are_no_text_and_more_labels_than_classes_are_written(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b'/a\xff,"b.png')
    Path(odd).write_bytes(Path(digit_files[0][0]).read_bytes())
    for ending, read in READERS.items():
        out = tmp_path / f"found{ending}"
        assert run("predict", "gridnet-digits", odd, "--out", str(out), "--top", "99").exit_code == 0
        found = read(out)
        assert found["input"].tolist() == [f'{tmp_path}/a\\udcff,"b.png']
        assert list(found)[-3:] == ["label_10", "probability_10", "error"]


def test_inverted_images_are_noted_once(tmp_path: Path, digit_files: list[tuple[str, str]]) -> None:
    from PIL import Image, ImageOps

    for number in range(70):
        source = Image.open(digit_files[number % 8][0]).convert("L")
        ImageOps.invert(source).save(tmp_path / f"negative-{number:02}.png")
    result = run("predict", "gridnet-digits", str(tmp_path / "negative-*"), "--out", str(tmp_path / "found.csv"))
    assert result.stderr.count("zoo: note: inverted 70 of 70 images: ") == 1


@pytest.fixture
def picture_tables(tmp_path: Path, digit_files: list[tuple[str, str]]) -> tuple[list[Path], list[str]]:
    """Tables of the digits in every form, and their labels."""
    names = [Path(path).name for path, _ in digit_files]
    contents = [Path(path).read_bytes() for path, _ in digit_files]
    frames = {
        "paths.csv": pd.DataFrame({"file_name": names, "label": [label for _, label in digit_files]}),
        "paths.tsv": pd.DataFrame({"path": [path for path, _ in digit_files]}),
        "paths.jsonl": pd.DataFrame({"id": range(8), "path": names}),
        "bytes.parquet": pd.DataFrame({"content": contents}),
        "hub.parquet": pd.DataFrame({"image": [{"bytes": content, "path": None} for content in contents], "label": 0}),
    }
    for name, frame in frames.items():
        if name.endswith(".parquet"):
            frame.to_parquet(tmp_path / name)
        elif name.endswith(".jsonl"):
            frame.to_json(tmp_path / name, orient="records", lines=True)
        else:
            frame.to_csv(tmp_path / name, index=False, sep="\t" if name.endswith(".tsv") else ",")
    labels: list[str] = sdk.load("gridnet-digits").predict([path for path, _ in digit_files], batch=True)
    return [tmp_path / name for name in frames], labels


def test_images_are_found_in_the_columns_of_tables(
    tmp_path: Path, picture_tables: tuple[list[Path], list[str]], digit_files: list[tuple[str, str]]
) -> None:
    tables, labels = picture_tables
    out = tmp_path / "found.csv"
    inputs = [digit_files[0][0], *map(str, tables), "missing.png"]
    assert run("predict", "gridnet-digits", *inputs, "--out", str(out)).exit_code == 0
    found = pd.read_csv(out, dtype={"label": str})
    assert list(found) == ["input", "row", "label", "probability", "error"]
    for table in tables:
        rows = found[found["input"] == str(table)]
        assert rows["label"].tolist() == labels
        first = {".csv": 2, ".tsv": 2, ".jsonl": 1, ".parquet": 0}[table.suffix]
        assert rows["row"].tolist() == list(range(first, first + 8))
    assert found["row"].isna().sum() == 2
    assert found["label"][0] == labels[0]
    shown = run("predict", "gridnet-digits", str(tables[0])).stdout.splitlines()
    assert shown[0].startswith(f"{tables[0]}, line 2: {labels[0]} (")


def test_a_bad_cell_or_column_of_images_is_an_error_of_its_row(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    good = Path(digit_files[0][0]).name
    table, out = tmp_path / "rows.csv", tmp_path / "found.csv"
    table.write_text(f"a,b\n{good},x\nmissing.png,x\n,x\n{good}\n{good},x\n")
    given = ["predict", "gridnet-digits", str(table), "--out", str(out), "--overwrite"]
    assert run(*given, "--column", "a").exit_code == 0
    found = pd.read_csv(out)
    assert found["label"].isna().tolist() == [False, True, True, True, False]
    assert found["row"].tolist() == [2, 3, 4, 5, 6]
    assert found["error"][1] == f"no such file: '{tmp_path / 'missing.png'}'"
    assert found["error"][3] == "found 1 cells, allowed 2 as in the first line"
    assert run(*given).exit_code == 1
    assert pd.read_csv(out)["error"].tolist() == [
        "found the columns a, b, and none is known as that of the inputs; set --column NAME"
    ]
    assert "--column: nca-iris takes tables" in fails(1, "predict", "nca-iris", str(table), "--column", "a")
    assert "--invert yes: nca-iris takes tables" in fails(1, "predict", "nca-iris", str(table), "--invert", "yes")
    assert "--column a: found no table" in fails(1, "predict", "gridnet-digits", "a.png", "--column", "a")
    for name, content in (("empty.csv", ""), ("bad.parquet", "PAR1"), ("bad.jsonl", "{"), ("none.json", "[]")):
        (tmp_path / name).write_text(content)
        result = run("predict", "gridnet-digits", str(tmp_path / name), "--out", str(out), "--overwrite")
        assert result.exit_code == 1
        assert len(pd.read_csv(out)) == 1
