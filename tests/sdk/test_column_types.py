from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdk.column_types import Category, CellError, Number

COLOUR = Category("colour", ("blue", "red"))
MEMBER = Category("member", ("false", "true"))


def test_a_number_is_one_feature() -> None:
    assert Number("age").encode([1, 2.5, "3", True]).tolist() == [[1.0], [2.5], [3.0], [1.0]]


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float16, np.float64, np.float32, np.bool_])
def test_arrays_and_lists_of_numbers_are_encoded_alike(kind: type) -> None:
    cells = np.array([0, 1, 1], kind)
    np.testing.assert_array_equal(Number("age").encode(cells), Number("age").encode(cells.tolist()))


def test_large_whole_numbers_are_rounded_alike_from_arrays_and_lists() -> None:
    cells = np.array([2**53 + 1, 9007199791611905, 2**62 + 2**38 + 1])
    np.testing.assert_array_equal(Number("id").encode(cells), Number("id").encode(cells.tolist()))


def test_a_category_is_one_feature_per_category() -> None:
    assert COLOUR.encode(["red", " blue "]).tolist() == [[0, 1], [1, 0]]


def test_booleans_and_their_texts_in_any_case_are_the_same() -> None:
    found = MEMBER.encode([True, "true", "TRUE", np.bool_(True), "True"])
    assert found.tolist() == [[0, 1]] * 5


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        (Number("age"), "old", "column 'age': found 'old', allowed a number"),
        (Number("age"), None, r"column 'age': found no value \(None\)"),
        (Number("age"), float("inf"), "column 'age': found inf, allowed a finite number"),
        (COLOUR, "pink", "column 'colour': unknown category 'pink', allowed 'blue', 'red'"),
        (COLOUR, "reed", r"unknown category 'reed' \(did you mean red\?\)"),
        (COLOUR, "", "column 'colour': found no value"),
        (COLOUR, 1.5, "column 'colour': found 1.5, allowed 'blue', 'red'"),
        (MEMBER, "yes", "unknown category 'yes', allowed 'false', 'true'"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(column: Number | Category, cell: Any, problem: str) -> None:
    good = {"age": 1, "colour": "red", "member": True}[column.name]
    with pytest.raises(CellError, match=problem) as caught:
        column.encode([good, good, cell])
    assert caught.value.row == 2


def test_missing_values_are_filled() -> None:
    assert Number("age", fill=7.5).encode([None, "", float("nan"), 1]).tolist() == [[7.5], [7.5], [7.5], [1]]
    assert Category("c", ("a", "b"), fill="b").encode([None, "a"]).tolist() == [[0, 1], [1, 0]]


def test_words_for_missing_values_count_in_csv_alone_and_never_hide_a_category() -> None:
    country = Category("country", ("FR", "NA"))
    assert country.encode(["NA"], csv=True).tolist() == [[0, 1]]
    assert Number("age", fill=3.0).encode(["NA"], csv=True).tolist() == [[3.0]]
    with pytest.raises(CellError, match="found 'NA', allowed a number"):
        Number("age", fill=3.0).encode(["NA"])


def test_many_categories_are_counted_in_errors() -> None:
    column = Category("c", tuple(f"k{number}" for number in range(30)))
    with pytest.raises(CellError, match=r"'k7', \.\.\. \(30 in all\)"):
        column.encode(["other"])
