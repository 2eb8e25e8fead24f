"""The columns of tables as features: missing values, categories without a training row, and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sdk.columns import Columns
from zoo.data.split import Data
from zoo.data.tables import TablePart, load_tables
from zoo.utils.errors import DataError

CLASSES = ["no", "yes"]


Cells = dict[str, list[Any]]


def part(name: str, columns: Cells, labels: list[int] | None = None) -> TablePart:
    count = len(next(iter(columns.values())))
    chosen = [i % 2 for i in range(count)] if labels is None else labels
    return TablePart(columns, torch.tensor(chosen), range(100, 100 + count), f"split {name}")


def load(columns: Cells, test: Cells | TablePart | None = None, fill: str | None = None) -> Data:
    """Load the same rows for training and validation, and for testing unless ``test`` is given."""
    last = test if isinstance(test, TablePart) else part("test", test or columns)
    return load_tables({"train": part("train", columns), "validation": part("validation", columns), "test": last},
                       CLASSES, fill)  # fmt: skip


def columns_of(data: Data) -> Columns:
    assert data.input_spec.columns is not None
    return data.input_spec.columns


TWO_KINDS: Cells = {"kind": ["a", "b"] * 20}


def with_unknown(count: int) -> Cells:
    return {"kind": ["c"] * count + TWO_KINDS["kind"][count:]}


def test_numbers_are_normalised_by_the_training_rows_and_categories_are_not() -> None:
    data = load({"size": [1.0, 2.0, 6.0], "kind": ["b", "a", "b"]}, {"size": [50.0], "kind": ["a"]})
    assert columns_of(data).features == ("size", "kind=a", "kind=b")
    np.testing.assert_allclose(data.input_spec.mean, [3, 0, 0])
    np.testing.assert_allclose(data.input_spec.std, [np.std([1, 2, 6]), 1, 1])


def test_each_number_is_normalised_by_its_own_values() -> None:
    spec = load({"kind": ["b", "a", "b"], "size": [1.0, 2.0, 6.0], "age": [40.0, 10.0, 10.0]}).input_spec
    np.testing.assert_allclose(spec.mean, [0, 0, 3, 20])
    np.testing.assert_allclose(spec.std, [1, 1, np.std([1, 2, 6]), np.std([40, 10, 10])])


@pytest.mark.parametrize("missing", [None, float("nan"), "", " "])
def test_a_missing_value_is_refused_with_its_row_and_what_to_do(missing: Any) -> None:
    with pytest.raises(DataError, match=r"split train, row 101: column 'size': found no value; set data\.fill to mean"):
        load({"size": [1.0, missing, 3.0]})
    with pytest.raises(DataError, match="split test, rows 100, 102: column 'size': found no value"):
        load({"size": [1.0, 2.0, 3.0]}, {"size": [missing, 5.0, missing]})


def test_an_error_names_the_first_five_rows_and_their_number() -> None:
    with pytest.raises(DataError, match=r"rows 101, 102, 103, 104, 105, \.\.\. \(6 rows\): column"):
        load({"size": [1.0, *[None] * 6]})
    with pytest.raises(DataError, match="rows 101, 102, 103, 104, 105: column"):
        load({"size": [1.0, *[None] * 5]})


def test_fill_takes_the_mean_and_the_most_frequent_category_of_the_training_rows() -> None:
    rows: Cells = {"size": [1.0, None, 6.0, 5.0], "kind": ["b", "a", None, "b"]}
    data = load(rows, {"size": [None, 9.0], "kind": [None, "a"]}, fill="mean")
    expected = data.test.prepare(torch.tensor([[4.0, 0, 1], [9, 1, 0]]))
    torch.testing.assert_close(data.test.everything()[0], expected)


def test_few_rows_of_unknown_categories_are_left_out_with_a_note() -> None:
    data = load(TWO_KINDS, with_unknown(1))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [40, 40, 39]
    assert data.test.labels.tolist() == [i % 2 for i in range(1, 40)]
    assert "; 40 for train, 40 for validation, 39 for test; " in data.about
    assert "left out 1 of 40 rows of split test, row 100: categories of 'kind' that no training row has" in data.about


def test_more_than_a_twentieth_of_unknown_categories_is_refused() -> None:
    assert len(load(TWO_KINDS, with_unknown(2)).test) == 38
    with pytest.raises(DataError, match=r"rows 100, 101, 102: categories of 'kind'.*allowed in 5% of the rows"):
        load(TWO_KINDS, with_unknown(3))


def test_a_class_whose_rows_would_all_be_left_out_is_refused() -> None:
    with pytest.raises(DataError, match="without these rows a class would have none"):
        load(TWO_KINDS, part("test", with_unknown(1), labels=[1, *[0] * 39]))


def test_a_missing_category_is_filled_and_not_unknown() -> None:
    data = load({"kind": ["a", "b", "b"]}, {"kind": [None, "a"]}, fill="mean")
    assert data.test.everything()[0].tolist() == [[0, 1], [1, 0]]


def test_columns_are_named_without_spaces_and_each_once() -> None:
    assert columns_of(load({" size ": [1.0, 2.0]})).names == ("size",)
    for names in (("size", " size"), ("size", " ")):
        with pytest.raises(DataError, match="allowed a name of its own for each"):
            load({name: [1.0, 2.0] for name in names})


def test_a_part_without_a_column_of_the_training_rows_is_refused() -> None:
    with pytest.raises(DataError, match="split test: found no column 'size', allowed those of the training rows"):
        load({"size": [1.0, 2.0], "age": [1.0, 2.0]}, {"age": [3.0]})


def test_a_cell_that_is_no_number_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match="split test, row 101: column 'size': found 'big', allowed a number"):
        load({"size": [1.0, 2.0]}, {"size": [1.0, "big"]})


def test_a_table_of_constant_columns_is_refused() -> None:
    with pytest.raises(DataError, match="found the same value in every training row of 'size'; no column is left"):
        load({"size": [1.0, 1.0]})


def test_twenty_rows_are_enough_to_say_that_a_column_numbers_them() -> None:
    assert "numbers the rows" not in load({"own": list(range(19))}).about
    assert "column 'own' numbers the rows" in load({"own": list(range(20))}).about
    assert "numbers the rows" not in load({"own": [None, *range(1, 20)]}, fill="mean").about
