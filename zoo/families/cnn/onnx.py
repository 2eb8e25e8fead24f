"""The convolutional network as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.cnn.model import Cnn


def onnx_graph(module: Cnn, task: Task) -> onnx.ModelProto:
    """Build ``input [B, C, H, W]`` -> ``logits [B, classes]``."""
    g = GraphBuilder()
    h = ONNX_INPUT
    stages: Any = zip(module.convolutions, module.norms, strict=True)
    for number, (convolution, norm) in enumerate(stages):
        weight = g.weight(f"convolutions.{number}.weight", convolution.weight)
        h = g.op("Conv", h, weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        tensors = {name: getattr(norm, name) for name in ("weight", "bias", "running_mean", "running_var")}
        names = [g.weight(f"norms.{number}.{name}", tensor) for name, tensor in tensors.items()]
        h = g.op("Relu", g.op("BatchNormalization", h, *names, epsilon=norm.eps))
        if (number + 1) % module.config.convolutions == 0:
            h = g.op("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])
    h = g.op("Flatten", h, axis=1)
    layers: Any = module.layers
    for number, layer in enumerate(layers):
        name = f"layers.{number}"
        h = g.op("Gemm", h, g.weight(f"{name}.weight", layer.weight), g.weight(f"{name}.bias", layer.bias), transB=1)
        if number < len(layers) - 1:
            h = g.op("Relu", h)
    return g.model("cnn", h, task.input_shape, task.num_classes)
