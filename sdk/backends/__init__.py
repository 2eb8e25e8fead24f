"""The backends that run a model, and the choice between them."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import ONNX_FILE, WEIGHTS_FILE, Artifact, ArtifactConfig
from sdk.errors import LoadError
from sdk.inputs import FloatArray
from sdk.strict import describe


class _BackendInfo(NamedTuple):
    file: str
    """The file of the artifact that it reads."""
    module: str
    """Imported when a model asks for it. torch's is part of the training side, so sdk knows it by name alone."""
    options: tuple[str, ...]
    """Options of :func:`sdk.load` that it takes."""


# In the order "auto" prefers them.
_BACKENDS = {
    "onnx": _BackendInfo(ONNX_FILE, "sdk.backends.onnx", ("providers", "threads")),
    "torch": _BackendInfo(WEIGHTS_FILE, "zoo.artifacts.torch_backend", ("device",)),
}
_INSTALL = {"torch": "'cellzoo[train]'", "pydantic": "'cellzoo[train]'", "onnxruntime": "onnxruntime"}


class Backend(Protocol):
    """A running network. Its module has ``open_backend(artifact, **options) -> Backend``."""

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Prepared inputs ``[B, *shape]`` -> logits ``[B, classes]``; safe to call from several threads."""


def backends_of(config: ArtifactConfig) -> tuple[str, ...]:
    """The backends that have what they need in an artifact, the preferred one first."""
    return tuple(name for name, info in _BACKENDS.items() if info.file in config.files)


def choose_backend(config: ArtifactConfig, backend: str) -> str:
    """Resolve "auto"; raises LoadError for a backend that is unknown or has no file in the artifact."""
    available = backends_of(config)
    if backend == "auto" and available:
        return available[0]
    if backend not in available:
        there = ", ".join(("auto", *available)) if available else "none"
        raise LoadError(f"backend {describe(backend)} cannot run {config.name}; available: {there}")
    return backend


def backend_file(backend: str) -> str:
    """The one file beside config.json that a backend needs, as its path in the artifact."""
    return _BACKENDS[backend].file


def open_backend(artifact: Artifact, backend: str, **options: Any) -> Backend:
    """Open a backend from :func:`choose_backend` on a verified artifact; raises ArtifactError, LoadError.

    An option of another backend is refused unless it is None.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in _BACKENDS[backend].options:
            raise LoadError(_refuse_option(backend, name))
    try:
        module = importlib.import_module(_BACKENDS[backend].module)
    except ModuleNotFoundError as error:
        if error.name not in _INSTALL:
            raise
        raise LoadError(
            f"the {backend} backend needs {error.name}, which is not installed; "
            f"install it with `pip install {_INSTALL[error.name]}`"
        ) from error
    runner: Backend = module.open_backend(artifact, **given)
    return runner


def _refuse_option(backend: str, option: str) -> str:
    owners = [name for name, info in _BACKENDS.items() if option in info.options]
    hint = f"; {option} is for backend='{owners[0]}'" if owners else ""
    return f"the {backend} backend takes {' and '.join(_BACKENDS[backend].options)}, not {option}{hint}"
