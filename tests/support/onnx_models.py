"""Small gridnets, and their outputs in torch and in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from sdk import InputSpec
from tests.support.artifacts import SPEC, write_tiny
from zoo.data.task import Task
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet

LABELS = ["a", "b", "ü"]

RECIPE = """
model: {family: gridnet, grid: [4, 4, 4], block: 2, outer_steps: 3}
data: {name: digits}
train: {epochs: 1, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
export: {formats: [safetensors]}
"""


def make(spec: InputSpec = SPEC, **model: Any) -> tuple[Gridnet, GridnetConfig]:
    """Build a small gridnet with every parameter moved away from its initial value, which could hide a mistake."""
    config = GridnetConfig(**{"grid": (4, 4, 4), "block": 2, "outer_steps": 3, **model})
    torch.manual_seed(0)
    module = Gridnet(config, Task(spec.shape, len(LABELS))).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module, config


def write(out: Path, formats: tuple[str, ...] = ("safetensors", "onnx"), recipe: str = RECIPE, **model: Any) -> Path:
    """Write the artifact of :func:`make`'s gridnet."""
    module, config = make(**model)
    return write_tiny(out, config, recipe, name="tiny", module=module, labels=LABELS, formats=formats)


def run(model: onnx.ModelProto | Path, inputs: np.ndarray) -> np.ndarray:
    """Run an ONNX model in onnxruntime and return its first output."""
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def logits_of(module: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Run the module in torch."""
    with torch.inference_mode():
        return module(torch.from_numpy(inputs)).numpy()
