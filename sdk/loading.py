"""Loads a model: resolves its name, chooses a backend and opens it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdk.artifact import Artifact
from sdk.backends import BACKENDS, backend_file, choose_backend, open_backend, warn_of_broken_kernels
from sdk.errors import LoadError
from sdk.families import model_class
from sdk.model import Model
from sdk.resolve import open_artifact

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Origin:
    """The content of a pickled model: its origin, its backend with options, and the hashes of the files it may run."""

    origin: str
    backend: str
    hashes: dict[str, str]
    """The sha256 of each backend's file by its path."""
    options: dict[str, Any] = field(default_factory=dict)
    auto: bool = False
    """True if the backend was chosen by "auto", which chooses again where the model is opened."""

    def check(self, model: Model) -> None:
        """Raise LoadError if the weights of the model are no longer those of its files."""
        if getattr(model._runner, "changed", False):
            raise LoadError(
                f"the weights of {model.name} were changed after it was loaded, and a copy would have the old ones; "
                "export the changed module, or copy model.module itself"
            )

    def open(self) -> Model:
        """Load the model again; raises LoadError if it is gone or is another one now, and as :func:`load` does."""
        try:
            model = load(self.origin, backend="auto" if self.auto else self.backend, **self.options)
        except LoadError as error:
            raise LoadError(f"cannot open the pickled model {self.origin} here: {error}") from error
        file = backend_file(model.backend)
        if model.config.files[file].sha256 != self.hashes.get(file):
            raise LoadError(
                f"cannot open the pickled model {self.origin}: another model is there now; load it with sdk.load"
            )
        return model

    def __str__(self) -> str:
        return f"{self.origin}, {self.backend} backend"


def load(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str | torch.device | None = None,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    revision: str | None = None,
    timeout: float | None = None,
) -> Model:
    """Load a model by name, by the path of its folder, or from the Hub as ``user/name``.

    A plain name means, in this order, a folder of that name here, one of the user's own models
    (:func:`sdk.places.models_folder`), a bundled model, or a model in the namespace ``ZOO_HUB_NAMESPACE``. Where
    several are on this machine, a ShadowedModelWarning says once which one is used and how to write the others;
    ``bundled:name`` is always the bundled one. A path that holds a model is that model, even if it looks like
    ``user/name``. The hash of every file that is used is verified, and no other file of a model on the Hub is
    downloaded.

    ``backend`` is "auto" or one of the model's backends: native (the compiled kernels, for the families gridnet and
    snapshots), onnx (onnxruntime) or torch; "onnx-fp16" and "onnx-int8" run the smaller files that ``zoo export
    --precision`` adds. "auto" is the first of native and onnx that can run the model here and takes the options given;
    torch only if the model has no ONNX graph. A BrokenKernelsWarning says so if there are compiled kernels that cannot
    be used. ``revision``, or ``@revision`` after the name, is a branch, a tag or a commit on the Hub (default: main);
    the model's ``origin`` names the folder or the commit that was loaded.

    ``threads`` is an option of native and of the onnx backends: the number of threads that compute one batch, 1 to 1024
    (default: one per core; native uses 256 at most). Options of the onnx backends alone: ``providers``, in order of
    preference, are "cpu", "cuda", "coreml", "directml" or onnxruntime's own names (default: cpu); ``timeout`` is the
    most seconds that a batch may take (default: any), for a graph that is not trusted to end. Option of torch:
    ``device`` (default: cpu).

    Raises LoadError if the model, backend or device is not available, its subclass HubError if the Hub does not provide
    the model, and ArtifactError if the model is damaged.
    """
    options = _given({"device": device, "providers": providers, "threads": threads, "timeout": timeout})
    artifact = open_artifact(
        name_or_path, lambda config: [backend_file(choose_backend(config, backend, options))], revision
    )
    chosen = choose_backend(artifact.config, backend, options)
    if backend == "auto":
        warn_of_broken_kernels(artifact.config, chosen, options)
    model = open_model(artifact, chosen, **options)
    model.origin = artifact.origin
    if "device" in options:
        options["device"] = str(device)
    files = {backend_file(name) for name in BACKENDS} & artifact.config.files.keys()
    hashes = {file: artifact.config.files[file].sha256 for file in sorted(files)}
    model._reference = Origin(artifact.origin, chosen, hashes, options, auto=backend == "auto")
    return model


def open_model(artifact: Artifact, backend: str, **options: Any) -> Model:
    """Open a verified artifact on a backend from :func:`choose_backend`; raises ArtifactError and LoadError.

    An option of another backend is refused unless it is None.
    """
    runner = open_backend(artifact, backend, **options)
    return model_class(artifact.config.family, artifact.config.task)(artifact.config, backend, runner)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
