from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdk.cells import MISSING_TEXTS, is_missing, number_of, text_of
from sdk.errors import InputError


@pytest.mark.parametrize("cell", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, "", "  ", Decimal("nan")])
def test_cells_without_a_value_are_missing(cell: Any) -> None:
    assert is_missing(cell)


@pytest.mark.parametrize("cell", [0, False, "nan", "NA", "0", 1.5, [], np.array([1, 2])])
def test_other_cells_are_not_missing(cell: Any) -> None:
    assert not is_missing(cell)


@pytest.mark.parametrize("cell", ["NA", " NaN ", "null", "#N/A"])
def test_csv_has_words_for_missing_values(cell: str) -> None:
    assert is_missing(cell, MISSING_TEXTS)


def test_the_words_for_missing_values_are_those_of_pandas() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert MISSING_TEXTS == STR_NA_VALUES


@pytest.mark.parametrize(
    ("cell", "number"),
    [(3, 3.0), (True, 1.0), (" 5.1 ", 5.1), ("-1e-3", -0.001), (np.int8(4), 4.0), (Decimal("0.1"), 0.1), ("007", 7.0)],
)
def test_numbers_and_texts_that_spell_one_are_numbers(cell: Any, number: float) -> None:
    assert number_of(cell) == number


@pytest.mark.parametrize(
    "cell",
    [
        *("a", "5,1", "1_000", "inf", "nan", "1e400", "\u0661", "0x10", float("inf"), 1e39, 10**400, 1j, b"1", [1], {}),
        *(np.array([1.0]), datetime.date(2020, 1, 1), np.datetime64("2020-01-01"), pd.Timestamp("2020-01-01")),
    ],
)
def test_other_cells_are_no_numbers(cell: Any) -> None:
    with pytest.raises(InputError, match=r"found .*, allowed a "):
        number_of(cell)


def test_a_decimal_comma_is_named() -> None:
    with pytest.raises(InputError, match="found '5,1', allowed a number; write it with a decimal point"):
        number_of("5,1")


@pytest.mark.parametrize(("cell", "text"), [(" a b ", "a b"), (True, "true"), (np.bool_(False), "false"), (7, "7")])
def test_texts_booleans_and_whole_numbers_are_texts(cell: Any, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize("cell", [1.5, None, b"a", ["a"], datetime.date(2020, 1, 1)])
def test_other_cells_are_no_texts(cell: Any) -> None:
    with pytest.raises(InputError, match="allowed a text"):
        text_of(cell)
