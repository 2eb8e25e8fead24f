"""The torch backend: the family's own module, rebuilt from config.json and the weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from sdk.artifact import WEIGHTS_FILE, Artifact
from sdk.errors import ArtifactError, LoadError
from sdk.inputs import FloatArray
from sdk.strict import describe
from sdk.weights import TensorSpec, read_weights
from zoo.families import Family, get_family
from zoo.families.base import FamilyConfig, Task


class TorchBackend:
    """Runs the module in eval mode; safe to call from several threads as long as nobody trains it."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module = module
        self.device = device

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Prepared inputs ``[B, *shape]`` -> logits ``[B, classes]``."""
        with torch.inference_mode():
            output: NDArray[np.float32] = (
                self.module(torch.from_numpy(x).to(self.device)).float().cpu().numpy()
            )
        return output


def open_backend(artifact: Artifact, device: str | torch.device | None = None) -> TorchBackend:
    """Build the module and load its weights strictly.

    Raises ArtifactError for an unknown family, a config the family refuses or weights that do not fit it, and
    LoadError for a device that is not there.
    """
    target = _device(device)
    family, config = _family_config(artifact)
    task = Task(artifact.config.input.shape, len(artifact.config.labels))
    # Shapes come from a stranger's config: they are compared with the file before anything is allocated.
    with torch.device("meta"):
        skeleton = _build(artifact, family, config, task)
    expected = {name: _spec(tensor) for name, tensor in skeleton.state_dict().items()}
    arrays = read_weights(artifact.file(WEIGHTS_FILE), expected)
    with torch.random.fork_rng(devices=[]):  # initial values are drawn and thrown away
        module = _build(artifact, family, config, task)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
    return TorchBackend(module.eval().to(target), target)


def _device(device: str | torch.device | None) -> torch.device:
    try:
        target = torch.device(device or "cpu")
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise LoadError(f"device {str(device)!r} cannot be used here: {reason}") from error
    return target


def _family_config(artifact: Artifact) -> tuple[Family, FamilyConfig]:
    config = artifact.config
    try:
        family = get_family(config.family)
        return family, family.config.model_validate(config.model)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, ('model', *e['loc'])))}: {e['msg']}, found {describe(e['input'])}"
            for e in error.errors()
        )
        raise ArtifactError(f"{artifact.folder}: config.json: {problems}") from error
    except ValueError as error:
        raise ArtifactError(f"{artifact.folder}: config.json: {error}") from error


def _build(artifact: Artifact, family: Family, config: FamilyConfig, task: Task) -> nn.Module:
    try:
        return family.build(config, task)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{artifact.folder}: config.json describes no model: {reason}") from error


def _spec(tensor: torch.Tensor) -> TensorSpec:
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
