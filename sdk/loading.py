"""Loading a model: resolve its name, choose a backend, open it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdk.artifact import Artifact
from sdk.backends import backend_file, choose_backend, open_backend
from sdk.families import model_class
from sdk.model import Model
from sdk.resolve import open_artifact

if TYPE_CHECKING:
    import torch


def load(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str | torch.device | None = None,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    revision: str | None = None,
) -> Model:
    """Load a bundled model by name, any model by the path of its folder, or one on the Hub as ``user/name``.

    A plain name means a bundled model, else a folder of that name or a model of the namespace in
    ``ZOO_HUB_NAMESPACE``; what could mean two things is an error that says how to tell them apart. ``revision``,
    or ``@revision`` behind the name, is a branch, a tag or a commit on the Hub (default: main); ``origin`` of the
    model names the commit that was loaded. ``backend`` is "auto" or one of the model's own, and auto means onnx
    where the model has it. For the onnx backend, ``providers`` are any of "cpu", "cuda", "coreml" and "directml" (or
    onnxruntime's names) in the order of preference (default: cpu) and ``threads`` is how many compute one batch
    (default: one per core); for the torch backend, ``device`` (default: cpu). The hash of every file that is
    used is verified; of a model on the Hub no other file is downloaded.

    Raises LoadError when the model, backend or device is not there, its subclass HubError when the Hub does not give
    the model, ArtifactError when the model is damaged.
    """
    artifact = open_artifact(name_or_path, lambda config: [backend_file(choose_backend(config, backend))], revision)
    chosen = choose_backend(artifact.config, backend)
    model = open_model(artifact, chosen, device=device, providers=providers, threads=threads)
    model.origin = artifact.origin
    return model


def open_model(artifact: Artifact, backend: str, **options: Any) -> Model:
    """Open a verified artifact on a backend from :func:`choose_backend`; raises ArtifactError, LoadError.

    An option of another backend is refused unless it is None.
    """
    runner = open_backend(artifact, backend, **options)
    return model_class(artifact.config.family)(artifact.config, backend, runner)
