"""The multilayer perceptron equals its formula, and its ONNX graph equals it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from zoo.data.task import Task
from zoo.families.mlp.config import MlpConfig
from zoo.families.mlp.model import Mlp, ends
from zoo.families.mlp.onnx import onnx_graph

TASK = Task((1, 4, 4), 3)


def test_the_logits_are_those_of_the_formula() -> None:
    net = Mlp(MlpConfig(hidden=(5,), activation="tanh"), TASK).double().eval()
    x = torch.randn(7, 1, 4, 4, dtype=torch.float64)
    (w, b), (v, c) = ((layer.weight.numpy(force=True), layer.bias.numpy(force=True)) for layer in net.layers)
    expected = np.tanh(x.reshape(7, 16).numpy() @ w.T + b) @ v.T + c
    np.testing.assert_allclose(net(x).numpy(force=True), expected, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_the_onnx_graph_computes_the_same_and_every_parameter_gets_a_gradient(
    hidden: tuple[int, ...], activation: str
) -> None:
    net = Mlp(MlpConfig(hidden=hidden, activation=activation, dropout=0.1), TASK)
    net(torch.randn(9, 1, 4, 4)).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    x = torch.randn(4, 1, 4, 4)
    session = onnxruntime.InferenceSession(onnx_graph(net, TASK).SerializeToString())
    [found] = session.run(["logits"], {"input": x.numpy()})
    np.testing.assert_allclose(found, net(x).numpy(force=True), atol=1e-5)


def test_the_last_layer_belongs_to_the_classes() -> None:
    found = ends(Mlp(MlpConfig(hidden=(4,)), TASK))
    assert found.inputs == ("layers.0.weight",)
    assert found.classes == {"layers.1.weight": 0, "layers.1.bias": 0}
