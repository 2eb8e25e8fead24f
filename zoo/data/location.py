"""The folder that data sets are stored in, and the names of data sets on the Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zoo.config.data import DataConfig, DatasetConfig, ImageFolderConfig

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE = re.compile(r".*\.(parquet|csv|tsv|json|jsonl)", re.IGNORECASE)


def is_hub_id(path: str) -> bool:
    """Return True for ``user/repo``, which names a data set on the Hub; ``./user/repo`` is a folder."""
    return _HUB_ID.fullmatch(path) is not None and _FILE.fullmatch(path) is None


def data_folder(data_dir: str | Path | None = None, path: str | None = None) -> Path:
    """Return the first that is set: ``data_dir`` (``--data-dir``), ``path`` (``data.path`` of a recipe), ``$ZOO_DATA``.

    If none is, return ``cellzoo/data`` in the user's cache.
    """
    chosen = data_dir if data_dir is not None else path or os.environ.get("ZOO_DATA")
    if chosen is not None and str(chosen):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cellzoo" / "data"


def dataset_title(config: DataConfig) -> str:
    """Return a data set's name for people: its id on the Hub, the name of its file or folder, or the config's name."""
    if isinstance(config, DatasetConfig) and is_hub_id(config.path):
        return config.path
    own = config.path if isinstance(config, (DatasetConfig, ImageFolderConfig)) else None
    return Path(own).name if own else config.name
