"""The kind of a column, by its training cells."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from sdk.column_types import Category, Column, Number
from zoo.data.column_kinds import choose_column
from zoo.utils.errors import DataError


def choose(cells: list[Any], fill: str | None = None) -> Column | None:
    return choose_column("own", cells, fill, lambda numbers: f"rows {', '.join(map(str, numbers))}")


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ([1, 2.5, 4], Number("own", example=2.5)),
        (["1", " 2.5", "1e1"], Number("own", example=2.5)),
        ([7, 7], None),
        (["red", "blue", "red"], Category("own", ("blue", "red"), example="red")),
        (["b", "a"], Category("own", ("a", "b"), example="a")),
        (["red", " red "], None),
        ([True, False, True], Category("own", ("false", "true"), example="true")),
        (["TRUE", "False", "false "], Category("own", ("false", "true"), example="false")),
        (["1", "true"], Category("own", ("1", "true"), example="1")),
    ],
)
def test_the_cells_decide_on_the_kind(cells: list[Any], column: Column | None) -> None:
    assert choose(cells) == column


def test_fill_is_the_mean_and_the_most_frequent_category_the_first_of_several() -> None:
    assert choose([1.0, None, 4.0], "mean") == Number("own", fill=2.5, example=2.5)
    assert choose(["b", "b", None, "c", "c", "a"], "mean") == Category("own", ("a", "b", "c"), fill="b", example="b")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None, ""], "column 'own': no training row has a value"),
        ([1, True], "rows 0, 1: column 'own': found 1 and True, allowed one kind of values"),
        ([None, "a", "b", 3], "rows 1, 3: column 'own': found 'a' and 3, allowed one kind"),
        ([1, [2]], r"rows 1: column 'own': found list \[2\], allowed numbers, texts and booleans"),
        ([1, 1j], "rows 1: column 'own': found complex 1j"),
        ([1, 10.0**39], r"rows 1: column 'own': found 1e\+39, allowed a finite number"),
        ([datetime.date(2020, 1, 2)], "rows 0: column 'own': found the date .*; turn dates into numbers"),
        (["2020-01-02", "2020-01-03 10:00"], "found dates, such as '2020-01-02'; turn dates into numbers"),
        (["1,5", "2"], "found numbers with a decimal comma, such as '1,5'; write them with a decimal point"),
        (["a", "b\ud800"], "rows 1: column 'own': found .*, allowed Unicode text"),
    ],
)
def test_other_cells_are_refused_by_row_and_reason(cells: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        choose(cells)
    assert "\n" not in str(caught.value)


def test_a_text_among_more_than_twenty_different_numbers_is_refused_unless_half_are_texts() -> None:
    numbers = [str(i % 21) for i in range(63)]
    with pytest.raises(DataError, match=r"rows 63: column 'own': found '\?' in a column of numbers"):
        choose([*numbers, *"?" * 62])
    assert isinstance(choose([*numbers, *"?" * 63]), Category)
    assert isinstance(choose([str(i % 20) for i in range(63)] + ["?"]), Category)


def test_at_most_half_as_many_categories_as_rows_and_a_thousand_are_allowed() -> None:
    assert isinstance(choose([f"c{i}" for i in range(20)]), Category)
    with pytest.raises(DataError, match=r"found 21 different texts in 21 rows, such as .*, allowed 20"):
        choose([f"c{i}" for i in range(21)])
    assert isinstance(choose([f"c{i % 21}" for i in range(42)]), Category)
    with pytest.raises(DataError, match=r"found 1,001 different texts in 3,003 rows, such as .*, allowed 1,000"):
        choose([f"c{i % 1001}" for i in range(3003)])


def test_a_name_that_no_column_may_have_is_refused() -> None:
    with pytest.raises(DataError, match="column ' own': found this name, allowed 1 to 1000 characters without spaces"):
        choose_column(" own", [1, 2], None, str)
