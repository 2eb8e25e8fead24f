"""The build backend of cellzoo: scikit-build-core, and an install without kernels where they cannot be compiled.

The environment variable ``ZOO_COMPILE`` decides:

- ``AUTO`` (the default): compile; if that fails, build a pure-Python wheel, which predicts through onnx. The wheel's
  ``kernels.json`` says why, and ``zoo doctor`` shows it (sdk/build_record.py).
- ``ON``: compile, or fail with the compiler's output. ``ZOO_CUDA=ON`` asks for the same.
- ``OFF``: do not compile.

The hooks that prepare metadata are left out on purpose: before the compiler has run, nobody knows the wheel's tag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scikit_build_core import build as backend
from scikit_build_core.build import build_sdist, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

Settings = dict[str, "str | list[str]"]

RECORD = "kernels.json"
"""The file in the wheel's dist-info folder that says why the wheel has no kernels."""
MODES = ("AUTO", "ON", "OFF")
_COMPILER_VARIABLES = ("CC", "CXX", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAFLAGS", "CUDAHOSTCXX")
_PURE: Settings = {"wheel.cmake": "false", "wheel.py-api": "py3"}
"""The settings of a wheel without kernels."""
# scikit-build-core names Python's own compiler in CXX, whether this machine has it or not.
_NO_COMPILER = re.compile(
    r"No CMAKE_CXX_COMPILER could be found|could not find any instance of Visual Studio"
    r"|Could not find (the )?compiler (set|specified) in (the )?environment variable CXX"
)
_CMAKE_ERROR = re.compile(r"^CMake Error[^\n]*\n((?:[ \t]+\S[^\n]*\n|[ \t]*\n)+)", re.MULTILINE)
_COMPILER_ERROR = re.compile(r"^.*\berror\b ?[\w#]*: .*$", re.MULTILINE | re.IGNORECASE)
_MOST_CHARACTERS = 500


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    """Return the packages that building a wheel needs besides those of pyproject.toml (PEP 517)."""
    return backend.get_requires_for_build_wheel(_for_mode(config_settings or {}))


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    """Return the packages that an editable install needs besides those of pyproject.toml (PEP 660)."""
    return backend.get_requires_for_build_editable(_for_mode(config_settings or {}))


def build_wheel(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel in ``wheel_directory`` and return its name (PEP 517)."""
    return _build(backend.build_wheel, wheel_directory, config_settings or {})


def build_editable(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel that refers to the working tree, and return its name (PEP 660)."""
    return _build(backend.build_editable, wheel_directory, config_settings or {})


def _build(build: Callable[[str, Settings], str], folder: str, settings: Settings) -> str:
    mode, settings = _mode(), _for_mode(settings)
    if mode == "OFF":
        return _build_without_kernels(build, folder, settings, "left out", "ZOO_COMPILE=OFF")
    if mode == "ON" or os.environ.get("ZOO_CUDA") == "ON":
        return build(folder, settings)
    with tempfile.TemporaryFile() as log:
        try:
            with _printed_into(log):
                return build(folder, settings)
        except (SystemExit, Exception) as error:  # also what the file system refuses, as for a source that is read-only
            log.seek(0)
            cause, detail = explain(log.read().decode(errors="replace"), error)
    name = _build_without_kernels(build, folder, settings, cause, detail)
    print(f"cellzoo: the kernels were NOT compiled, {name} predicts through onnx: {detail}", file=sys.stderr)
    return name


def _mode() -> str:
    """Return ZOO_COMPILE. Exits with one line if it, or ZOO_CUDA, has an unknown value, or if the two disagree."""
    mode, cuda = (os.environ.get(name, "AUTO") for name in ("ZOO_COMPILE", "ZOO_CUDA"))
    for name, value in (("ZOO_COMPILE", mode), ("ZOO_CUDA", cuda)):
        if value not in MODES:
            raise SystemExit(f"{name}: found {value!r}, allowed {', '.join(MODES)}")
    if (mode, cuda) == ("OFF", "ON"):
        raise SystemExit("ZOO_CUDA: found 'ON' with ZOO_COMPILE=OFF, which compiles nothing; unset one of the two")
    return mode


def _for_mode(settings: Settings) -> Settings:
    """Return the settings of a build: without kernels it needs neither CMake nor Ninja.

    CMake reads the compiler from the environment once per build folder. So each choice of a compiler has a folder of
    its own: a compiler that failed would be taken again in spite of another CXX.
    """
    if _mode() == "OFF":
        return {**settings, **_PURE}
    chosen = {name: os.environ[name] for name in _COMPILER_VARIABLES if name in os.environ}
    if not chosen or "build-dir" in settings:
        return settings
    number = hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:8]
    return {**settings, "build-dir": f"build/{{wheel_tag}}-{number}"}


def explain(log: str, error: BaseException) -> tuple[str, str]:
    """Return the cause, "no compiler" or "failed", and one line of detail from the output of a failed build.

    Without an error in the output, the detail is the exception that ended the build.
    """
    if "CXX" not in os.environ and _NO_COMPILER.search(log):
        return "no compiler", "CMake found no C++ compiler"
    cmake, compiler = _CMAKE_ERROR.search(log), _COMPILER_ERROR.search(log)
    named = "the log names no error" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    failed = next((line for line in log.splitlines() if line.startswith("FAILED:")), named)
    line = cmake[1] if cmake else compiler[0] if compiler else failed
    line = re.sub(r"\x1b\[[0-9;]*[mK]", "", line).replace(str(Path.cwd()) + os.sep, "")
    return "failed", " ".join(line.split())[:_MOST_CHARACTERS]


def _build_without_kernels(
    build: Callable[[str, Settings], str], folder: str, settings: Settings, cause: str, detail: str
) -> str:
    name = build(folder, {**settings, **_PURE})
    _add_to_metadata(Path(folder) / name, RECORD, json.dumps({"cause": cause, "detail": detail}).encode())
    return name


def _add_to_metadata(wheel: Path, name: str, data: bytes) -> None:
    """Add a file to the wheel's dist-info folder and to its RECORD."""
    with zipfile.ZipFile(wheel) as old:
        files = [(info, old.read(info)) for info in old.infolist()]
    [(record, rows)] = [(info, rows) for info, rows in files if info.filename.endswith(".dist-info/RECORD")]
    path = record.filename.removesuffix("RECORD") + name
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    added = zipfile.ZipInfo(path, record.date_time)
    added.external_attr = record.external_attr
    row = f"{path},sha256={digest},{len(data)}\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for info, content in files:
            if info is not record:
                new.writestr(info, content)
        new.writestr(added, data)
        new.writestr(record, row + rows)  # last, as the wheel format recommends


@contextmanager
def _printed_into(log: BinaryIO) -> Iterator[None]:
    """Collect in a file what this process and its children print, and print it at the end.

    A file rather than a pipe: a daemon that the build starts may keep its end of a pipe open for ever.
    """
    _flush()
    before = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    for descriptor, _ in before:
        os.dup2(log.fileno(), descriptor)
    try:
        yield
    finally:
        _flush()
        for descriptor, original in before:
            os.dup2(original, descriptor)
            os.close(original)
        log.seek(0)
        shutil.copyfileobj(log, sys.__stderr__.buffer)
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.flush()
