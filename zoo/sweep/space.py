"""The values that a sweep tries: ``key.path=VALUES``, written like the overrides of a recipe.

``1e-3,3e-3`` lists values, ``1e-4..1e-2`` is a range and ``log(1e-4..1e-2)`` a range that is searched evenly in its
logarithm; a range between whole numbers has whole numbers only. A single value is a plain override. The values of
``train.seed`` are no part of the search: each combination of the other values is trained with every seed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from zoo.recipe.parsing import parse_yaml
from zoo.utils.errors import SweepError

SEED = "train.seed"
LARGEST_GRID = 10_000
"""Most combinations of listed values."""
Value: TypeAlias = str | int | float | bool | None
_RANGE = re.compile(r"(log\()?\s*([^\s.]\S*?|\.\S+?)\s*\.\.\s*(\S+?)\s*(?(1)\))")
_PAIRS = {"[": "]", "{": "}", "(": ")"}
_NOT_COMPARABLE = (
    "changes the data or the split, so that validation accuracies would not compare; sweep over keys of "
    "model, train or data.augment"
)


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included; whole ones if both ends are."""

    low: int | float
    high: int | float
    log: bool


@dataclass(frozen=True)
class Space:
    """The overrides of every run, and the values to combine."""

    fixed: tuple[str, ...] = ()
    """Overrides with one value."""
    choices: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values by key; lists and mappings as the text that was written."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    """Seeds of every combination; empty: the recipe's."""

    @property
    def keys(self) -> list[str]:
        """The keys whose values differ between combinations."""
        return [*self.choices, *self.ranges]

    def grid(self) -> Iterator[dict[str, Value]]:
        """Yield every combination of the listed values."""
        for values in product(*self.choices.values()):
            yield dict(zip(self.choices, values, strict=True))

    def corners(self) -> Iterator[dict[str, Value]]:
        """Yield combinations that together use each listed value and both ends of each range."""
        low = {key: found.low for key, found in self.ranges.items()}
        first = {key: values[0] for key, values in self.choices.items()} | low
        yield first
        for key, values in self.choices.items():
            yield from (first | {key: value} for value in values[1:])
        for key, found in self.ranges.items():
            yield first | {key: found.high}


def overrides(fixed: Sequence[str], values: Mapping[str, Value]) -> list[str]:
    """Return one combination as overrides of a recipe.

    A key below another one comes after it, so that ``model.hidden=[8]`` holds for each value of ``model``.
    """
    late = [one for one in fixed if any(one.startswith(f"{key}.") for key in values)]
    early = [one for one in fixed if one not in late]
    between = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    between.sort(key=lambda one: one.partition("=")[0].count("."))
    return [*early, *between, *late]


def parse_space(assignments: Sequence[str]) -> Space:
    """Read ``key=VALUES`` assignments. Raises SweepError."""
    given = _by_key(assignments)
    fixed: list[str] = []
    choices: dict[str, tuple[Value, ...]] = {}
    ranges: dict[str, Range] = {}
    for key, text in given.items():
        found = _range(key, text)
        parts = [] if found else _split(text)
        if found is None and len(parts) < 2 and key != SEED:
            fixed.append(f"{key}={text}")
            continue
        _check_key(key)
        if found is not None:
            ranges[key] = found
        else:
            choices[key] = _values(key, parts)
    if SEED in ranges:
        raise SweepError(f"{SEED}={given[SEED]}: seeds are listed, such as {SEED}=0,1,2; found a range")
    seeds = _seeds(choices.pop(SEED, ()))
    space = Space(tuple(fixed), choices, ranges, seeds)
    if not space.keys and len(seeds) < 2:
        raise SweepError(
            "nothing to sweep over: list the values of a key in one -o, train.optimizer.lr=1e-3,3e-3, or give a range, "
            "train.optimizer.lr=log(1e-4..1e-2)"
        )
    combinations = math.prod(map(len, choices.values()))
    if not ranges and combinations > LARGEST_GRID:
        raise SweepError(f"found {combinations} combinations of values, allowed {LARGEST_GRID}; search ranges instead")
    return space


def _by_key(assignments: Sequence[str]) -> dict[str, str]:
    """Return the text of each key; of single values, the last one counts, as for the overrides of a recipe."""
    given: dict[str, str] = {}
    for assignment in assignments:
        key, separator, text = (part.strip() for part in assignment.partition("="))
        if not separator or not all(key.split(".")):
            raise SweepError(f"-o {assignment!r}: should be key.path=VALUES, such as train.optimizer.lr=1e-3,3e-3")
        if key in given and any(_range(key, one) or len(_split(one)) > 1 for one in (given[key], text)):
            raise SweepError(f"-o {key} is given twice, as {given[key]} and {text}; list all its values in one -o")
        given[key] = text
    return given


def _range(key: str, text: str) -> Range | None:
    """Return the range that a text describes; None for any other text."""
    match = _RANGE.fullmatch(text)
    if match is None:
        if text.startswith("log("):
            raise SweepError(f"{key}={text}: found no range, should be log(LOW..HIGH), such as log(1e-4..1e-2)")
        return None
    where = f"{key}={text}"
    low, high = (parse_yaml(end, where) for end in match.group(2, 3))
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers:
        if match[1]:
            raise SweepError(f"{where}: the ends of a range should be numbers")
        return None  # text with two dots, such as a path
    if not abs(low) < float("inf") or not abs(high) < float("inf") or not low < high:
        raise SweepError(f"{where}: the first end of a range should be below the second, both finite")
    if match[1] and low <= 0:
        raise SweepError(f"{where}: the ends of a logarithmic range should be above 0, found {low}")
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return Range(low, high, log=bool(match[1]))


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    parts, closing, quote = [""], [], ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == "," and not closing:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def _values(key: str, parts: Sequence[str]) -> tuple[Value, ...]:
    """Return the listed values; raises SweepError for an empty or a repeated one."""
    values: list[Value] = []
    meanings: list[str] = []
    for part in parts:
        if not part:
            raise SweepError(f"{key}={','.join(parts)}: found an empty value between commas")
        value = parse_yaml(part, f"{key}={part}")
        meaning = json.dumps(value, default=str)
        if meaning in meanings:
            raise SweepError(f"{key}={','.join(parts)}: found the value {part} twice, allowed each once")
        meanings.append(meaning)
        values.append(value if isinstance(value, int | float) or value is None else part)
    return tuple(values)


def _seeds(values: Sequence[Value]) -> tuple[int, ...]:
    """Return the values of ``train.seed``; raises SweepError for one that is not a whole number of at least 0."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SweepError(f"{SEED}: found {value}, allowed whole numbers of at least 0")
    return tuple(value for value in values if isinstance(value, int))


def _check_key(key: str) -> None:
    section, _, rest = key.partition(".")
    if section == "data" and rest.partition(".")[0] != "augment":
        raise SweepError(f"{key}: {_NOT_COMPARABLE}")
    if section == "export":
        raise SweepError(f"{key}: several values found; the export section describes the one model that is written")
