"""Finds a data set and opens it with Hugging Face's ``datasets``, which reads data files and executes none of them.

A data set on the Hub is downloaded first, so that all are read from files. ``datasets`` writes Arrow files to its
cache in the user's folder, never to the folder of the data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from datasets.data_files import EmptyDatasetError

from sdk.validation import hint
from zoo.config.data import DatasetConfig, SplitsConfig
from zoo.data.dataset_card import read_configs
from zoo.data.dataset_csv import read_csv_files
from zoo.data.dataset_hub import DATA_SUFFIXES, fetch_dataset
from zoo.data.image_files import EXTENSIONS
from zoo.data.location import is_hub_id
from zoo.utils.errors import DataError

READERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
"""Suffixes of data files, in lower case, with the reader of each."""
_USUAL = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Place:
    """The file or folder of a data set."""

    path: Path
    origin: str
    """The source, for people."""


@dataclass(frozen=True)
class Opened:
    """A data set's splits by their role: train, and validation and test where the data set has them."""

    parts: dict[str, datasets.Dataset]
    """Columns of images hold their encoded bytes."""
    names: dict[str, str]
    """The data set's own name of each split, by role."""
    origin: str
    """The place that it was read from, for people."""
    unused: tuple[str, ...] = ()
    """The names of splits without a role."""


def locate(config: DatasetConfig, folder: Path) -> Place:
    """Return the file or folder of the data set that ``config`` names.

    A file or folder is taken as it is. A Hub id is looked for in ``folder/user/repo`` and ``folder/repo``, and else
    downloaded to the cache. Raises DataError if there is none.
    """
    path = config.path
    local = Path(path).expanduser()
    if local.exists():
        return Place(Path(os.path.abspath(local)), path)
    if not is_hub_id(path):
        raise DataError(
            f"data.path: found no file or folder {path}; set it to a file, a folder, or user/repo on the Hub"
        )
    for copy in (folder / path, folder / path.split("/")[1]):
        if copy.is_dir():
            if config.revision is not None:
                raise DataError(
                    f"data.revision {config.revision}: found the local copy {copy} of {path}, whose revision is not "
                    "known; leave the key out, or move the copy away to read the Hub"
                )
            return Place(Path(os.path.abspath(copy)), f"{path} (local copy {copy})")
    fetched = fetch_dataset(path, config.revision or "main", config.config)
    return Place(fetched, f"{path}@{fetched.name[:12]}")


def is_image_folder(path: Path) -> bool:
    """Return True for a folder with images in its subfolders and no Parquet."""
    if not path.is_dir():
        return False
    images = False
    for root, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        suffixes = {os.path.splitext(name)[1].lower() for name in files}
        if ".parquet" in suffixes:
            return False
        images = images or (root != str(path) and not suffixes.isdisjoint(EXTENSIONS))
    return images


def open_dataset(config: DatasetConfig, place: Place) -> Opened:
    """Open a data set of data files.

    Raises DataError for a data set that cannot be read, has other splits than those of the config, or is in a format
    that is not read.
    """
    with _quiet():
        try:
            splits = _read(place, config)
        except DataError:
            raise
        except EmptyDatasetError:
            raise DataError(
                f"{place.origin}: found no images in class folders and no data files, allowed: {', '.join(READERS)}"
            ) from None
        except Exception as error:  # readers of many formats, whose errors have no common base
            raise DataError(f"{place.origin}: cannot be read: {_reason(error)}") from None
    names = _roles(list(splits), config.splits or SplitsConfig(), place.origin)
    unused = tuple(name for name in splits if name not in names.values())
    return Opened({role: splits[name] for role, name in names.items()}, names, place.origin, unused)


