"""The gridnet as an ONNX graph of standard operators, laid out to run fast in onnxruntime.

The state is ``[B, cells]``, with the cells in the order of boxes (:mod:`zoo.families.gridnet.onnx_groups`). The 27
multiply-adds of all cells are one Gather and one batched MatMul with banded matrices
(:mod:`zoo.families.gridnet.onnx_bands`). The file stores the weights as the module does, 27 per cell; operators on
constants make the bands, which a runtime folds when it loads the file. Outer steps are unrolled and share their
initializers.

During the inner steps the cells outside a block keep the values they had at the start of the outer step, so their part
of the sum is computed once per outer step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.gridnet.onnx_bands import StepWeights, WeightedSums, step_weights
from zoo.families.gridnet.onnx_groups import Groups, group_cells
from zoo.families.gridnet.onnx_shells import Shells
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.gridnet.config import GridnetConfig
    from zoo.families.gridnet.model import Gridnet


def onnx_graph(module: Gridnet, task: Task) -> onnx.ModelProto:
    """Build ``input [B, C, H, W]`` -> ``logits [B, classes]`` with all of the module's weights as initializers."""
    g = GraphBuilder()
    groups = group_cells(module.config.grid, 2 if module.config.gated else 1)
    h = groups.grouped(g, _embed(g, module))
    h = groups.natural(g, _Evolution(g, module, groups).run(h))
    return g.model("gridnet", _read(g, module, h), task.input_shape, task.num_classes)


class _Evolution:
    """All outer steps on the state ``[B, cells]``, in the order of the boxes."""

    def __init__(self, g: GraphBuilder, module: Gridnet, groups: Groups) -> None:
        self.g = g
        self.module = module
        self.config: GridnetConfig = module.config
        self.groups = groups
        self.sums = WeightedSums(g, groups, channels=2 if module.config.gated else 1)
        self.norm = [
            g.reshape(groups.grouped(g, g.reshape(g.weight(f"norm.{name}", tensor), (-1, groups.cells))), (-1,))
            for name, tensor in module.norm.named_parameters()
        ]
        self.sets = [step_weights(g, module, self.sums, index) for index in range(len(module.weight))]

    def run(self, h: str) -> str:
        for t in range(self.config.outer_steps):
            weights = self.sets[t % len(self.sets)]
            if self.config.outer_residual:
                normed = self._normed(h)
                h = self.g.op("Add", h, self.g.op("Sub", self._step(normed, weights), normed))
            else:
                h = self._normed(self._step(h, weights))
        return h

    def _step(self, h: str, weights: StepWeights) -> str:
        g, config = self.g, self.config
        shells = Shells(g, config.grid, config.block, self.groups.natural(g, h)) if config.normalize else None
        start, several = h, config.inner_steps > 1
        fixed = self.sums.apply(start, weights.outside) if several else None
        for inner in range(config.inner_steps):
            total = self.sums.apply(h, weights.full if inner == 0 else weights.inside)
            if inner and fixed is not None:
                total = g.op("Add", total, fixed)
            if shells is not None:
                statistics = shells.statistics(self.groups.natural(g, h), config.eps)
                mean, spread = (self.groups.grouped(g, x) for x in statistics)
                total = g.op("Div", g.op("Sub", total, g.op("Mul", weights.total, mean)), spread)
            h = self._update(h, total, weights)
        return h

    def _update(self, h: str, total: str, weights: StepWeights) -> str:
        """Apply the cell's rule to the weighted sums, ``[B, cells]`` or, when gated, ``[2, B, cells]``."""
        g = self.g
        pre = g.op("Add", total, weights.bias)
        if not self.config.gated:
            return g.op("Add", h, g.op("Mul", self._activation(pre), weights.scale))
        value, gate = (g.op("Gather", pre, g.constant(channel), axis=0) for channel in (0, 1))
        value, gate = self._activation(value), g.op("Sigmoid", gate)
        return g.op("Add", value, g.op("Mul", gate, g.op("Sub", h, value)))

    def _normed(self, h: str) -> str:
        scale, bias = self.norm
        return self.g.op("LayerNormalization", h, scale, bias, axis=-1, epsilon=self.module.norm.eps)

    def _activation(self, x: str) -> str:
        match self.config.activation:
            case "silu":
                return self.g.op("Mul", x, self.g.op("Sigmoid", x))
            case "relu":
                return self.g.op("Relu", x)
            case "leaky_relu":
                return self.g.op("LeakyRelu", x, alpha=0.01)
            case "tanh":
                return self.g.op("Tanh", x)


def _embed(g: GraphBuilder, module: Gridnet) -> str:
    """Images -> the initial state ``[B, cells]``, in the grid's own order."""
    x, config = ONNX_INPUT, module.config
    if config.patch is not None:
        convolution = module.patch_embed
        weight, bias = (g.weight(f"patch_embed.{name}", tensor) for name, tensor in convolution.named_parameters())
        size = [config.patch.size] * 2
        x = g.op("Conv", x, weight, bias, kernel_shape=size, strides=size)
    before = [axis.start for axis in module.face]
    after = [length - axis.stop for axis, length in zip(module.face, config.grid, strict=True)]
    image = g.pad(g.transpose(x, (0, 2, 3, 1)), [0, *before], [0, *after])
    face = np.zeros([axis.stop - axis.start for axis in module.face])
    outside = g.pad(g.op("ConstantOfShape", g.constant(face.shape)), before, after, value=1.0)
    learned = g.op("Mul", g.weight("grid_init", module.grid_init), outside)
    return g.reshape(g.op("Add", image, learned), (-1, math.prod(config.grid)))


def _read(g: GraphBuilder, module: Gridnet, h: str) -> str:
    """The final state, in the grid's own order -> logits ``[B, classes]``."""
    config = module.config
    m, n, k = config.grid
    faces = g.slice(g.reshape(h, (-1, m, n, k)), 3, k - config.output_layers, k)
    features = g.reshape(faces, (-1, m * n * config.output_layers))
    scale, bias = (
        g.reshape(g.weight(f"readout_norm.{name}", tensor), (-1,))
        for name, tensor in module.readout_norm.named_parameters()
    )
    normed = g.op("LayerNormalization", features, scale, bias, axis=-1, epsilon=module.readout_norm.eps)
    weight = g.transpose(g.weight("readout.weight", module.readout.weight), (1, 0))
    return g.op("Add", g.op("MatMul", normed, weight), g.weight("readout.bias", module.readout.bias))
