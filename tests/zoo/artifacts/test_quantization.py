"""Graphs in fp16 and int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tests.support.artifacts import SPEC
from tests.support.onnx_models import LABELS, logits_of, make, run
from zoo.artifacts.quantization import halve_weights, quantize_products
from zoo.artifacts.random_inputs import random_inputs
from zoo.data.task import Task
from zoo.families.gridnet.onnx import onnx_graph
from zoo.families.onnx_builder import GraphBuilder
from zoo.utils.errors import ExportError


def _inputs(count: int) -> np.ndarray:
    return SPEC.prepare(random_inputs(SPEC, count))[0]


@pytest.mark.parametrize("gated", [False, True])
def test_halved_weights_change_the_logits_by_their_rounding_only(gated: bool) -> None:
    module, _ = make(gated=gated)
    full = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    halved = halve_weights(full)
    onnx.checker.check_model(halved, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in halved.graph.initializer}
    assert types["weight.fp16"] == TensorProto.FLOAT16
    assert "weight" not in types
    rounded, _ = make(gated=gated)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.numel() >= 16:
                parameter.copy_(parameter.half().float())
    found, inputs = run(halved, _inputs(5)), _inputs(5)
    np.testing.assert_allclose(found, logits_of(rounded, inputs), atol=2e-5)
    assert np.abs(found - logits_of(module, inputs)).max() > 1e-5  # the weights did change


def test_a_weight_beyond_fp16_is_refused_by_name() -> None:
    module, _ = make()
    with torch.no_grad():
        module.readout.weight[0, 0] = 1e6
    with pytest.raises(ExportError, match=r"weight readout.weight: found 1e\+06, fp16 allows 65504 at most"):
        halve_weights(onnx_graph(module, Task(SPEC.shape, len(LABELS))))


def test_products_run_in_int8_also_where_the_graph_computes_their_weights() -> None:
    module, _ = make()
    full = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    before = full.SerializeToString()
    quantized = quantize_products(full, _inputs(40))
    assert full.SerializeToString() == before
    onnx.checker.check_model(quantized, full_check=True)
    makers = {output: node for node in quantized.graph.node for output in node.output}
    products = [node for node in quantized.graph.node if node.op_type == "MatMul"]
    assert products
    for node in products:
        assert [makers[name].op_type for name in node.input] == ["DequantizeLinear"] * 2
    assert all(
        numpy_helper.to_array(tensor).size < 16
        for tensor in quantized.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    )
    inputs = _inputs(40)
    found, expected = run(quantized, inputs), logits_of(module, inputs)
    assert 1e-5 < np.abs(found - expected).max() < 0.1 * np.ptp(expected)


def test_a_graph_without_products_is_refused() -> None:
    g = GraphBuilder()
    model = g.model("flat", g.op("Flatten", "input"), (1, 1, 3), 3)
    with pytest.raises(ExportError, match=r"int8: found no Conv, Gemm, MatMul in the graph to quantize; use fp16"):
        quantize_products(model, np.zeros((4, 1, 1, 3), np.float32))
