"""Finds a model's columns by name among those of a table.

A name matches exactly or, if that decides between no two columns, apart from case, from spaces, underscores, dots and
hyphens, and from a unit in parentheses that only one of the two names has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from sdk.column_types import listed
from sdk.errors import InputError

_UNIT = re.compile(r"(.*?)\s*[(\[]([^()\[\]]+)[)\]]\s*")
_SEPARATORS = re.compile(r"[\s_.\-]+")


def match(names: Sequence[str], found: Sequence[Hashable], where: str) -> list[int]:
    """Return the position in ``found`` of each of the model's ``names``.

    Raises InputError if one of them is missing, or if ``found`` has a name twice. Names 0, 1, ... are no names but the
    positions of the model's columns.
    """
    if found and list(found) == list(range(len(found))) and all(type(name) is not bool for name in found):
        if len(found) != len(names):
            raise InputError(f"{where}: found {len(found)} columns without names, allowed {wanted(names)}")
        return list(range(len(names)))
    repeated = repeated_names(found)
    if repeated:
        raise InputError(f"{where}: found column {repeated} more than once, allowed each name once")
    positions = {name: number for number, name in enumerate(found) if isinstance(name, str)}
    rest = [name for name in positions if name not in set(names)]
    matched = [positions[name] if name in positions else _near(name, names, rest, positions) for name in names]
    missing = [name for name, position in zip(names, matched, strict=True) if position is None]
    if missing:
        raise InputError(
            f"{where}: found no column {listed(missing)} among {listed([str(n) for n in found]) or 'none'}, "
            f"allowed {wanted(names)}"
        )
    return [position for position in matched if position is not None]


def repeated_names(found: Sequence[Hashable]) -> str:
    """Return the names that are there more than once, for an error; nothing if there is none. Blanks are no names."""
    return listed([str(name) for name, count in Counter(found).items() if count > 1 and str(name).strip()])


def _near(name: str, names: Sequence[str], rest: Sequence[str], positions: Mapping[str, int]) -> int | None:
    """Return the position of the one name of ``rest`` that is written differently, if it is like no other name."""
    like = [other for other in rest if _alike(name, other)]
    if len(like) != 1 or sum(_alike(own, like[0]) for own in names) != 1:
        return None
    return positions[like[0]]


def _alike(one: str, other: str) -> bool:
    (base, unit), (other_base, other_unit) = _parts(one), _parts(other)
    return bool(base) and base == other_base and (unit == other_unit or not unit or not other_unit)


def _parts(name: str) -> tuple[str, str]:
    """Return a name in plain spelling, and its unit or nothing."""
    with_unit = _UNIT.fullmatch(name)
    base, unit = with_unit.groups() if with_unit else (name, "")
    return _SEPARATORS.sub(" ", base).strip().casefold(), unit.strip()


def wanted(names: Sequence[str]) -> str:
    """Describe the model's columns in an error."""
    return f"the {len(names)} columns {listed(names)}"
