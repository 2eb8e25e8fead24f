"""The CellNet as an ONNX graph of standard operators, unrolled for a fixed number of steps.

The state is ``[N, B, C]``. As in the module, each layer of all edges' MLPs is one batched MatMul. A MatMul with the
``[N, E]`` incidence matrix of edges and their targets sums the outputs per cell. The first step's connections receive
zeros and do not depend on the input: a runtime folds them when it loads the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from torch import nn

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.cellnet.model import Cellnet

_KEYS = ("weight", "bias")
_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def onnx_graph(module: Cellnet, task: Task, steps: int | None = None) -> onnx.ModelProto:
    """Build ``input [B, *input_shape]`` -> ``logits [B, classes]`` after ``steps`` (default: ``input_steps``).

    Raises ValueError for fewer than one step.
    """
    steps = module.config.input_steps if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps must be a whole number above 0, found {steps}")
    g = GraphBuilder()
    graph = _Graph(g, module)
    fed = graph.feed(graph.stem(ONNX_INPUT))
    cores = g.constant(module.core_mask.cpu().numpy(), "float32")
    for step in range(steps):
        cores = graph.step(cores, fed if step < module.config.input_steps else None, first=step == 0)
    model = g.model("cellnet", graph.read(cores), task.input_shape, task.num_classes)
    onnx.helper.set_model_props(model, {"steps": str(steps)})
    return model


class _Graph:
    """The parts of a module as nodes of a graph."""

    def __init__(self, g: GraphBuilder, module: Cellnet) -> None:
        self.g = g
        self.module = module
        self.config = module.config
        # Stored as in torch, [members, out, in]; each is transposed once, by an operator on constants.
        self._layers: dict[str, tuple[str, str]] = {}

    def stem(self, x: str) -> str:
        """Inputs -> features ``[B, F]``."""
        g = self.g
        for name, layer in self.module.stem.named_children():
            match layer:
                case nn.Conv2d():
                    weights = [g.weight(f"stem.{name}.{key}", value) for key, value in layer.named_parameters()]
                    padding = {"pads": [int(layer.padding[0])] * 4} if layer.padding[0] else {}
                    x = g.op("Conv", x, *weights, kernel_shape=[3, 3], **padding)
                case nn.BatchNorm2d():
                    tensors = (getattr(layer, key) for key in _NORM_KEYS)
                    weights = [
                        g.weight(f"stem.{name}.{key}", value) for key, value in zip(_NORM_KEYS, tensors, strict=True)
                    ]
                    x = g.op("BatchNormalization", x, *weights, epsilon=layer.eps)
                case nn.MaxPool2d():
                    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
                case nn.ReLU():
                    x = g.op("Relu", x)
        return g.op("Flatten", x, axis=1)

    def feed(self, features: str) -> str:
        """Features ``[B, F]`` -> the addition to every core, ``[N, B, C]``: 0 except for InCells."""
        fed = self._linear("input", self.g.op("Unsqueeze", features, self.g.constant([0])))
        return self.g.pad(fed, (0, 0, 0), (self.config.cells - self.config.in_cells, 0, 0))

    def step(self, cores: str, fed: str | None, first: bool) -> str:
        """Run one time step: ``[N, B, C]`` (``[N, 1, C]`` in the first) -> ``[N, B, C]``."""
        g, module, config = self.g, self.module, self.config
        size = max(config.cores)
        sent = g.constant(np.zeros((config.cells, 1, size)), "float32") if first else cores
        moves = g.op("Gather", sent, g.constant(module.sources.cpu().numpy()), axis=0)
        for layer in range(3):
            moves = self._linear(f"connections.{layer}", g.op("Relu", moves) if layer else moves)
        incidence = np.arange(config.cells)[:, None] == module.targets.cpu().numpy()
        flat = g.reshape(moves, (len(config.edges), -1))
        update = g.reshape(g.op("MatMul", g.constant(incidence, "float32"), flat), (config.cells, -1, size))
        return g.op("Add", cores, update if fed is None else g.op("Add", update, fed))

    def read(self, cores: str) -> str:
        """Cores ``[N, B, C]`` -> logits ``[B, classes]``."""
        g, cells = self.g, self.config.cells
        outs = g.slice(cores, 0, cells - self.config.out_cells, cells)
        logits = self._linear("readout.1", g.op("Relu", self._linear("readout.0", outs)))
        return g.op("ReduceMean", logits, g.constant([0]), keepdims=0)

    def _linear(self, name: str, x: str) -> str:
        """Apply the members' linear layers: ``[M, B, in]`` -> ``[M, B, out]``."""
        g = self.g
        if name not in self._layers:
            weight, bias = (g.weight(f"{name}.{key}", self.module.get_parameter(f"{name}.{key}")) for key in _KEYS)
            self._layers[name] = g.transpose(weight, (0, 2, 1)), g.op("Unsqueeze", bias, g.constant([1]))
        weight, bias = self._layers[name]
        return g.op("Add", g.op("MatMul", x, weight), bias)
