"""Finds a data set and opens it with Hugging Face's ``datasets``, which reads files and executes nothing of theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from sdk.validation import hint
from zoo.config.data import DatasetConfig, SplitsConfig
from zoo.data.location import is_hub_id
from zoo.utils.errors import DataError

FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
"""Suffixes of data files, in lower case, with the reader of each."""
_READERS = ("parquet", "csv", "json")
_USUAL = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"),
          "test": ("test", "testing")}  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A data set's splits by their role: train, and validation and test where the data set has them."""

    parts: dict[str, datasets.Dataset]
    names: dict[str, str]
    """The data set's own name of each split, by role."""
    origin: str
    """The place that it was read from, for people."""


def open_dataset(config: DatasetConfig, folder: Path) -> Opened:
    """Open the data set that ``config`` names; Hub ids are first looked for below ``folder``.

    Raises DataError for a data set that is missing, cannot be read, has other splits than those of the config, or is
    in a format that is not read.
    """
    place, origin = _locate(config.path, folder)
    datasets.disable_progress_bars()
    splits = _read(place, config, origin)
    names = _roles(list(splits), config.splits or SplitsConfig(), origin)
    return Opened({role: splits[name] for role, name in names.items()}, names, origin)


def _locate(path: str, folder: Path) -> tuple[Path | str, str]:
    """Return the file, folder or Hub id to read, and a description."""
    local = Path(path).expanduser()
    if local.exists():
        return local, str(local)
    if not is_hub_id(path):
        raise DataError(f"data.path: found no file or folder {local}; set data.path in the recipe")
    for copy in (folder / path, folder / path.split("/")[1]):
        if copy.is_dir():
            return copy, f"{path} (local copy {copy})"
    return path, f"{path} (Hub)"


def _read(place: Path | str, config: DatasetConfig, origin: str) -> dict[str, datasets.Dataset]:
    options: dict[str, Any] = {"name": config.config, "cache_dir": _cache()}
    target = str(place)
    if isinstance(place, Path) and place.is_file():
        reader = FORMATS.get(place.suffix.lower())
        if reader is None:
            raise DataError(f"{place}: found a {place.suffix or 'nameless'} file, allowed: {', '.join(FORMATS)}")
        target, options = reader, {"data_files": {"train": str(place)}, "cache_dir": _cache()}
    elif isinstance(place, str):
        options["revision"] = config.revision
    try:
        builder = datasets.load_dataset_builder(target, **options)
        if builder.name not in _READERS:
            raise DataError(f"{origin}: found data in the format {builder.name}, allowed: {', '.join(_READERS)}")
        loaded = datasets.load_dataset(target, **options)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{origin}: cannot be read: {str(error).strip().splitlines()[0]}") from None
    return {name: _undecoded(rows) for name, rows in loaded.items()}


def _undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """Return rows whose images come as bytes, which the SDK's decoder reads."""
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def _cache() -> str:
    """Return the folder that ``datasets`` caches in: the user's, never that of the data."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return os.path.expanduser(os.environ.get("HF_DATASETS_CACHE") or f"{home}/datasets")


def _roles(found: list[str], wanted: SplitsConfig, origin: str) -> dict[str, str]:
    """Return the data set's name of each split by role."""
    names: dict[str, str] = {}
    for role, usual in _USUAL.items():
        name = getattr(wanted, role)
        if name is not None and name not in found:
            raise DataError(
                f"data.splits.{role}: found {name}{hint(name, found)}, allowed: {', '.join(found)} ({origin})"
            )
        name = name or next((candidate for candidate in usual if candidate in found), None)
        if name is None and role == "train" and len(found) == 1:
            name = found[0]
        if name is not None:
            names[role] = name
    if "train" not in names:
        raise DataError(f"{origin}: found the splits {', '.join(found)}, none to train on; set data.splits.train")
    twice = next((name for name in names.values() if list(names.values()).count(name) > 1), None)
    if twice:
        raise DataError(f"data.splits: found {twice} in two roles; give each split one role ({origin})")
    return names
