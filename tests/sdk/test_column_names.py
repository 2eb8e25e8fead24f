from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sdk.column_names import match
from sdk.errors import InputError

IRIS = ["sepal length (cm)", "sepal width (cm)"]


@pytest.mark.parametrize(
    "found",
    [
        ["sepal width (cm)", "sepal length (cm)"],
        ["sepal_width", "sepal_length"],
        ["Sepal.Width", "Sepal.Length"],
        [" SEPAL-WIDTH (cm) ", "sepal  length"],
        ["sepal width [cm]", "sepal length"],
    ],
)
def test_names_are_found_in_any_order_and_in_other_spellings(found: list[str]) -> None:
    assert match(IRIS, found, "the table") == [1, 0]


@pytest.mark.parametrize(
    "found",
    [
        ["sepal width (mm)", "sepal length (cm)"],
        ["sepalwidth", "sepal length (cm)"],
        ["sepal width", "sepal_width", "sepal length"],
        ["width", "sepal length"],
        [],
    ],
)
def test_another_unit_word_or_two_candidates_are_no_match(found: list[str]) -> None:
    with pytest.raises(InputError, match=r"the table: found no column .*sepal width \(cm\)'.*allowed the 2 columns"):
        match(IRIS, found, "the table")


def test_an_exact_name_goes_before_other_spellings() -> None:
    assert match(["a b"], ["a_b", "a b"], "x") == [1]


def test_a_spelling_like_two_columns_of_the_model_is_no_match() -> None:
    with pytest.raises(InputError, match="found no column 'A B'"):
        match(["a b", "A B"], ["a b", "a_b"], "x")


def test_signs_that_change_a_name_are_no_separators() -> None:
    with pytest.raises(InputError, match="found no column"):
        match(["x+1"], ["x 1"], "x")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(InputError, match="found column 'a' more than once"):
        match(["a"], ["a", "b", "a"], "x")


def test_several_columns_without_a_name_are_ignored() -> None:
    assert match(["a"], ["", "", "a"], "x") == [2]


def test_positions_stand_for_the_columns_in_order() -> None:
    assert match(IRIS, [0, 1], "x") == [0, 1]


@pytest.mark.parametrize("found", [[0, 1, 2], [0], [1, 2], [False, True], [("a", "b"), 1]])
def test_other_positions_are_refused(found: Sequence[Any]) -> None:
    with pytest.raises(InputError, match="allowed the 2 columns"):
        match(IRIS, found, "x")
