from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdk import Model, load
from sdk.errors import InputError
from sdk.tables import named_columns, read_rows
from tests.support.tables import COLUMNS, FILLED, ROWS, table_spec, write_table_model

FRAME = pd.DataFrame(ROWS)
SHUFFLED = FRAME[["member", "age", "colour"]].assign(bought="yes")
ENCODED = np.array([[36, 0, 0, 1, 0, 1], [51.5, 1, 0, 0, 1, 0], [20, 0, 1, 0, 0, 1]], np.float32)
VALUES = [[row["age"], row["colour"], row["member"]] for row in ROWS]


def _polars() -> Any:
    return pytest.importorskip("polars").from_pandas(SHUFFLED)


def _arrow() -> Any:
    return pytest.importorskip("pyarrow").Table.from_pandas(SHUFFLED)


def _datasets() -> Any:
    return pytest.importorskip("datasets").Dataset.from_pandas(SHUFFLED)


BATCHES = {
    "dicts": lambda: ROWS,
    "dicts in another order": lambda: [dict(reversed(row.items())) for row in ROWS],
    "dicts of different order": lambda: [ROWS[0], dict(reversed(ROWS[1].items())), {**ROWS[2], "id": 7}],
    "columns": lambda: SHUFFLED.to_dict("list"),
    "arrays of columns": lambda: {name: SHUFFLED[name].to_numpy() for name in SHUFFLED},
    "pandas": lambda: SHUFFLED,
    "pandas with an index": lambda: SHUFFLED.set_index(pd.Index([7, 7, "x"])),
    "pandas with nullable types": lambda: SHUFFLED.convert_dtypes(),
    "pandas with categories": lambda: SHUFFLED.astype({"colour": "category"}),
    "pandas without names": lambda: pd.DataFrame(VALUES),
    "polars": _polars,
    "Arrow": _arrow,
    "datasets": _datasets,
    "records": lambda: SHUFFLED.to_records(index=False),
    "lists": lambda: VALUES,
    "tuples": lambda: tuple(map(tuple, VALUES)),
    "objects": lambda: np.array(VALUES, object),
    "series": lambda: [row for _, row in SHUFFLED.iterrows()],
    "encoded": lambda: ENCODED,
    "encoded lists": lambda: ENCODED.tolist(),
    "list of encoded rows": lambda: list(ENCODED),
}
SINGLE = {
    "dict": lambda: ROWS[0],
    "series": lambda: SHUFFLED.iloc[0],
    "record": lambda: SHUFFLED.to_records(index=False)[0],
    "list": lambda: VALUES[0],
    "tuple": lambda: tuple(VALUES[0]),
    "objects": lambda: np.array(VALUES[0], object),
    "encoded": lambda: ENCODED[0],
    "encoded list": lambda: ENCODED[0].tolist(),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_table_model(tmp_path_factory.mktemp("models") / "table"))


