"""Single cells of a table: numbers, texts and missing values, read alike in training and in prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sdk.errors import InputError
from sdk.validation import describe

LARGEST = float(np.finfo(np.float32).max)
"""Largest magnitude of a number; the networks compute in float32."""
FALSE, TRUE = "false", "true"
"""Texts of booleans. A column of these two categories takes True, "True" and "TRUE" as well."""
MISSING_TEXTS = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""Cells of a CSV file that mean "no value", those of pandas; elsewhere only the empty text does."""
_MISSING_TYPES = {"NAType", "NaTType"}  # pandas.NA and pandas.NaT, which need no import of pandas here


def show(cell: Any) -> str:
    """Show a cell as errors do; a scalar of numpy as the plain value that it is."""
    return describe(cell.item() if isinstance(cell, (np.number, np.bool_)) else cell)


def is_missing(cell: Any, texts: frozenset[str] = frozenset({""})) -> bool:
    """Return True for None, NaN, pandas.NA, NaT and, without spaces around it, a text among ``texts``."""
    if cell is None or type(cell).__name__ in _MISSING_TYPES:
        return True
    if isinstance(cell, str):
        return cell.strip() in texts
    try:
        return bool(cell != cell)
    except (TypeError, ValueError):
        return False


def number_of(cell: Any) -> float:
    """Return a number or boolean, or the number that a text spells. Raises InputError for anything else.

    A text has a decimal point and neither separators nor the words for infinity.
    """
    if isinstance(cell, str):
        return _spelled(cell)
    if isinstance(cell, (complex, bytes, np.ndarray, np.datetime64, np.timedelta64)) or not hasattr(cell, "__float__"):
        raise InputError(f"found {show(cell)}, allowed a number")
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"found {show(cell)}, allowed a number") from None
    return _checked(number, cell)


def text_of(cell: Any) -> str:
    """Return a text without the spaces around it, or that of a boolean or whole number.

    Raises InputError for anything else.
    """
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, (bool, np.bool_)):
        return TRUE if cell else FALSE
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    raise InputError(f"found {show(cell)}, allowed a text")


def _spelled(text: str) -> float:
    plain = text.strip()
    try:
        if "_" in plain or not plain.isascii():
            raise ValueError
        number = float(plain)
    except ValueError:
        comma = "; write it with a decimal point" if plain.count(",") == 1 and _is_number(plain) else ""
        raise InputError(f"found {describe(text)}, allowed a number{comma}") from None
    return _checked(number, text)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _checked(number: float, cell: Any) -> float:
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise InputError(f"found {show(cell)}, allowed a finite number up to {LARGEST:.3g}")
    return number
