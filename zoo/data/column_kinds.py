"""Chooses the kind of a table's column from its training cells: numbers or categories."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdk.cells import FALSE, TRUE, is_missing, number_of, show, text_of
from sdk.column_types import Category, Column, Number, listed, text_problem
from sdk.errors import InputError
from sdk.validation import describe
from zoo.utils.errors import DataError

MOST_CATEGORIES = 1000
"""Most categories of a column."""
FEW_CATEGORIES = 20
"""As many categories are fine in any table; more than that may be at most half as many as there are rows."""
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_DATE_TEXT = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}([ ].*)?")
_COMMA_NUMBER = re.compile(r"\s*[-+]?\d{1,3}(\.?\d{3})*,\d+\s*")

Place = Callable[[Sequence[int]], str]
"""Names rows, given by their positions among the cells."""


def choose_column(name: str, cells: Sequence[Any], fill: str | None, place: Place) -> Column | None:
    """Return the column for its training cells, or None for one with a single value.

    With ``fill`` "mean", missing cells get the mean, or the most frequent category (of several, the first in order).
    Raises DataError for cells that are neither numbers nor categories, and for too many categories.
    """
    problem = text_problem(name)
    if problem:
        raise DataError(f"column {describe(name)}: found this name, allowed {problem}")
    present = [number for number, cell in enumerate(cells) if not is_missing(cell)]
    if not present:
        raise DataError(f"column {name!r}: no training row has a value; leave it out")
    kinds = {_kind(name, cells[number], number, place) for number in present}
    if kinds == {"text"}:
        kinds = {_kind_of_texts(name, [cells[number] for number in present], lambda at: place([present[at]]))}
    if len(kinds) > 1:
        _refuse_mixture(name, cells, present, place)
    if kinds == {"number"}:
        return _number(name, cells, present, fill, place)
    return _category(name, cells, present, fill, kinds == {"boolean"}, place)


def _kind(name: str, cell: Any, number: int, place: Place) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, (bool, np.bool_)):
        return "boolean"
    if isinstance(cell, _DATES):
        raise DataError(f"{place([number])}: column {name!r}: found the date {show(cell)}; {_DATE_ADVICE}")
    if hasattr(cell, "__float__") and not isinstance(cell, (np.ndarray, complex)):
        return "number"
    raise DataError(
        f"{place([number])}: column {name!r}: found {type(cell).__name__} {show(cell)}, allowed numbers, texts and "
        "booleans; leave the column out"
    )


_DATE_ADVICE = "turn dates into numbers, such as a year or days since the first date, or leave the column out"


def _kind_of_texts(name: str, texts: list[str], place: Callable[[int], str]) -> str:
    """Return the kind of cells that are all texts, which may spell numbers or booleans; ``place`` names one of them."""
    if all(text.strip().lower() in (FALSE, TRUE) for text in texts):
        return "boolean"
    numbers = {text for text in set(texts) if spells_number(text)}
    others = [at for at, text in enumerate(texts) if text not in numbers]
    if not others:
        return "number"
    if all(_DATE_TEXT.fullmatch(text.strip()) for text in texts):
        raise DataError(f"column {name!r}: found dates, such as {describe(texts[0])}; {_DATE_ADVICE}")
    comma = [text for text in texts if _COMMA_NUMBER.fullmatch(text)]
    if comma and all(_COMMA_NUMBER.fullmatch(text) or spells_number(text) for text in texts):
        raise DataError(
            f"column {name!r}: found numbers with a decimal comma, such as {describe(comma[0])}; write them with a "
            "decimal point"
        )
    if len(numbers) > FEW_CATEGORIES and 2 * len(others) < len(texts):
        raise DataError(
            f"{place(others[0])}: column {name!r}: found {describe(texts[others[0]])} in a column of numbers; write a "
            "number, or nothing for a missing one"
        )
    return "text"


def spells_number(text: str) -> bool:
    """Return True for a text that a column of numbers takes."""
    try:
        number_of(text)
    except InputError:
        return False
    return True


def _refuse_mixture(name: str, cells: Sequence[Any], present: Sequence[int], place: Place) -> None:
    """Raise DataError for cells of several kinds; it names the first cells of two of them."""
    first: dict[str, int] = {}
    for number in present:
        first.setdefault(_kind(name, cells[number], number, place), number)
    one, other = list(first.values())[:2]
    raise DataError(
        f"{place([one, other])}: column {name!r}: found {show(cells[one])} and {show(cells[other])}, allowed "
        "one kind of values: numbers, texts or booleans"
    )


def _number(name: str, cells: Sequence[Any], present: Sequence[int], fill: str | None, place: Place) -> Number | None:
    values = np.empty(len(present))
    for position, number in enumerate(present):
        try:
            values[position] = number_of(cells[number])
        except InputError as error:
            raise DataError(f"{place([number])}: column {name!r}: {error}") from None
    if (values == values[0]).all():
        return None
    return Number(name, fill=None if fill is None else float(values.mean()), example=float(f"{np.median(values):.4g}"))


def _category(
    name: str, cells: Sequence[Any], present: Sequence[int], fill: str | None, boolean: bool, place: Place
) -> Category | None:
    texts = [text_of(cells[number]) for number in present]
    counts = Counter(text.lower() for text in texts) if boolean else Counter(texts)
    categories = sorted(counts)
    allowed = min(MOST_CATEGORIES, max(FEW_CATEGORIES, len(present) // 2))
    if len(categories) > allowed:
        raise DataError(
            f"column {name!r}: found {len(categories):,} different texts in {len(present):,} rows, such as "
            f"{listed(categories[:3])}, allowed {allowed:,}; leave the column out, or group its values"
        )
    for category in categories:
        problem = text_problem(category)
        if problem:
            raise DataError(f"{place([texts.index(category)])}: column {name!r}: found {describe(category)}, "
                            f"allowed {problem}")  # fmt: skip
    if len(categories) == 1:
        return None
    frequent = min(categories, key=lambda category: -counts[category])
    return Category(name, tuple(categories), fill=None if fill is None else frequent, example=frequent)
