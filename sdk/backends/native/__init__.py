"""The native backend: runs whole networks in the compiled kernels, with numpy and without torch.

Weights are read once and laid out for the kernels, so a call computes and does nothing else. On the same machine and
with the same number of threads, logits are bit for bit those of the torch backend.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from sdk.artifact import WEIGHTS_FILE, Artifact
from sdk.backends.options import check_threads
from sdk.errors import ArtifactError, InputError


def open_backend(artifact: Artifact, threads: int | None = None) -> Any:
    """Read model.safetensors strictly and prepare the network.

    ``threads`` is the number of threads that compute one batch (default: one per processor that this process may use).
    Raises ArtifactError for a config or weights that are not a network of the family, LoadError for ``threads``.
    """
    check_threads(threads)
    family = importlib.import_module(f"sdk.backends.native.{artifact.config.family}")
    try:
        return family.open_network(artifact, threads or usable_processors())
    except InputError as error:
        raise ArtifactError(f"{artifact.folder}: config.json: {error}") from error
    except (ValueError, MemoryError) as error:  # from the compiled network
        reason = str(error) or "not enough memory"
        raise ArtifactError(f"{artifact.file(WEIGHTS_FILE)}: {reason}") from error


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
