"""Checks that a module of the user's own maps each input of a batch to one logit per label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sdk.inputs import InputSpec
from zoo.artifacts.random_inputs import random_inputs
from zoo.utils.errors import ExportError


def check_outputs(module: nn.Module, spec: InputSpec, labels: list[str]) -> None:
    """Raise ExportError unless the module maps a batch of inputs to one finite float32 logit per label."""
    batch = torch.from_numpy(spec.prepare(random_inputs(spec, 3))[0])
    shape = ["B", *spec.shape]
    logits = _run(module, batch, f"inputs {show_shape(shape)}", "; check input=")
    if not isinstance(logits, Tensor) or logits.dtype != torch.float32:
        found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ExportError(f"outputs: found {found}, allowed one float32 tensor of logits")
    if logits.shape != (3, len(labels)):
        raise ExportError(
            f"outputs: found shape {show_shape(['B' if logits.ndim else '', *logits.shape[1:]])} for inputs "
            f"{show_shape(shape)}, allowed [B, {len(labels)}], one logit for each of the {len(labels)} labels"
        )
    if not bool(logits.isfinite().all()):
        raise ExportError("outputs: found NaN or infinite logits for random inputs; check mean and std of input=")
    _check_rows(module, batch, logits)


def _run(module: nn.Module, batch: Tensor, what: str, advice: str = "") -> Any:
    """Return the module's outputs. Any error of the module becomes an ExportError, which calls the batch ``what``."""
    try:
        with torch.inference_mode():
            return module(batch)
    except Exception as error:  # whatever the module's own code raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"the module does not take {what}: {reason}{advice}") from error


def _check_rows(module: nn.Module, batch: Tensor, logits: Tensor) -> None:
    """Raise ExportError for probabilities, and for a module that answers a sample by the others of its batch."""
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(len(logits))):
        raise ExportError("outputs: found probabilities, allowed logits; leave the last softmax out")
    rows = [_run(module, row, "a batch of one input") for row in torch.split(batch, 1)]
    wrong = next((row.shape for row in rows if row.shape != (1, logits.shape[1])), None)
    if wrong is not None:
        raise ExportError(
            f"outputs: found shape {show_shape(wrong)} for one input, allowed [1, {logits.shape[1]}]; "
            "a squeeze() without an axis removes the batch"
        )
    alone = torch.cat(rows)
    if not torch.allclose(alone, logits, rtol=1e-3, atol=1e-3):
        raise ExportError("outputs: a sample's logits depend on the other samples of its batch; treat each on its own")


def show_shape(shape: Iterable[object]) -> str:
    """Return a shape as ``[B, C, H, W]``; its axes may be numbers or names."""
    return f"[{', '.join(map(str, shape))}]"
