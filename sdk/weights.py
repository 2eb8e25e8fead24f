"""Reads model.safetensors, comparing its header with the expected tensors before any tensor is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sdk.errors import ArtifactError
from sdk.json_text import parse_json

TensorSpec: TypeAlias = "tuple[str, tuple[int, ...]]"
"""The dtype's name in numpy, and the shape."""

METADATA = {"format": "pt"}
"""The metadata of weights that cellzoo writes. Other libraries read in it which framework the tensors are of."""
_HEADER_LIMIT = 100_000_000
"""In bytes; the library's own limit."""
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def read_weights(
    path: Path, expected: Mapping[str, TensorSpec], older: Mapping[str, TensorSpec] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file, which must be exactly those expected.

    ``older`` are the tensors of an older form of the file, expected instead if it has one that only this form has.
    The header must be canonical, so that every reader of the file finds the same tensors in it. Raises ArtifactError
    for a damaged file, a header that does not match the data, and tensors that are missing,
    unexpected, or of another shape or dtype.
    """
    try:
        _check_header(path)
        with safe_open(path, framework="np") as file:
            found = {name: _spec(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if older and found.keys() & (older.keys() - expected.keys()):
                expected = older
            _compare(path, found, expected)
            return {name: file.get_tensor(name) for name in expected}
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(f"{path}: not a valid safetensors file: {reason}") from error


def _check_header(path: Path) -> None:
    """Raise ValueError for a header that readers may read differently, such as one that names a tensor twice."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _HEADER_LIMIT:
            raise ValueError(f"its header has {size} bytes, allowed are {_HEADER_LIMIT}")
        header = file.read(size)
    if len(header) < size:
        raise ValueError("it ends inside its header")
    parse_json(header)


def _spec(tensor: Any) -> TensorSpec:
    dtype = tensor.get_dtype()
    return _DTYPES.get(dtype, dtype), tuple(tensor.get_shape())


def _compare(path: Path, found: Mapping[str, TensorSpec], expected: Mapping[str, TensorSpec]) -> None:
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise ArtifactError(f"{path}: the model needs tensors that are missing: {', '.join(missing)}")
    extra = sorted(found.keys() - expected.keys())
    if extra:
        raise ArtifactError(f"{path}: tensors the model does not have: {', '.join(extra)}")
    for name, spec in expected.items():
        if found[name] != spec:
            raise ArtifactError(f"{path}: tensor {name} is {_show(found[name])}, the model needs {_show(spec)}")


def _show(spec: TensorSpec) -> str:
    dtype, shape = spec
    return f"{dtype} {list(shape)}"
