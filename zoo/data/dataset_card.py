"""The card of a data set, README.md, whose metadata says which files hold which split.

The metadata is text of strangers: it is checked before anything acts on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from zoo.utils.errors import DataError

CARD_FILES = ("README.md", ".huggingface.yaml")
_LIMIT = 4 * 2**20
"""Most bytes of a card."""
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---", re.DOTALL)


@dataclass(frozen=True)
class CardConfigs:
    """The configurations of a data set that its card names."""

    patterns: dict[str, list[str]]
    """The patterns of the files of each configuration; empty if the card leaves them to the names of the files."""
    default: str | None
    """The configuration that is read if none is asked for."""


def read_configs(folder: Path, origin: str) -> CardConfigs:
    """Read the configurations from the cards in ``folder``.

    Raises DataError for metadata that is no plain YAML, and for patterns that lead outside the folder.
    """
    found: dict[str, list[str]] = {}
    default: list[str] = []
    for card in CARD_FILES:
        for config in _configs(folder / card, origin):
            name = str(config.get("config_name", "default"))
            found[name] = list(_texts(config.get("data_files"))) + list(_texts(config.get("data_dir")))
            for pattern in found[name]:
                _check_pattern(pattern, f"{origin}: {card}")
            default += [name] * (config.get("default") is True or name == "default")
    return CardConfigs(found, next(iter(default or (found if len(found) == 1 else ())), None))


def _configs(path: Path, origin: str) -> list[dict[str, Any]]:
    metadata = _metadata(path, f"{origin}: {path.name}")
    configs = metadata.get("configs") if isinstance(metadata, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _metadata(path: Path, place: str) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LIMIT + 1)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place}: cannot be read: {error}") from None
    if len(text) > _LIMIT:
        raise DataError(f"{place}: found more than {_LIMIT:,} characters, allowed at most that")
    if path.suffix == ".md":
        match = _FRONT_MATTER.match(text)
        text = match[1] if match else ""
    try:
        # An alias repeats a part of the document, and a few lines of aliases of aliases fill any memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise DataError(f"{place}: found an alias (*name) in the metadata, allowed plain YAML")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: the metadata is not valid YAML: {' '.join(str(error).split())}") from None


def _texts(value: Any) -> Iterator[str]:
    """Yield the patterns in the forms that a card may have: text, lists and mappings of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from () if key == "split" else _texts(item)


def _check_pattern(pattern: str, place: str) -> None:
    path = PurePosixPath(pattern.replace("\\", "/"))
    if "://" in pattern or "::" in pattern or path.is_absolute() or ".." in path.parts or pattern.startswith("~"):
        raise DataError(f"{place}: found the data file {pattern!r}, allowed are files inside the data set")
