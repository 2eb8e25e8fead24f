"""The multilayer perceptron as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.mlp.model import Mlp

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def onnx_graph(module: Mlp, task: Task) -> onnx.ModelProto:
    """Build ``input [B, *input_shape]`` -> ``logits [B, classes]``."""
    g = GraphBuilder()
    h = g.op("Flatten", ONNX_INPUT, axis=1)
    for number, layer in enumerate(module.layers):
        name = f"layers.{number}"
        h = g.op("Gemm", h, g.weight(f"{name}.weight", layer.weight), g.weight(f"{name}.bias", layer.bias), transB=1)  # type: ignore[arg-type]
        if number < len(module.layers) - 1:
            h = g.op(_OPERATORS[module.config.activation], h)
    return g.model("mlp", h, task.input_shape, task.num_classes)
