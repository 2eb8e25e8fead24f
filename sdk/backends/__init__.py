"""Backends, which run a model's network, and the choice between them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import ONNX_FILE, ONNX_FP16_FILE, ONNX_INT8_FILE, WEIGHTS_FILE, Artifact, ArtifactConfig
from sdk.errors import BrokenKernelsWarning, KernelsError, LoadError, MissingKernelsError, give_warning
from sdk.inputs import FloatArray
from sdk.kernels import compiled, mode
from sdk.validation import describe, hint


class Backend(Protocol):
    """A running network. Its module has ``open_backend(artifact, **options) -> Backend``."""

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared inputs ``[B, *shape]``; safe to call from several threads."""


class _BackendInfo(NamedTuple):
    file: str
    """The file of the artifact that the backend reads."""
    module: str
    """Imported when a model uses the backend. torch's belongs to the training side, so sdk refers to it by name."""
    options: tuple[str, ...]
    """The options of :func:`sdk.load` that the backend takes."""
    families: tuple[str, ...] = ()
    """The families that the backend runs; empty: all."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """Further arguments of ``open_backend``."""


_ONNX_OPTIONS = ("providers", "threads", "timeout")
# In the order in which "auto" prefers them: measured, native is the fastest wherever it runs.
BACKENDS = {
    "native": _BackendInfo(WEIGHTS_FILE, "sdk.backends.native", ("threads",), ("gridnet", "snapshots")),
    "onnx": _BackendInfo(ONNX_FILE, "sdk.backends.onnx", _ONNX_OPTIONS),
    "torch": _BackendInfo(WEIGHTS_FILE, "zoo.artifacts.torch_backend", ("device",)),
    **{
        f"onnx-{precision}": _BackendInfo(file, "sdk.backends.onnx", _ONNX_OPTIONS, settings={"file": file})
        for precision, file in (("fp16", ONNX_FP16_FILE), ("int8", ONNX_INT8_FILE))
    },
}
# The package to install for a module that is missing.
_PACKAGES = {"torch": "'cellzoo[train]'", "pydantic": "'cellzoo[train]'", "onnxruntime": "onnxruntime"}


def backends_of(config: ArtifactConfig) -> tuple[str, ...]:
    """Return the backends that can run the artifact here, the preferred one first.

    They need their file in it; native also needs the compiled kernels, and a family that it runs.
    """
    return tuple(name for name in BACKENDS if _obstacle(name, config) is None)


def choose_backend(config: ArtifactConfig, backend: str, options: Collection[str] = ()) -> str:
    """Resolve "auto"; raises LoadError for a backend that is unknown or cannot run the artifact.

    "auto" is native, else onnx, else torch. A backend that does not take an option in ``options`` is passed over, and
    so is native where ZOO_KERNELS=reference says that the compiled kernels are not wanted.
    """
    available = backends_of(config)
    if backend == "auto" and available:
        return _preferred(available, options)
    if backend not in available:
        allowed = ", ".join(("auto", *available)) if available else "none"
        known = isinstance(backend, str) and backend in BACKENDS
        reason = _obstacle(backend, config) if known else hint(str(backend), available)
        raise LoadError(f"backend {describe(backend)} cannot run {config.name}{reason}; available: {allowed}")
    return backend


def _preferred(available: tuple[str, ...], options: Collection[str]) -> str:
    """Return the first backend that takes the options; torch, which loads slowly, only in place of onnx.

    A file of reduced precision is chosen only where there is no other.
    """
    unwanted = {name for name in available if is_reduced(name)} | ({"torch"} if "onnx" in available else set())
    if mode() == "reference" and available != ("native",):
        unwanted.add("native")
    candidates = [name for name in available if name not in unwanted] or list(available)
    return next((name for name in candidates if set(options) <= set(BACKENDS[name].options)), candidates[-1])


def _obstacle(backend: str, config: ArtifactConfig) -> str | None:
    """Return the reason why a backend cannot run an artifact here, as the end of a sentence, or None if it can."""
    info = BACKENDS[backend]
    if info.file not in config.files:
        return f", which has no {info.file}"
    if info.families and config.family not in info.families:
        return f": it runs {_listed(info.families)}, not {config.family}"
    if backend == "native":
        try:
            compiled()
        except KernelsError as error:
            return f": {error}"
    return None


def warn_of_broken_kernels(config: ArtifactConfig, chosen: str, options: Collection[str] = ()) -> None:
    """Give a BrokenKernelsWarning if "auto" chose another backend because the compiled kernels, not missing, fail."""
    native = BACKENDS["native"]
    suitable = config.family in native.families and native.file in config.files and set(options) <= set(native.options)
    if chosen == "native" or not suitable or mode() == "reference":
        return
    try:
        compiled()
    except MissingKernelsError:
        return
    except KernelsError as error:
        give_warning(BrokenKernelsWarning(f"{config.name} predicts through {chosen}: {error}"))


def backend_file(backend: str) -> str:
    """Return the path, in the artifact, of the one file besides config.json that a backend needs."""
    return BACKENDS[backend].file


def open_backend(artifact: Artifact, backend: str, **options: Any) -> Backend:
    """Open a backend from :func:`choose_backend` on a verified artifact; raises ArtifactError and LoadError.

    An option of another backend is refused unless it is None.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in BACKENDS[backend].options:
            raise _wrong_option(artifact.config, backend, name)
    try:
        module = importlib.import_module(BACKENDS[backend].module)
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise LoadError(
            f"the {backend} backend needs {error.name}, which is not installed; "
            f"install it with `pip install {_PACKAGES[error.name]}`"
        ) from error
    runner: Backend = module.open_backend(artifact, **given, **BACKENDS[backend].settings)
    return runner


def is_reduced(backend: str) -> bool:
    """True for a backend that runs a file of reduced precision, whose logits differ from the other backends'."""
    return backend in BACKENDS and BACKENDS[backend].file in (ONNX_FP16_FILE, ONNX_INT8_FILE)


def is_forked_child() -> bool:
    """True in a process that was forked after sdk was imported; a library's threads are missing there."""
    return _is_child


def _mark_child() -> None:
    global _is_child
    _is_child = True


_is_child = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_child)


def _wrong_option(config: ArtifactConfig, backend: str, option: str) -> LoadError:
    owners = [name for name in backends_of(config) if option in BACKENDS[name].options]
    hint = f"; {option} is for backend={' or '.join(map(repr, owners))}" if owners else ""
    return LoadError(f"the {backend} backend takes {_listed(BACKENDS[backend].options)}, not {option}{hint}")


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
