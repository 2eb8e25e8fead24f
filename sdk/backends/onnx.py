"""The onnx backend: runs model.onnx in onnxruntime, without torch.

A graph is a program that a stranger may have written: it can loop and allocate, within this process. It reads no other
file, its results are checked, and ``timeout`` stops it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from sdk.artifact import ONNX_FILE, ONNX_INPUT, ONNX_OUTPUT, WEIGHTS_FILE, Artifact, ArtifactConfig
from sdk.backends.onnx_file import has_external_data
from sdk.backends.options import check_threads
from sdk.errors import ArtifactError, LoadError
from sdk.inputs import FloatArray
from sdk.validation import describe

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
_HINTS = {
    "CUDAExecutionProvider": "; install onnxruntime-gpu instead of onnxruntime to get it",
    "DmlExecutionProvider": "; install onnxruntime-directml instead of onnxruntime to get it",
    "CoreMLExecutionProvider": "; onnxruntime has it only on macOS",
}
_LOG_FATAL_ONLY = 4
# onnxruntime's own errors have no common base class; others come from its bindings, from numpy and from the allocator.
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(runtime_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
_SETTINGS = {
    "session.load_model_format": "ONNX",  # onnxruntime's own format, which it would recognise, is not checked here
    # A second guard behind has_external_data: weights in other files would be looked for here, not beside the caller.
    "session.model_external_initializers_file_folder_path": os.devnull,
}


class OnnxBackend:
    """Runs an onnxruntime session; safe to call from several threads, which share the session's thread pool.

    ``classes`` is the number of logits that the model must give for an input, ``timeout`` the most seconds for a batch.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, source: str, classes: int, timeout: float | None = None
    ) -> None:
        self.session = session
        self.source = source
        """The file, for errors."""
        self.classes = classes
        self.timeout = timeout

    @property
    def providers(self) -> list[str]:
        """The execution providers in use, the preferred one first."""
        return list(self.session.get_providers())

    @property
    def outputs(self) -> list[str]:
        """The names of the graph's outputs, which :meth:`output` takes."""
        return [value.name for value in self.session.get_outputs()]

    @property
    def properties(self) -> dict[str, str]:
        """The file's own properties, such as its model's name."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared inputs ``[B, *shape]``; raises as :meth:`output` does."""
        return self.output(ONNX_OUTPUT, x)

    def output(self, name: str, x: FloatArray) -> NDArray[np.float32]:
        """Compute one output of the graph, ``[B, classes]``, and no node that it does not depend on; thread-safe.

        Raises ArtifactError if the graph fails or gives anything else, and LoadError if it takes longer than
        ``timeout``.
        """
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        options.log_severity_level = _LOG_FATAL_ONLY  # the error is raised; onnxruntime would print it, too
        late = threading.Event()
        try:
            with _terminating(options, self.timeout, late):
                found = self.session.run([name], {ONNX_INPUT: x}, options)[0]
        except _RUNTIME_ERRORS as error:
            if late.is_set():
                raise LoadError(
                    f"{self.source}: {len(x)} inputs took longer than timeout={self.timeout:g} s and were stopped; "
                    "give a longer timeout, or fewer inputs at once with batch_size"
                ) from error
            raise ArtifactError(f"{self.source}: its graph fails for {len(x)} inputs: {_one_line(error)}") from error
        wanted = (len(x), self.classes)
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != wanted:
            given = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
            raise ArtifactError(
                f"{self.source}: its output {name} is {given} for {len(x)} inputs, it must be float32 {list(wanted)}"
            )
        return found


