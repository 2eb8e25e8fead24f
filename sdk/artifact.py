"""The artifact, format version 1: a folder that holds a trained model, described and sealed by its config.json.

Files of an artifact are untrusted data: paths cannot leave the folder, size and hash are checked before a file is
used, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from sdk.columns import Columns
from sdk.errors import ArtifactError, InputError
from sdk.inputs import InputSpec
from sdk.json_text import parse_json
from sdk.measurements import check_metrics, check_provenance
from sdk.tasks import TASKS, TaskKind, count_outputs
from sdk.validation import check_keys, check_list, check_type, describe

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
ONNX_FP16_FILE, ONNX_INT8_FILE = "model-fp16.onnx", "model-int8.onnx"
RECIPE_FILE = "recipe.yaml"
HISTORY_FILE = "history.json"
CARD_FILE = "README.md"
PROBE_FILE = "probe.md"
PICTURES_FILE = "pictures.md"
FIGURES_FOLDER = "figures"
EXAMPLE_FILE = f"{FIGURES_FOLDER}/example.png"
THUMBNAIL_FILE, LEARNING_FILE = f"{FIGURES_FOLDER}/thumbnail.png", f"{FIGURES_FOLDER}/learning.png"
INPUT_FILE = f"{FIGURES_FOLDER}/input.png"
CARD_FIGURES = tuple(os.path.basename(file) for file in (EXAMPLE_FILE, THUMBNAIL_FILE, LEARNING_FILE, INPUT_FILE))
"""Names of the figures that every card has, which a probe leaves."""
ONNX_INPUT, ONNX_OUTPUT = "input", "logits"
NAME_PATTERN = r"[a-z0-9][a-z0-9._-]*"
CONFIG_LIMIT = 16 * 2**20
"""Largest config.json in bytes; that of a model with ImageNet's 1000 labels is below 100 kB."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPTIONAL = frozenset({"version"})


class Metrics(dict[str, Any]):
    """The measurements of a model: a dict that shows its numbers and only counts its lists and groups."""

    def __repr__(self) -> str:
        shown = {key: value for key, value in self.items() if not isinstance(value, (list, tuple, dict))}
        parts = [f"{key}={_short(value)}" for key, value in shown.items()]
        hidden = [key for key in self if key not in shown]
        more = [f"and {', '.join(hidden)}"] if hidden else []
        return f"<Metrics: {', '.join([*parts, *more]) or 'none'}>"


@dataclass(frozen=True)
class FileRecord:
    """The hash and size that config.json lists for one file."""

    sha256: str
    """64 lower-case hex digits."""
    size: int
    """In bytes."""


