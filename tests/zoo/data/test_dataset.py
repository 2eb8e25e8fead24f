"""Tables and other rows of one's own, from the file to the split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from tests.support.datasets import png
from zoo.config.data import DatasetConfig, SplitsConfig
from zoo.data.dataset import load
from zoo.data.split import Data
from zoo.utils.errors import DataError

ROWS = [{"x": i % 7, "label": "ab"[i % 2]} for i in range(40)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, **keys: Any) -> Data:
    return load(DatasetConfig(name="dataset", path=str(path), **keys), path)


def column(tmp_path: Path, cells: list[Any]) -> Data:
    rows = [{"own": cell, **row} for cell, row in zip(cells, ROWS, strict=False)]
    return read(write(tmp_path / "rows.csv", rows))


def names(data: Data) -> tuple[str, ...]:
    assert data.input_spec.columns is not None
    return data.input_spec.columns.names


@pytest.mark.parametrize("first", [0, 1, -3])
def test_a_column_that_numbers_the_rows_is_named(tmp_path: Path, first: int) -> None:
    data = column(tmp_path, list(range(first, first + 40)))
    assert "column 'own' numbers the rows" in data.about
    assert names(data) == ("own", "x")


@pytest.mark.parametrize("cells", [[i + (i > 20) for i in range(40)], [2 * i for i in range(40)], ["a", "b"] * 20])
def test_no_other_column_is_said_to_number_the_rows(tmp_path: Path, cells: list[Any]) -> None:
    assert "numbers the rows" not in column(tmp_path, cells).about


def test_different_numbers_that_are_one_in_float32_are_no_single_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'own': found numbers up to 1\.6e\+12 that deviate by 0 in float32.*subtract"):
        column(tmp_path, [1_600_000_000_000 + i for i in range(40)])
    data = column(tmp_path, [7] * 40)
    assert names(data) == ("x",)
    assert "left out 'own', with the same value in every training row" in data.about


def test_rows_that_are_also_in_training_are_counted(tmp_path: Path) -> None:
    assert "also in training" not in column(tmp_path, [i * 0.5 for i in range(40)]).about
    write(tmp_path / "d" / "train.csv", ROWS)
    write(tmp_path / "d" / "valid.csv", [{"x": 6, "label": "a"}, {"x": 9, "label": "b"}])
    write(tmp_path / "d" / "test.csv", [{"x": 9, "label": "a"}, {"x": 3, "label": "b"}])
    assert read(tmp_path / "d").about.endswith("2 of 4 validation and test rows are also in training")


def test_a_second_target_among_the_columns_is_named(tmp_path: Path) -> None:
    assert (
        "column 'own' has a value of its own for each class" in column(tmp_path, [i % 2 + 5 for i in range(40)]).about
    )
    assert "of its own" not in column(tmp_path, [i % 4 for i in range(40)]).about
    assert "of its own" not in column(tmp_path, [i % 2 + (i > 20) for i in range(40)]).about


def test_a_text_among_numbers_is_refused_and_among_few_of_them_a_category(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split train, row \d+: column 'own': found '\?' in a column of numbers"):
        column(tmp_path, [i * 0.5 if i % 10 else "?" for i in range(40)])
    data = column(tmp_path, [i % 3 if i % 10 else "?" for i in range(40)])
    assert "column 'own' holds numbers and texts, such as '?': all are categories" in data.about
    assert data.input_spec.columns is not None
    assert data.input_spec.columns.features == ("own=0", "own=1", "own=2", "own=?", "x")
    assert "all are categories" not in column(tmp_path, ["red", "2a"] * 20).about


def test_the_index_that_pandas_writes_to_parquet_is_no_input(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([{**row, "__index_level_0__": i * i} for i, row in enumerate(ROWS)])
    rows.to_parquet(tmp_path / "rows.parquet")
    assert names(read(tmp_path / "rows.parquet")) == ("x",)
    assert names(read(tmp_path / "rows.parquet", input=("__index_level_0__",))) == ("__index_level_0__",)


def test_a_column_without_a_name_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 1 of 3 has no name.*index=False"):
        read(write(tmp_path / "rows.csv", [{"": i, **row} for i, row in enumerate(ROWS)]))


@pytest.mark.parametrize("test", [[{"x": 3, "label": ""}] * 4, [{"x": 3}] * 4, [{"x": 3, "label": "NA"}] * 4])
def test_a_test_split_without_classes_is_left_out(tmp_path: Path, test: list[dict[str, Any]]) -> None:
    write(tmp_path / "d" / "train.csv", ROWS)
    write(tmp_path / "d" / "test.csv", test)
    data = read(tmp_path / "d")
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 4, 4)
    assert "; split test has no classes and is left out" in data.about
    with pytest.raises(DataError, match="split test"):
        read(tmp_path / "d", splits=SplitsConfig(test="test"))


def test_a_test_split_with_some_classes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.csv", ROWS)
    write(tmp_path / "d" / "test.csv", [*ROWS[:3], {"x": 1, "label": ""}])
    with pytest.raises(DataError, match="split test: column label has no class in 1 rows, such as 3"):
        read(tmp_path / "d")


def test_splits_without_a_role_are_named(tmp_path: Path) -> None:
    for name in ("train", "extra"):
        write(tmp_path / "d" / f"{name}.csv", ROWS)
    files = "[{split: train, path: train.csv}, {split: extra, path: extra.csv}]"
    (tmp_path / "d" / "README.md").write_text(f"---\nconfigs: [{{config_name: all, data_files: {files}}}]\n---\n")
    assert read(tmp_path / "d").about.endswith("not used: split extra; data.splits names others")
    assert len(read(tmp_path / "d", splits=SplitsConfig(test="extra")).test) == 40


@pytest.mark.parametrize(("labels", "problem"), [([0, 1, -1], "no class in 13 rows"), ([0, 1, None], "in 13 rows")])
def test_a_class_label_without_a_class_is_refused(tmp_path: Path, labels: list[int | None], problem: str) -> None:
    kinds = datasets.Features({"x": datasets.Value("int64"), "label": datasets.ClassLabel(names=["no", "yes"])})
    found = {"x": list(range(40)), "label": [labels[i % 3] for i in range(40)]}
    datasets.Dataset.from_dict(found, features=kinds).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=problem):
        read(tmp_path / "rows.parquet")


def test_a_target_of_numbers_to_predict_is_doubted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"40 classes in 40 samples; is data\.target the column of classes\?"):
        read(write(tmp_path / "rows.csv", [{"x": i % 7, "label": i * 0.37} for i in range(40)]))


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_predictions_prepare_rows_as_training_does(tmp_path: Path, form: str) -> None:
    rows = [{"n": i * 0.37, "kind": ["red", "green", "blue"][i % 3], "ok": i % 5 == 0, **ROWS[i]} for i in range(40)]
    table, path = datasets.Dataset.from_list(rows), tmp_path / f"rows.{form}"
    if form == "parquet":
        table.to_parquet(path)
    elif form in ("json", "jsonl"):
        table.to_json(path, lines=form == "jsonl")
    else:
        table.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    data = read(path)
    prepared, _ = data.input_spec.prepare(path)
    for split in (data.train, data.validation, data.test):
        for row in split.everything()[0].numpy():
            assert (prepared == row).all(1).any()
    dicts, _ = data.input_spec.prepare(rows)
    np.testing.assert_array_equal(dicts, prepared)


def test_class_labels_are_texts_and_minus_one_is_a_missing_value(tmp_path: Path) -> None:
    kinds = datasets.Features(
        {"own": datasets.ClassLabel(names=["red", "blue"]), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    found = {"own": [i % 3 - 1 for i in range(40)], "label": [i % 2 for i in range(40)]}
    datasets.Dataset.from_dict(found, features=kinds).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="column 'own': found no value"):
        read(tmp_path / "rows.parquet")
    columns = read(tmp_path / "rows.parquet", fill="mean").input_spec.columns
    assert columns is not None
    assert columns.features == ("own=blue", "own=red")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"input": ("lable",)}, r"data\.input: found lable \(did you mean label\?\), allowed: x, label"),
        ({"input": ("label",)}, r"data\.input: found label, which is the target; leave it out"),
        ({"input": ("x", "x")}, r"data\.input: found 'x', 'x', allowed each column once"),
    ],
)
def test_columns_that_cannot_be_inputs_are_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "rows.csv", ROWS), **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target": "lable"}, r"data\.target: found lable \(did you mean label\?\), allowed: x, label"),
        ({"image_size": 8}, r"data\.image_size: found a table: .*, for which it has no meaning; leave it out"),
        ({"resize": 8, "image_size": 8}, r"data\.image_size: found a table"),
        ({"mode": "L"}, r"data\.mode: found a table"),
        ({"input": "lable"}, r"data\.input: found lable \(did you mean label\?\)"),
    ],
)
def test_keys_that_do_not_fit_a_table_are_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "rows.csv", ROWS), **keys)


def test_a_table_without_a_column_called_label_needs_a_target(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [{"x": row["x"], "kind": row["label"]} for row in ROWS])
    with pytest.raises(DataError, match=r"found the columns x, kind; set data\.target to that of the classes"):
        read(path)
    assert read(path, target="kind").labels == ["a", "b"]


def test_of_several_columns_of_images_one_has_to_be_named(tmp_path: Path) -> None:
    image = png(np.arange(64, dtype=np.uint8).reshape(8, 8))
    rows = {"left": [image] * 40, "right": [image] * 40, "label": [0, 1] * 20}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"data\.input: found the columns of images left, right; set data\.input to"):
        read(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet", input="right").task.input_shape == (1, 8, 8)
    with pytest.raises(DataError, match=r"data\.fill: found a data set of images: .*, for which it has no meaning"):
        read(tmp_path / "rows.parquet", input="right", fill="mean")


def test_a_folder_of_images_takes_the_keys_of_one(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "d" / label).mkdir(parents=True)
        for i in range(10):
            (tmp_path / "d" / label / f"{i}.png").write_bytes(png(np.full((8, 8), 20 * i, np.uint8)))
    with pytest.raises(DataError, match=r"data\.image_size: missing for the folder of images .*; set it to the"):
        read(tmp_path / "d")
    with pytest.raises(DataError, match=r"data\.target: found a folder of images: .*, for which it has no meaning"):
        read(tmp_path / "d", image_size=8, target="label")
    data = read(tmp_path / "d", image_size=8, mode="L", validation=4, test=6)
    assert data.task.input_shape == (1, 8, 8)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [10, 4, 6]


def test_a_folder_without_data_is_refused_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError, match=r"found no images in class folders and no data files, allowed: \.parquet"):
        read(tmp_path / "d")
