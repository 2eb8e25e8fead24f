"""The convolutional network: its ONNX graph, and the inputs that it refuses."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from zoo.data.task import Task
from zoo.families.cnn.config import CnnConfig
from zoo.families.cnn.model import Cnn, ends
from zoo.families.cnn.onnx import onnx_graph
from zoo.utils.errors import BuildError

TASK = Task((3, 9, 8), 4)


@pytest.mark.parametrize(("convolutions", "hidden"), [(1, ()), (2, (5,))])
def test_the_onnx_graph_computes_the_same_and_every_parameter_gets_a_gradient(
    convolutions: int, hidden: tuple[int, ...]
) -> None:
    net = Cnn(CnnConfig(channels=(4, 5), convolutions=convolutions, hidden=hidden, dropout=0.1), TASK)
    net(torch.randn(9, 3, 9, 8)).logsumexp(-1).sum().backward()  # also moves the running averages
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    x = torch.randn(4, 3, 9, 8)
    session = onnxruntime.InferenceSession(onnx_graph(net, TASK).SerializeToString())
    [found] = session.run(["logits"], {"input": x.numpy()})
    np.testing.assert_allclose(found, net(x).numpy(force=True), atol=1e-5)


def test_a_table_and_an_image_that_pools_to_nothing_are_refused() -> None:
    with pytest.raises(BuildError, match=r"takes images \[C, H, W\], found inputs of shape \[4\]; use an mlp"):
        Cnn(CnnConfig(), Task((4,), 3))
    with pytest.raises(BuildError, match=r"channels\.3 leaves nothing of an input of shape \[3, 9, 8\]"):
        Cnn(CnnConfig(channels=(2, 2, 2, 2)), TASK)


def test_the_last_layer_belongs_to_the_classes() -> None:
    assert ends(Cnn(CnnConfig(), TASK)).classes == {"layers.1.weight": 0, "layers.1.bias": 0}