def open_backend(
    artifact: Artifact,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    timeout: float | None = None,
    file: str = ONNX_FILE,
) -> OnnxBackend:
    """Open a session on model.onnx or another ``file``, which must be the model that config.json describes.

    ``providers``, in order of preference, are "cpu", "cuda", "coreml", "directml" or onnxruntime's own names
    (default: cpu); operators that they do not support run on the cpu. ``threads`` is the number of threads that
    compute one batch (default: one per core). ``timeout`` is the most seconds that one batch may take (default: any);
    the graph is stopped between two of its nodes. Raises ArtifactError for a file that is not this model, and LoadError
    for a provider that is not available or options of the wrong type.
    """
    wanted = _resolve_providers(providers)
    check_threads(threads)
    if timeout is not None and not _is_duration(timeout):
        raise LoadError(f"timeout must be a positive number of seconds, found {describe(timeout)}")
    path = artifact.file(file)
    content = path.read_bytes()
    try:
        if has_external_data(content):
            raise ArtifactError(f"{path}: its weights are in other files, which are never read")
        session = _open_session(content, wanted, threads)
        problem = _mismatch(session, artifact.config)
    except _RUNTIME_ERRORS as error:
        raise ArtifactError(f"{path}: not a valid ONNX file: {_one_line(error)}") from error
    if problem:
        raise ArtifactError(f"{path}: {problem}")
    return OnnxBackend(session, str(path), artifact.config.outputs, timeout)


def onnx_metadata(config: ArtifactConfig) -> dict[str, str]:
    """Return the properties that an ONNX file must carry to be the model that ``config`` describes."""
    entries: dict[str, Any] = {
        "name": config.name,
        "family": config.family,
        "labels": json.dumps(list(config.labels), ensure_ascii=False),
        "input": json.dumps(config.input.to_json()),
    }
    if WEIGHTS_FILE in config.files:
        entries["weights_sha256"] = config.files[WEIGHTS_FILE].sha256
    return entries


def _open_session(content: bytes, providers: list[str], threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_FATAL_ONLY  # errors are raised; onnxruntime would print them, too
    for key, value in _SETTINGS.items():
        options.add_session_config_entry(key, value)
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    unused = [name for name in providers if name not in session.get_providers()]
    if unused:  # onnxruntime continues without a provider whose libraries do not load
        raise LoadError(f"provider {', '.join(unused)} did not start; its driver or libraries are missing here")
    return session


def _resolve_providers(providers: Sequence[str] | None) -> list[str]:
    if providers is None:
        return [_PROVIDERS["cpu"]]
    listed = isinstance(providers, (list, tuple)) and len(providers) > 0
    if not listed or not all(isinstance(name, str) for name in providers):
        raise LoadError(f"providers must be a list of names such as ['cpu'], found {describe(providers)}")
    names = [_PROVIDERS.get(name.lower(), name) for name in providers]
    available = onnxruntime.get_available_providers()
    for given, name in zip(providers, names, strict=True):
        if name not in available:
            raise LoadError(
                f"provider {given!r} is not in this onnxruntime; it has: {', '.join(available)}{_HINTS.get(name, '')}"
            )
    return names


def _mismatch(session: onnxruntime.InferenceSession, config: ArtifactConfig) -> str | None:
    """Return the first difference between the file and config.json, or None."""
    ends = (
        ("input", session.get_inputs(), ONNX_INPUT, list(config.input.shape)),
        ("output", session.get_outputs()[:1], ONNX_OUTPUT, [config.outputs]),  # a family may have more outputs
    )
    for end, found, name, shape in ends:
        fits = len(found) == 1 and found[0].name == name and found[0].type == "tensor(float)"
        if not fits or found[0].shape[1:] != shape or isinstance(found[0].shape[0], int):
            listed = ", ".join(f"{value.name} {value.type} {value.shape}" for value in found)
            wanted = f"{name} tensor(float) ['batch', {', '.join(map(str, shape))}]"
            return f"its {end} is {listed}, the model's is {wanted}"
    metadata = session.get_modelmeta().custom_metadata_map
    for key, expected in onnx_metadata(config).items():
        if metadata.get(key) != expected:
            return f"its metadata has {key} {describe(metadata.get(key))}, config.json says {describe(expected)}"
    return None


@contextmanager
def _terminating(options: onnxruntime.RunOptions, seconds: float | None, late: threading.Event) -> Iterator[None]:
    """Stop the run with these options after ``seconds``, if given, and set ``late`` then."""
    if seconds is None:
        yield
        return

    def stop() -> None:
        late.set()
        options.terminate = True

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _is_duration(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value <= threading.TIMEOUT_MAX  # type: ignore[operator]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
