"""The artifact, format version 1: a folder with a trained model, described and sealed by its config.json.

Files of an artifact are data from a stranger: paths cannot leave the folder, every size and hash is checked
before a file is used, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from sdk.errors import ArtifactError
from sdk.inputs import InputSpec
from sdk.strict import check_keys, check_list, check_type, describe

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
RECIPE_FILE = "recipe.yaml"
HISTORY_FILE = "history.json"
CARD_FILE = "README.md"
PROBE_FILE = "probe.md"
FIGURES_FOLDER = "figures"
ONNX_INPUT, ONNX_OUTPUT = "input", "logits"
NAME_PATTERN = r"[a-z0-9][a-z0-9._-]*"
CONFIG_LIMIT = 16 * 2**20  # bytes; ImageNet's config is below 100 kB
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPTIONAL = frozenset({"version"})


@dataclass(frozen=True)
class FileRecord:
    """What config.json says of one file."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class ArtifactConfig:
    """config.json, parsed: :meth:`from_json` and :meth:`to_json` are each other's inverse."""

    name: str
    family: str
    model: dict[str, Any]
    """The family's config, as its pydantic model dumps it."""
    input: InputSpec
    labels: tuple[str, ...]
    """Class number ``i`` is called ``labels[i]``."""
    parameters: int
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    files: dict[str, FileRecord]
    """Every other file of the artifact by its POSIX path relative to the folder."""
    version: str = "1.0.0"
    task: str = "classification"
    format_version: int = field(default=FORMAT_VERSION, init=False)

    def to_json(self) -> dict[str, Any]:
        """What config.json holds."""
        return {**asdict(self), "input": self.input.to_json(), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, data: object) -> ArtifactConfig:
        """Read config.json's content; raises ValueError naming the first field that is wrong."""
        _check_format(data)
        required = set(cls.__dataclass_fields__) - _OPTIONAL
        fields = check_keys(data, required, _OPTIONAL, CONFIG_FILE)
        name = check_type(fields["name"], str, "name")
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(f"name must match {NAME_PATTERN}, found {describe(name)}")
        if fields["task"] != "classification":
            raise ValueError(f"task must be 'classification', found {describe(fields['task'])}")
        labels = check_list(fields["labels"], str, "labels")
        if not labels:
            raise ValueError("labels must name at least one class, found []")
        parameters = check_type(fields["parameters"], int, "parameters")
        if parameters < 0:
            raise ValueError(f"parameters must not be negative, found {parameters}")
        files = check_type(fields["files"], dict, "files")
        return cls(
            name=name,
            family=check_type(fields["family"], str, "family"),
            model=check_type(fields["model"], dict, "model"),
            input=InputSpec.from_json(fields["input"]),
            labels=labels,
            parameters=parameters,
            metrics=check_type(fields["metrics"], dict, "metrics"),
            provenance=check_type(fields["provenance"], dict, "provenance"),
            licence=check_type(fields["licence"], str, "licence"),
            files={path: _parse_record(path, record) for path, record in files.items()},
            version=check_type(fields.get("version", cls.version), str, "version"),
        )


@dataclass(frozen=True)
class Artifact:
    """A read artifact: its folder, its config, and those of its files that were verified."""

    folder: Path
    config: ArtifactConfig
    verified: frozenset[str]
    origin: str
    """What :func:`sdk.load` takes to find the same model again: the folder, or ``user/name@commit``."""

    def file(self, path: str) -> Path:
        """Where a verified file lies; raises ArtifactError for any other."""
        if path not in self.verified:
            raise ArtifactError(f"{self.folder}: {path} is not among the verified files {sorted(self.verified)}")
        return self.folder / path