@pytest.mark.parametrize("form", BATCHES)
def test_every_form_of_rows_is_the_same_table(form: str) -> None:
    spec = table_spec()
    prepared, single = spec.prepare(BATCHES[form]())
    assert not single
    expected = (ENCODED - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    np.testing.assert_array_equal(prepared, expected)


@pytest.mark.parametrize("form", SINGLE)
def test_every_form_of_one_row_is_the_same_row(form: str) -> None:
    prepared, single = table_spec().prepare(SINGLE[form]())
    assert single
    np.testing.assert_array_equal(prepared[0], table_spec().prepare(ENCODED)[0][0])


def test_one_row_gives_one_answer_and_a_table_of_one_row_a_list(model: Model) -> None:
    assert isinstance(model.predict(ROWS[0]), str)
    for one in (ROWS[:1], SHUFFLED[:1], VALUES[:1], ENCODED[:1], {"age": [36], "colour": ["red"], "member": [True]}):
        assert model.predict(one) == [model.predict(ROWS[0])]


@pytest.mark.parametrize("empty", [[], FRAME[:0], np.zeros((0, 3)), np.zeros((0, 6)), np.empty((0, 3), object)])
def test_an_empty_table_is_an_empty_batch(model: Model, empty: Any) -> None:
    assert model.predict(empty) == []


@pytest.mark.parametrize("size", [1, 2, 64])
def test_the_size_of_batches_changes_no_row(model: Model, size: int) -> None:
    np.testing.assert_allclose(model.logits(SHUFFLED, size), model.logits(ROWS), rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        (FRAME.drop(columns="age"), "the table: found no column 'age' among 'colour', 'member', allowed the 3 columns"),
        ({"age": 3}, "the row: found no column 'colour', 'member' among 'age'"),
        ([ROWS[0], {"age": 1}], "input 1: found no column 'colour', 'member'"),
        (FRAME.assign(colour=["red", "pink", "blue"]), "row 1: column 'colour': unknown category 'pink'"),
        (FRAME.assign(age=[1, None, 2]), r"row 1: column 'age': found no value \(nan\), allowed a number"),
        (FRAME.assign(age=pd.Timestamp("2020-01-01")), "row 0: column 'age': found Timestamp"),
        ([ROWS[0], 3], "input 1: found int 3, allowed a row: a dict, or a list of the 3 columns"),
        ([ROWS[0], None], "input 1: found NoneType None, allowed a row"),
        ([[1, "red"]], "input 0: found 2 values, allowed the 3 columns 'age', 'colour', 'member', or of 6 features"),
        ([1, "red"], "the row: found 2 values"),
        ([[[1, "red", True]]], "input 0: found 1 values"),
        (np.zeros((2, 4)), r"wrong shape \[2, 4\]"),
        (np.zeros((2, 3)), "row 0: column 'colour': found 0.0, allowed 'blue', 'green', 'red'"),
        (np.full((1, 6), np.nan), "NaN or infinite"),
        ({"age": [1, 2], "colour": ["red"], "member": [True, False]}, "found lengths 1, 2, allowed one"),
        ({"age": [1, 2], "colour": "red", "member": True}, "found lengths 1, 2, allowed one"),
        (pd.DataFrame([[1, 2]]), "found 2 columns without names, allowed the 3 columns"),
        (pd.DataFrame([[1, "red", True, "red"]], columns=["age", "colour", "member", "colour"]), "more than once"),
        (None, "found NoneType None"),
        (b"abc", "found bytes"),
        ("rows.xlsx", "rows.xlsx: found '.xlsx', allowed tables that end with .csv"),
        (5, "wrong shape"),
    ],
)
def test_what_does_not_fit_is_named(model: Model, inputs: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        model.predict(inputs)


def test_rows_that_cannot_be_used_are_returned_in_their_places(model: Model) -> None:
    rows = [ROWS[0], {**ROWS[1], "colour": "pink"}, {"age": 3}, ROWS[2]]
    found = model.predict(rows, errors="return", batch_size=3)
    assert [str(answer) if isinstance(answer, InputError) else "" for answer in found][1:3] == [
        "input 1: column 'colour': unknown category 'pink', allowed 'blue', 'green', 'red'",
        "input 2: found no column 'colour', 'member' among 'age', "
        "allowed the 3 columns 'age', 'colour', 'member'",
    ]  # fmt: skip
    assert [found[0], found[3]] == model.predict([ROWS[0], ROWS[2]])


def test_missing_values_are_filled_as_the_model_says() -> None:
    spec = table_spec(FILLED)
    filled = {"age": 40.0, "colour": "green", "member": True}
    holes = [{"age": None, "colour": "", "member": float("nan")}, {"age": "", "colour": None, "member": pd.NA}]
    np.testing.assert_array_equal(spec.prepare(holes)[0], spec.prepare([filled, filled])[0])
    frame = pd.DataFrame([{"age": 1, "colour": "red", "member": True}, {}])
    np.testing.assert_array_equal(spec.prepare(frame)[0][1], spec.prepare(filled)[0][0])


def test_a_missing_column_is_never_filled() -> None:
    with pytest.raises(InputError, match="found no column 'colour'"):
        table_spec(FILLED).prepare({"age": 3, "member": True})


def test_encoded_numbers_are_told_from_raw_rows_by_their_width() -> None:
    assert read_rows(ENCODED, COLUMNS, 4) is None
    assert read_rows(VALUES, COLUMNS, 4) is not None


def test_frames_give_their_names() -> None:
    numbers = named_columns(pd.DataFrame({"a": [1], "b": [2]}))
    assert numbers is not None
    assert numbers.names == ("a", "b")
    assert named_columns(np.zeros((2, 2))) is named_columns(pd.DataFrame(np.zeros((2, 2)))) is None


def test_a_pickled_model_knows_its_columns(model: Model) -> None:
    import copy

    assert copy.deepcopy(model).predict(SHUFFLED) == model.predict(ROWS)


def test_both_backends_take_rows(tmp_path: Path) -> None:
    folder = write_table_model(tmp_path / "both", formats=("safetensors", "onnx"))
    assert load(folder, backend="onnx").predict(SHUFFLED) == load(folder, backend="torch").predict(ROWS)
