"""Edges and multiply-adds of a model, counted in its ONNX graph, so that one rule holds for all families.

An edge is a weight other than 0 of a Conv, Gemm or MatMul. A prediction costs one multiply-add for every use of an
edge, for every product of two computed values, and for every value of an elementwise Mul or Div. Operators on
constants, which a runtime folds, cost nothing, and neither do edges of weight 0, which a sparse kernel skips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from sdk.artifact import ONNX_INPUT, ONNX_OUTPUT

_PRODUCTS = ("Conv", "Gemm", "MatMul")
_ELEMENTWISE = ("Mul", "Div")


@dataclass(frozen=True)
class Cost:
    """The cost of one prediction."""

    edges: int
    """Distinct weights other than 0."""
    multiply_adds: int


def count_cost(model: onnx.ModelProto, input_shape: tuple[int, ...]) -> Cost:
    """Count the edges and multiply-adds on the way from one input ``[1, *input_shape]`` to the logits.

    The shapes are those of a run in onnxruntime.
    """
    nodes = leading_to(model.graph, ONNX_OUTPUT)
    constant = {tensor.name for tensor in model.graph.initializer}
    computed = []
    for node in nodes:
        if all(name in constant for name in node.input if name):
            constant.update(node.output)
        else:
            computed.append(node)
    wanted = {name for node in computed for name in (*node.input, *node.output) if name}
    values = _values(model, wanted, np.zeros((1, *input_shape), np.float32))
    edges: dict[str, int] = {}
    total = 0
    for node in computed:
        if node.op_type in _PRODUCTS:
            total += _product(node, values, constant, edges)
        elif node.op_type in _ELEMENTWISE:
            total += int(np.prod(values[node.output[0]].shape))
    return Cost(sum(edges.values()), total)


def _product(
    node: onnx.NodeProto, values: Mapping[str, NDArray[Any]], constant: set[str], edges: dict[str, int]
) -> int:
    """Return the multiply-adds of a product, and enter its weights in ``edges``, by their hash."""
    left, right = (values[name] for name in node.input[:2])
    size = int(np.prod(values[node.output[0]].shape))
    if node.op_type == "Conv":
        each = int(np.prod(right.shape[1:]))
    else:
        transposed = next((a.i for a in node.attribute if a.name == "transA"), 0)
        each = left.shape[-2 if transposed else -1]
    density = 1.0
    for name, value in zip(node.input[:2], (left, right), strict=True):
        if name in constant:
            used = value[value != 0]
            density *= used.size / max(1, value.size)
            edges[hashlib.sha256(np.sort(used, axis=None).tobytes()).hexdigest()] = used.size
    return round(size * each * density)


def leading_to(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """Return the nodes that an output depends on, in order."""
    needed, chosen = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            chosen.append(node)
            needed.update(node.input)
    return chosen[::-1]


def _values(model: onnx.ModelProto, names: Iterable[str], x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return the tensors with these names for an input."""
    initializers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found: dict[str, NDArray[Any]] = {**initializers, ONNX_INPUT: x}
    asked = [name for name in names if name not in found]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in asked)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {**found, **dict(zip(asked, session.run(asked, {ONNX_INPUT: x}), strict=True))}