def read_artifact(folder: Path, files: Iterable[str] | None = None, within: Path | None = None) -> Artifact:
    """Read config.json and verify size and sha256 of the listed files.

    ``files`` names those to verify (default: all); only they can be had from the result. Links may not lead
    out of ``within``, by default the folder itself; a cache that stores files as links passes its own root.
    Raises ArtifactError.
    """
    config = read_config(folder, within)
    wanted = list(config.files) if files is None else list(files)
    for path in wanted:
        located = locate_file(folder, config, path, within)
        try:
            found = hash_file(located)
        except OSError as error:
            _fail(folder, f"cannot read {path}: {error.strerror}")
        if found != config.files[path].sha256:
            _fail(folder, f"{path} was altered or damaged: sha256 {found}, expected {config.files[path].sha256}")
    return Artifact(folder, config, frozenset(wanted), origin=os.path.abspath(folder))


def read_config(folder: Path, within: Path | None = None) -> ArtifactConfig:
    """Read and check config.json alone, none of the other files. Raises ArtifactError."""
    if not folder.is_dir():
        _fail(folder, "no such folder" if not folder.exists() else "not a folder")
    path = _contained(folder, CONFIG_FILE, within)
    if not path.is_file():
        _fail(folder, f"no {CONFIG_FILE} in it, so it is not a cellzoo model")
    if path.stat().st_size > CONFIG_LIMIT:
        _fail(folder, f"{CONFIG_FILE} has {path.stat().st_size} bytes, more than the {CONFIG_LIMIT} allowed")
    try:
        data = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        _fail(folder, f"cannot read {CONFIG_FILE}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        _fail(folder, f"{CONFIG_FILE} is not valid JSON: {error}")
    try:
        return ArtifactConfig.from_json(data)
    except ValueError as error:
        _fail(folder, f"{CONFIG_FILE}: {error}")


def locate_file(folder: Path, config: ArtifactConfig, path: str, within: Path | None = None) -> Path:
    """Where a listed file lies; raises ArtifactError unless it is there with the listed size."""
    if path not in config.files:
        _fail(
            folder,
            f"{CONFIG_FILE} lists no {path!r}; it lists {', '.join(sorted(config.files)) or 'nothing'}",
        )
    located = _contained(folder, path, within)
    if not located.is_file():
        _fail(folder, f"{path} is missing")
    size, expected = located.stat().st_size, config.files[path].size
    if size != expected:
        _fail(folder, f"{path} was altered or cut short: {size} bytes, expected {expected}")
    return located


def hash_file(path: Path) -> str:
    """The sha256 of a file's content in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _check_format(data: object) -> None:
    if not isinstance(data, dict) or "format_version" not in data:
        raise ValueError("no format_version, so it is not a cellzoo model")
    version = check_type(data["format_version"], int, "format_version")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format_version {version} was made by a newer cellzoo (this one reads {FORMAT_VERSION}); "
            "upgrade with `pip install -U cellzoo`"
        )
    if version < 1:
        raise ValueError(f"format_version must be 1 to {FORMAT_VERSION}, found {version}")


def _parse_record(path: str, record: object) -> FileRecord:
    parts = path.split("/")
    strange = any(part in ("", ".", "..") for part in parts) or not path.isprintable() or set(path) & set("\\:")
    if strange or PurePosixPath(path).is_absolute() or path == CONFIG_FILE:
        raise ValueError(f"files: {describe(path)} is not a path inside the folder")
    fields = check_keys(record, {"sha256", "size"}, frozenset(), f"files[{path!r}]")
    sha256 = check_type(fields["sha256"], str, f"files[{path!r}] sha256")
    size = check_type(fields["size"], int, f"files[{path!r}] size")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"files[{path!r}] sha256 must be 64 lower-case hex digits, found {describe(sha256)}")
    if size < 0:
        raise ValueError(f"files[{path!r}] size must not be negative, found {size}")
    return FileRecord(sha256, size)


def _contained(folder: Path, path: str, within: Path | None) -> Path:
    """``folder / path`` with links followed, refused when that leaves ``within``."""
    root = os.path.realpath(within or folder)
    target = Path(os.path.realpath(folder / path))
    if not target.is_relative_to(root):
        _fail(folder, f"{path} is a link that leads out of the folder")
    return target


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _fail(folder: Path, problem: str) -> NoReturn:
    raise ArtifactError(f"{folder}: {problem}")