def _read(place: Place, config: DatasetConfig) -> dict[str, datasets.Dataset]:
    path, origin = place.path, place.origin
    if path.is_file():
        if path.suffix.lower() in (".csv", ".tsv"):
            return {"train": read_csv_files([path], config)}
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{origin}: found a {path.suffix or 'nameless'} file, allowed: {', '.join(READERS)}")
        if config.config is not None:
            raise DataError(f"data.config {config.config}: {origin} is a file, which has no configurations")
        options: dict[str, Any] = {"path": reader, "data_files": {"train": str(path)}}
    else:
        _check_folder(place, config)
        options = {"path": str(path), "name": config.config}
    options["cache_dir"] = _cache(path)
    builder = datasets.load_dataset_builder(**options)
    if builder.name not in READERS.values():
        raise DataError(f"{origin}: found data in the format {builder.name}, allowed: {', '.join(READERS)} and images")
    files = [file for found in (builder.config.data_files or {}).values() for file in found]
    outside = next((file for file in files if not _is_inside(file, path)), None)
    if outside is not None:
        raise DataError(f"{origin}: found the data file {outside}, allowed are files inside the data set")
    if builder.name == "csv":
        return {str(name): read_csv_files(found, config) for name, found in (builder.config.data_files or {}).items()}
    return {name: _undecoded(rows) for name, rows in datasets.load_dataset(**options).items()}


def _check_folder(place: Place, config: DatasetConfig) -> None:
    """Raise DataError for a folder with a loading script, an Arrow folder, and a choice of configurations."""
    path, origin = place.path, place.origin
    script = f"{path.name}.py"
    if (path / script).is_file():
        raise DataError(f"{origin}: found the loading script {script}, which is never executed; keep data files alone")
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        raise DataError(f"{origin}: found a data set saved as Arrow files, allowed: {', '.join(READERS)}; write it "
                        "with to_parquet")  # fmt: skip
    configs = read_configs(path, origin)
    listed = ", ".join(configs.patterns)
    if config.config is None and len(configs.patterns) > 1 and configs.default is None:
        raise DataError(f"{origin}: found the configurations {listed}; set data.config to one of them")
    if config.config is not None and config.config not in configs.patterns:
        near = hint(config.config, list(configs.patterns))
        raise DataError(f"data.config: found {config.config}{near}, allowed: {listed or 'none'} ({origin})")


def _is_inside(file: Any, path: Path) -> bool:
    inner = Path(os.path.abspath(str(file)))
    return "://" not in str(file) and any(inner.is_relative_to(base) for base in (path, path.resolve()))


def _undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """Return rows whose images come as bytes, which the SDK's decoder reads."""
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def _cache(path: Path) -> str:
    """Return the folder that ``datasets`` caches in: the user's, one per state of the files.

    ``datasets`` itself takes files with the same time of change for the same.
    """
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = os.path.expanduser(os.environ.get("HF_DATASETS_CACHE") or f"{home}/datasets")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_data(file))
    states = [(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns, stat.st_ctime_ns) for file in files]
    return f"{cache}/cellzoo-{hashlib.sha256(repr(states).encode()).hexdigest()[:16]}"


def _is_data(file: Path) -> bool:
    return file.suffix.lower() in DATA_SUFFIXES and file.is_file()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and warnings of ``datasets``, which would interleave with those of the training."""
    shown, verbosity = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not shown:
            datasets.enable_progress_bars()


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _roles(found: list[str], wanted: SplitsConfig, origin: str) -> dict[str, str]:
    """Return the data set's name of each split by role."""
    named = {role: name for role in _USUAL if (name := getattr(wanted, role)) is not None}
    unknown = next(((role, name) for role, name in named.items() if name not in found), None)
    if unknown is not None:
        role, name = unknown
        near = hint(name, found)
        raise DataError(f"data.splits.{role}: found {name}{near}, allowed: {', '.join(found)} ({origin})")
    if len(set(named.values())) < len(named):
        raise DataError(f"data.splits: found {', '.join(named.values())}, allowed one role for each split ({origin})")
    free = [name for name in found if name not in named.values()]
    for role, usual in _USUAL.items():
        match = next((name for name in free if name.lower() in usual), None)
        if role not in named and match is not None:
            named[role] = match
    if "train" not in named and len(free) == 1 and free[0] not in named.values():
        named["train"] = free[0]
    if "train" not in named:
        raise DataError(f"{origin}: found the splits {', '.join(found)}, none to train on; set data.splits.train")
    return named
