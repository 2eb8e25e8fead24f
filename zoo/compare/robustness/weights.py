"""Damage to the weights of a model in its ONNX graph, which holds the weights of every family: also of networks that
another network has grown, and of ensembles.

A weight is a value other than 0 of a float initializer that a Conv, Gemm or MatMul multiplies by, directly or through
operators on constants. Biases and normalisations stay.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from sdk.artifact import ONNX_INPUT, ONNX_OUTPUT
from zoo.artifacts.onnx import open_session
from zoo.compare.cost import leading_to

_PRODUCTS = ("Conv", "Gemm", "MatMul")
Array = NDArray[np.float32]
Change = Callable[[dict[str, Array]], dict[str, Array]]
"""Takes the weights by tensor, gives the changed ones."""


def weight_names(model: onnx.ModelProto) -> list[str]:
    """Return the initializers that hold weights, in the order of the file."""
    nodes = leading_to(model.graph, ONNX_OUTPUT)
    floats = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) > 1}
    constant = {tensor.name for tensor in model.graph.initializer}
    behind: dict[str, set[str]] = {name: {name} for name in floats}
    found: set[str] = set()
    for node in nodes:
        if all(name in constant for name in node.input if name):
            constant.update(node.output)
            for output in node.output:
                behind[output] = set().union(*(behind.get(name, set()) for name in node.input))
        elif node.op_type in _PRODUCTS:
            for name in node.input[:2]:
                found |= behind.get(name, set()) if name in constant else set()
    return [tensor.name for tensor in model.graph.initializer if tensor.name in found]


def runner(model: onnx.ModelProto, change: Change | None = None) -> Callable[[Array], Array]:
    """Return the function from prepared inputs to logits of a graph, with changed weights if asked."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if change is not None:
        names = set(weight_names(model))
        tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in names}
        new = change(tensors)
        for tensor in changed.graph.initializer:
            if tensor.name in new:
                tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))
    session = open_session(changed)

    def logits(x: Array) -> Array:
        parts = [session.run([ONNX_OUTPUT], {ONNX_INPUT: x[i : i + 256]})[0] for i in range(0, len(x), 256)]
        return np.concatenate(parts)

    return logits


def delete_random(fraction: float, seed: int) -> Change:
    """Set a random fraction of each tensor's weights to 0."""
    rng = np.random.default_rng(seed)

    def change(weights: dict[str, Array]) -> dict[str, Array]:
        return {name: np.where(rng.random(w.shape) < fraction, np.float32(0), w) for name, w in weights.items()}

    return change


def delete_smallest(fraction: float) -> Change:
    """Set the fraction of all weights other than 0 that are smallest in the whole model to 0."""

    def change(weights: dict[str, Array]) -> dict[str, Array]:
        sizes = np.sort(np.concatenate([np.abs(w[w != 0]) for w in weights.values()]))
        limit = sizes[min(len(sizes) - 1, round(fraction * len(sizes)))]
        return {name: np.where(np.abs(w) < limit, np.float32(0), w) for name, w in weights.items()}

    return change


def quantise(bits: int) -> Change:
    """Round each tensor's weights to ``2^bits - 1`` evenly spaced values, symmetric around 0."""
    steps = max(1, 2 ** (bits - 1) - 1)

    def change(weights: dict[str, Array]) -> dict[str, Array]:
        new = {}
        for name, w in weights.items():
            scale = np.float32(np.abs(w).max() / steps) or np.float32(1)
            new[name] = (np.round(w / scale) * scale).astype(np.float32)
        return new

    return change
