"""The normnet as an ONNX graph of standard operators.

The file stores the weights ``W`` as the module does. Their tangent is an operator on constants, which a runtime
computes once, when it loads the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.normnet.layers import NormConvolution, ResidualNormLayer
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.normnet.layers import Layer
    from zoo.families.normnet.model import Normnet

_ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}


def onnx_graph(module: Normnet, task: Task) -> onnx.ModelProto:
    """Build ``input [B, *input_shape]`` -> ``logits [B, classes]`` with all of the module's weights as initializers."""
    g = GraphBuilder()
    h = _seen(g, module)
    for number, (config, convolution) in enumerate(zip(module.config.convolutions, module.convolutions, strict=True)):
        h = _convolution(g, f"convolutions.{number}", convolution, h)  # type: ignore[arg-type]
        if config.pool > 1:
            window = [config.pool] * (len(module.view_shape) - 1)
            h = g.op("MaxPool", h, kernel_shape=window, strides=window)
    h = g.op("Flatten", h, axis=1)
    for number, layer in enumerate(module.layers):
        h = _fully_connected(g, f"layers.{number}", layer, h)  # type: ignore[arg-type]
    return g.model("normnet", h, task.input_shape, task.num_classes)


def _seen(g: GraphBuilder, module: Normnet) -> str:
    """Bring inputs into the form that convolutions see."""
    x = ONNX_INPUT
    if module.config.view == "rows":
        x = g.transpose(x, (0, 1, 3, 2))
    return x if module.config.view is None else g.op("Reshape", x, g.constant([-1, *module.view_shape]))


def _convolution(g: GraphBuilder, name: str, layer: NormConvolution, x: str) -> str:
    biases = [] if layer.bias is None else [g.weight(f"{name}.bias", layer.bias)]
    sums = g.op(
        "Conv",
        x,
        _strengths(g, name, layer),
        *biases,
        kernel_shape=[*layer.weight.shape[2:]],
        strides=[layer.stride] * layer.dims,
        pads=[layer.padding] * (2 * layer.dims),
    )
    return _activate(g, layer, sums, layer.divisor)


def _fully_connected(g: GraphBuilder, name: str, layer: Layer, x: str) -> str:
    strengths = _strengths(g, name, layer)
    if isinstance(layer, ResidualNormLayer):
        sums = g.op("Add", g.op("Gemm", x, strengths, transB=1, alpha=0.1), g.op("Mul", x, g.scalar(0.1)))
        return _activate(g, layer, sums, 2 * layer.divisor)
    biases = [] if layer.bias is None else [g.weight(f"{name}.bias", layer.bias)]
    return _activate(g, layer, g.op("Gemm", x, strengths, *biases, transB=1), layer.divisor)


def _strengths(g: GraphBuilder, name: str, layer: Layer) -> str:
    weight = g.weight(f"{name}.weight", layer.weight)
    return g.op("Tan", weight) if layer.settings.kind == "norm" else weight


def _activate(g: GraphBuilder, layer: Layer, sums: str, divisor: int) -> str:
    if divisor > 1:
        sums = g.op("Div", sums, g.scalar(divisor))
    activated = g.op(_ACTIVATIONS[layer.settings.activation], sums)
    return g.op("Mul", activated, g.scalar(layer.settings.scale))