@dataclass(frozen=True, repr=False)
class ArtifactConfig:
    """The parsed config.json. :meth:`from_json` and :meth:`to_json` are inverses."""

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
    """Every other file of the artifact, by its POSIX path relative to the folder."""
    version: str = "1.0.0"
    task: TaskKind = "classification"
    """The meaning of the outputs: a logit per class, or a copy of the input (echo), which has no labels."""
    format_version: int = field(default=FORMAT_VERSION, init=False)

    def __post_init__(self) -> None:
        """Store the columns of the input spec in the provenance."""
        if self.input.columns is not None:
            data = {**self.provenance.get("data", {}), "columns": self.input.columns.to_json()}
            object.__setattr__(self, "provenance", {**self.provenance, "data": data})

    @property
    def outputs(self) -> int:
        """The number of outputs per input."""
        return count_outputs(self.task, self.input.shape, self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the content of config.json."""
        return {**asdict(self), "input": self.input.to_json(), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, data: object) -> ArtifactConfig:
        """Read the content of config.json; raises InputError naming the first field that is wrong."""
        _check_format(data)
        required = set(cls.__dataclass_fields__) - _OPTIONAL
        fields = check_keys(data, required, _OPTIONAL, CONFIG_FILE)
        name = check_type(fields["name"], str, "name")
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError(f"name must match {NAME_PATTERN}, found {describe(name)}")
        if fields["task"] not in TASKS:
            raise InputError(f"task must be {' or '.join(map(repr, TASKS))}, found {describe(fields['task'])}")
        labels = check_list(fields["labels"], str, "labels")
        if not labels and fields["task"] == "classification":
            raise InputError("labels must name at least one class, found []")
        if labels and fields["task"] != "classification":
            raise InputError(f"labels must be [] for the task {fields['task']!r}, found {describe(list(labels))}")
        parameters = check_type(fields["parameters"], int, "parameters")
        if parameters < 0:
            raise InputError(f"parameters must not be negative, found {parameters}")
        files = check_type(fields["files"], dict, "files")
        provenance = check_provenance(fields["provenance"])
        return cls(
            name=name,
            family=check_type(fields["family"], str, "family"),
            model=check_type(fields["model"], dict, "model"),
            input=_with_columns(InputSpec.from_json(fields["input"]), provenance),
            labels=labels,
            parameters=parameters,
            metrics=Metrics(check_metrics(fields["metrics"])),
            provenance=provenance,
            licence=check_type(fields["licence"], str, "licence"),
            files={path: _parse_record(path, record) for path, record in files.items()},
            task=fields["task"],
            version=check_type(fields.get("version", cls.version), str, "version"),
        )

    def __repr__(self) -> str:
        return (
            f"<ArtifactConfig: {self.name} {self.version}, {self.family}, {self.parameters:,} parameters, "
            f"{self.input}, {len(self.labels)} labels, {len(self.files)} files>"
        )


@dataclass(frozen=True, repr=False)
class Artifact:
    """An artifact that was read: its folder, its config, and which of its files were verified."""

    folder: Path
    config: ArtifactConfig
    verified: frozenset[str]
    origin: str
    """The name under which :func:`sdk.load` finds the same model again: the folder, or ``user/name@commit``."""

    def __repr__(self) -> str:
        files = f"{len(self.verified)} of {len(self.config.files)} files verified"
        return f"<Artifact: {self.config.name}, {self.config.family}, {files}, from {self.origin}>"

    def file(self, path: str) -> Path:
        """Return the path of a verified file; raises ArtifactError for any other file."""
        if path not in self.verified:
            raise ArtifactError(f"{self.folder}: {path} is not among the verified files {sorted(self.verified)}")
        return self.folder / path


def read_artifact(folder: Path, files: Iterable[str] | None = None, within: Path | None = None) -> Artifact:
    """Read config.json and verify the size and sha256 of the files it lists.

    ``files`` are those to verify (default: all); the result gives access to no others. Links must stay inside
    ``within``, by default the folder itself; a cache that stores files as links passes its own root. Raises
    ArtifactError.
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
    """Read and check config.json alone. Raises ArtifactError."""
    if not os.path.isdir(folder):
        _fail(folder, "no such folder" if not os.path.exists(folder) else "not a folder")
    path = _contained(folder, CONFIG_FILE, within)
    size = _size_of(folder, path, CONFIG_FILE)
    if size is None:
        _fail(folder, f"no {CONFIG_FILE} in it, so it is not a cellzoo model")
    if size > CONFIG_LIMIT:
        _fail(folder, f"{CONFIG_FILE} has {size} bytes, more than the {CONFIG_LIMIT} allowed")
    try:
        with path.open("rb") as file:
            data = parse_json(file.read(CONFIG_LIMIT))  # no more, even if the file has grown meanwhile
    except OSError as error:
        _fail(folder, f"cannot read {CONFIG_FILE}: {error.strerror}")
    except ValueError as error:
        _fail(folder, f"{CONFIG_FILE} is not valid JSON: {error}")
    try:
        return ArtifactConfig.from_json(data)
    except InputError as error:
        _fail(folder, f"{CONFIG_FILE}: {error}")


def locate_file(folder: Path, config: ArtifactConfig, path: str, within: Path | None = None) -> Path:
    """Return the path of a listed file; raises ArtifactError unless it exists and has the listed size."""
    if path not in config.files:
        _fail(
            folder,
            f"{CONFIG_FILE} lists no {path!r}; it lists {', '.join(sorted(config.files)) or 'nothing'}",
        )
    located = _contained(folder, path, within)
    size, expected = _size_of(folder, located, path), config.files[path].size
    if size is None:
        _fail(folder, f"{path} is missing")
    if size != expected:
        _fail(folder, f"{path} was altered or cut short: {size} bytes, expected {expected}")
    return located


def _size_of(folder: Path, located: Path, path: str) -> int | None:
    """Return the bytes of a file, None if there is none; raises ArtifactError if the system does not say."""
    try:
        return located.stat().st_size if located.is_file() else None
    except OSError as error:  # such as a name that is too long for the file system
        _fail(folder, f"cannot read {path}: {error.strerror}")


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content in hex, reading 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _check_format(data: object) -> None:
    if not isinstance(data, dict) or "format_version" not in data:
        raise InputError("no format_version, so it is not a cellzoo model")
    version = check_type(data["format_version"], int, "format_version")
    if version > FORMAT_VERSION:
        raise InputError(
            f"format_version {version} was made by a newer cellzoo (this one reads {FORMAT_VERSION}); "
            "upgrade with `pip install -U cellzoo`"
        )
    if version < 1:
        raise InputError(f"format_version must be 1 to {FORMAT_VERSION}, found {version}")


def _with_columns(spec: InputSpec, provenance: dict[str, Any]) -> InputSpec:
    """Return the input spec with the columns of the provenance, if it describes a table with named columns."""
    data = provenance.get("data")
    columns = data.get("columns") if isinstance(data, dict) else None
    if columns is None or spec.kind != "table":
        return spec
    return replace(spec, columns=Columns.from_json(columns, spec.shape[0]))


def _parse_record(path: str, record: object) -> FileRecord:
    parts = path.split("/")
    strange = any(part in ("", ".", "..") for part in parts) or not path.isprintable() or set(path) & set("\\:")
    if strange or PurePosixPath(path).is_absolute() or path == CONFIG_FILE:
        raise InputError(f"files: {describe(path)} is not a path inside the folder")
    fields = check_keys(record, {"sha256", "size"}, frozenset(), f"files[{path!r}]")
    sha256 = check_type(fields["sha256"], str, f"files[{path!r}] sha256")
    size = check_type(fields["size"], int, f"files[{path!r}] size")
    if not _SHA256.fullmatch(sha256):
        raise InputError(f"files[{path!r}] sha256 must be 64 lower-case hex digits, found {describe(sha256)}")
    if size < 0:
        raise InputError(f"files[{path!r}] size must not be negative, found {size}")
    return FileRecord(sha256, size)


def _contained(folder: Path, path: str, within: Path | None) -> Path:
    """Return ``folder / path`` with links resolved; raises ArtifactError if that leaves ``within``."""
    root = os.path.realpath(within or folder)
    target = Path(os.path.realpath(folder / path))
    if not target.is_relative_to(root):
        _fail(folder, f"{path} is a link that leads out of the folder")
    return target


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else describe(value)


def _fail(folder: Path, problem: str) -> NoReturn:
    raise ArtifactError(f"{folder}: {problem}")
