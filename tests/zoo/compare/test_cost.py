"""Edges and multiply-adds, against sums written out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from sdk.catalog import bundled_models
from zoo.compare.cost import count_cost
from zoo.data.task import Task
from zoo.families.cnn.config import CnnConfig
from zoo.families.cnn.model import Cnn
from zoo.families.cnn.onnx import onnx_graph as cnn_graph
from zoo.families.mlp.config import MlpConfig
from zoo.families.mlp.model import Mlp
from zoo.families.mlp.onnx import onnx_graph as mlp_graph
from zoo.families.onnx_builder import GraphBuilder


def test_a_dense_layer_costs_its_weights_and_zeros_cost_nothing() -> None:
    net = Mlp(MlpConfig(hidden=(7,)), Task((1, 4, 4), 3))
    task = Task((1, 4, 4), 3)
    assert count_cost(mlp_graph(net, task), (1, 4, 4)).edges == 16 * 7 + 7 * 3
    with torch.no_grad():
        net.layers[0].weight[2:] = 0  # type: ignore[union-attr, index]
    cost = count_cost(mlp_graph(net, task), (1, 4, 4))
    assert cost.edges == cost.multiply_adds == 16 * 2 + 7 * 3


def test_a_convolution_costs_its_weights_at_every_position() -> None:
    task = Task((3, 8, 6), 2)
    net = Cnn(CnnConfig(channels=(4, 5), hidden=()), task).eval()
    cost = count_cost(cnn_graph(net, task), (3, 8, 6))
    assert cost.edges == 4 * 27 + 5 * 36 + 2 * 5 * 2 * 1
    assert cost.multiply_adds == 8 * 6 * 4 * 27 + 4 * 3 * 5 * 36 + 2 * 5 * 2 * 1


def test_a_weight_that_is_used_twice_is_one_edge_and_products_of_values_are_counted() -> None:
    g = GraphBuilder()
    weight = g.weight("w", torch.randn(4, 4))
    h = g.op("MatMul", g.op("MatMul", "input", weight), weight)
    h = g.op("Mul", h, g.op("MatMul", h, g.op("Tan", g.weight("v", torch.ones(4, 4)))))
    cost = count_cost(g.model("twice", h, (4,), 4), (4,))
    assert cost.edges == 16 + 16
    assert cost.multiply_adds == 16 + 16 + 16 + 4


@pytest.mark.parametrize("name", ["normnet-digits", "snapshots-digits", "nca-iris-deep"])
def test_a_shipped_model_has_the_edges_of_its_arrays(name: str) -> None:
    """All weights of these graphs are initializers: matrices, or the values that fill them."""
    folder = Path(bundled_models()[name])
    model = onnx.load(folder / "model.onnx")
    shape = tuple(int(d.dim_value) for d in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    if name == "snapshots-digits":
        weighted = {node.input[0] for node in model.graph.node if node.op_type == "LogSoftmax"}
        sources = {node.name: node for node in model.graph.node}
        expected = 0
        pending = list(weighted)
        while pending:  # every edge of a weighted snapshot is one value that is scattered into a matrix
            node = sources.get(pending.pop())
            if node is None:
                continue
            if node.op_type == "ScatterElements":
                expected += int(np.count_nonzero(arrays[node.input[2]]))
            pending += [name for name in node.input if name not in pending]
    else:
        expected = sum(
            np.count_nonzero(a) for n, a in arrays.items() if a.dtype == np.float32 and a.ndim == 2 and min(a.shape) > 1
        )
    assert count_cost(model, shape).edges == expected
