"""The kinds of columns of a table, and the arithmetic from raw cells to features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk.cells import FALSE, LARGEST, MISSING_TEXTS, TRUE, is_missing, number_of, show, text_of
from sdk.errors import InputError
from sdk.text import is_unicode
from sdk.validation import check_keys, check_list, check_type, describe, hint

Cells: TypeAlias = "Sequence[Any] | NDArray[Any]"
"""The raw cells of one column."""
LONGEST_TEXT = 1000
"""Most characters of a column's name and of a category."""
_SHOWN = 8


class CellError(InputError):
    """A cell that a column does not take."""

    def __init__(self, row: int, column: str, problem: str) -> None:
        super().__init__(f"column {describe(column)}: {problem}")
        self.row = row
        """The number of its row, from 0, among the cells that were encoded."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: one feature, the number itself."""

    name: str
    fill: float | None = None
    """Stands in for a missing number; None: a missing number is an error."""
    example: float | None = None
    """A typical number, for people."""

    @property
    def width(self) -> int:
        """The number of features of the column."""
        return 1

    def encode(self, cells: Cells, csv: bool = False) -> NDArray[np.float32]:
        """Return ``float32 [B, 1]``. Raises CellError. ``csv`` cells are texts, among them those for "no value"."""
        quick = _plain_numbers(cells)
        if quick is None:
            absent = MISSING_TEXTS if csv else frozenset({""})
            quick = np.array([self._number(row, cell, absent) for row, cell in enumerate(cells)], np.float64)
        return quick.astype(np.float32)[:, None]

    def _number(self, row: int, cell: Any, absent: frozenset[str]) -> float:
        if is_missing(cell, absent):
            if self.fill is None:
                raise CellError(row, self.name, f"found no value ({show(cell)}), allowed a number")
            return self.fill
        try:
            return number_of(cell)
        except InputError as error:
            raise CellError(row, self.name, str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """Return the entry of config.json."""
        return _given({"name": self.name, "kind": "number", "fill": self.fill, "example": self.example})


@dataclass(frozen=True)
class Category:
    """A column of texts or booleans: one feature per category, 1 for the cell's own, 0 for the others."""

    name: str
    categories: tuple[str, ...]
    """Those of the training rows, sorted."""
    fill: str | None = None
    """Stands in for a missing category; None: a missing category is an error."""
    example: str | None = None
    """A typical category, for people."""

    @property
    def width(self) -> int:
        """The number of features of the column."""
        return len(self.categories)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {category: number for number, category in enumerate(self.categories)}

    @property
    def boolean(self) -> bool:
        """True if the categories are those of booleans."""
        return set(self.categories) == {FALSE, TRUE}

    def encode(self, cells: Cells, csv: bool = False) -> NDArray[np.float32]:
        """Return ``float32 [B, width]``. Raises CellError. ``csv`` cells are texts, among them those for "no value"."""
        absent = MISSING_TEXTS if csv else frozenset({""})
        numbers = [self._category(row, cell, absent) for row, cell in enumerate(cells)]
        encoded = np.zeros((len(numbers), self.width), np.float32)
        encoded[np.arange(len(numbers)), numbers] = 1
        return encoded

    def _category(self, row: int, cell: Any, absent: frozenset[str]) -> int:
        if isinstance(cell, str) and (number := self._numbers.get(cell.strip())) is not None:
            return number  # first, because "NA" may be a category
        if is_missing(cell, absent):
            if self.fill is None:
                raise CellError(row, self.name, f"found no value ({show(cell)}), allowed {self._known()}")
            return self._numbers[self.fill]
        try:
            text = text_of(cell)
        except InputError:
            raise CellError(row, self.name, f"found {show(cell)}, allowed {self._known()}") from None
        number = self._find(text)
        if number is None:
            near = hint(text, self.categories)
            raise CellError(row, self.name, f"unknown category {show(cell)}{near}, allowed {self._known()}")
        return number

    def knows(self, cell: Any) -> bool:
        """Return True for a cell of one of the categories."""
        try:
            return self._find(text_of(cell)) is not None
        except InputError:
            return False

    def _find(self, text: str) -> int | None:
        return self._numbers.get(text.lower() if self.boolean else text)

    def _known(self) -> str:
        return listed(self.categories)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of config.json."""
        fields = {"name": self.name, "kind": "category", "categories": list(self.categories)}
        return _given({**fields, "fill": self.fill, "example": self.example})


Column: TypeAlias = "Number | Category"


def listed(texts: Sequence[str]) -> str:
    """Show at most eight texts, and how many there are."""
    shown = ", ".join(describe(text) for text in texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown}, ... ({len(texts)} in all)"


def text_problem(text: str) -> str | None:
    """Return the rule that the name of a column or category breaks, or None."""
    if not text or text != text.strip() or len(text) > LONGEST_TEXT:
        return f"1 to {LONGEST_TEXT} characters without spaces around them"
    return None if is_unicode(text) else "Unicode text"


def _plain_numbers(cells: Cells) -> NDArray[np.float64] | None:
    """Return cells that are all finite numbers, quickly; None if each must be looked at."""
    try:
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
            numbers = cells.astype(np.float64)
        elif all(type(cell) is float or type(cell) is int for cell in cells):
            numbers = np.array(cells, np.float64)
        elif all(type(cell) is str for cell in cells) and "_" not in (joined := "".join(cells)) and joined.isascii():
            numbers = np.array([float(cell) for cell in cells], np.float64)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return numbers if _float32_range(numbers) else None


def _float32_range(numbers: NDArray[np.float64]) -> bool:
    return bool((np.abs(numbers) <= LARGEST).all())  # False for NaN and infinity


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def parse_column(entry: dict[str, Any], where: str) -> Column:
    """Read the entry of one column of a config.json; raises InputError naming what is wrong."""
    kind = entry.get("kind")
    name = _text(entry.get("name"), f"{where} name")
    if kind == "number":
        fields = check_keys(entry, {"name", "kind"}, frozenset({"fill", "example"}), where)
        return Number(name, *(_optional(fields, key, where, _number) for key in ("fill", "example")))
    if kind != "category":
        raise InputError(f"{where} kind: found {describe(kind)}, allowed 'number' or 'category'")
    fields = check_keys(entry, {"name", "kind", "categories"}, frozenset({"fill", "example"}), where)
    categories = check_list(fields["categories"], str, f"{where} categories")
    for category in categories:
        _text(category, f"{where} category")
    if len(categories) < 2 or len(set(categories)) < len(categories):
        raise InputError(f"{where} categories: found {listed(categories)}, allowed two or more, each once")
    fill, example = (_optional(fields, key, where, _text) for key in ("fill", "example"))
    for key, value in (("fill", fill), ("example", example)):
        if value is not None and value not in categories:
            raise InputError(f"{where} {key}: found {describe(value)}, allowed one of its categories")
    return Category(name, categories, fill, example)


def _optional(fields: dict[str, Any], key: str, where: str, check: Callable[[object, str], Any]) -> Any:
    return None if fields.get(key) is None else check(fields[key], f"{where} {key}")


def _number(value: object, name: str) -> float:
    number: float = check_type(value, float, name)
    if abs(number) > LARGEST:
        raise InputError(f"{name}: found {describe(value)}, allowed numbers of float32")
    return number


def _text(value: object, name: str) -> str:
    text: str = check_type(value, str, name)
    problem = text_problem(text)
    if problem:
        raise InputError(f"{name}: found {describe(text)}, allowed {problem}")
    return text
