"""The files of onnxruntime-web: from a folder, from the user's cache, or fetched once by ``npm ci``.

``package.json`` pins the version and ``package-lock.json`` the hash of the package, which npm verifies.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sdk.errors import CellzooError
from zoo.utils.files import replacing_folder

PACKAGE = "onnxruntime-web"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_HERE = Path(__file__).parent
_TIMEOUT = 600
"""Seconds that npm may take."""


class RuntimeFilesError(CellzooError):
    """The files of onnxruntime-web are not there and cannot be fetched."""


def runtime_version() -> str:
    """Return the pinned version of onnxruntime-web."""
    version: str = json.loads((_HERE / "package.json").read_text())["dependencies"][PACKAGE]
    return version


def find_runtime(folder: Path | None = None) -> Path:
    """Return a folder with FILES: the given one (or its ``dist``), else the one in the cache, which npm fills once.

    Raises RuntimeFilesError.
    """
    if folder is not None:
        return _given(folder)
    cached = _cache() / f"{PACKAGE}-{runtime_version()}"
    if _lacking(cached):
        _fetch(cached)
    return cached


def _given(folder: Path) -> Path:
    for candidate in (folder, folder / "dist", folder / "node_modules" / PACKAGE / "dist"):
        if not _lacking(candidate):
            return candidate
    raise RuntimeFilesError(
        f"--runtime {folder}: found no {', '.join(_lacking(folder))}; "
        f"give the folder dist of the npm package {PACKAGE} {runtime_version()}"
    )


def _lacking(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cellzoo" / "web"


def _fetch(cached: Path) -> None:
    """Install the package in a temporary folder and copy its files to the cache."""
    npm = shutil.which("npm")
    wanted = f"{PACKAGE} {runtime_version()}"
    if npm is None:
        raise RuntimeFilesError(
            f"zoo web needs {wanted}, which npm fetches once, and found no npm; install npm, "
            "or pass --runtime FOLDER with the package's folder dist"
        )
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, temporary)
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RuntimeFilesError(f"npm ci cannot fetch {wanted}: {error}; try again, or pass --runtime") from None
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if "complete log" not in line]
            reason = " ".join(lines[:2]) or f"exit code {done.returncode}"
            raise RuntimeFilesError(f"npm ci cannot fetch {wanted} ({reason}); try again, or pass --runtime FOLDER")
        fetched = _given(Path(temporary))
        with replacing_folder(cached, overwrite=True) as folder:
            for name in FILES:
                shutil.copyfile(fetched / name, folder / name)
