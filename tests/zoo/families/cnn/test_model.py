"""The convolutional network: its ONNX graph, and the inputs that it refuses."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

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


def literal(net: Cnn, x: torch.Tensor) -> torch.Tensor:
    """The network as it reads on paper, with channels before pixels in memory."""
    for number, (convolution, norm) in enumerate(zip(net.convolutions, net.norms, strict=True), 1):
        x = norm(F.conv2d(x, convolution.weight, padding=1)).relu()
        if number % net.config.convolutions == 0:
            x = F.max_pool2d(x, 2)
    x = x.flatten(1)
    for number, layer in enumerate(net.layers, 1):
        x = layer(x) if number == len(net.layers) else layer(x).relu()
    return x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("convolutions", [1, 2])
def test_the_order_in_memory_changes_a_training_step_by_rounding_alone(channels: int, convolutions: int) -> None:
    task = Task((channels, 9, 8), 4)
    net = Cnn(CnnConfig(channels=(4, 5), convolutions=convolutions, hidden=(6,), dropout=0), task).double()
    other = copy.deepcopy(net)
    x, labels = torch.randn(9, *task.input_shape, dtype=torch.float64), torch.arange(9) % 4
    mine, wanted = net(x), literal(other, x)
    torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)
    F.cross_entropy(mine, labels).backward()
    F.cross_entropy(wanted, labels).backward()
    for (name, found), expected in zip(net.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-10, atol=1e-12, msg=name)
    for found, expected in zip(net.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_an_answer_has_the_bits_of_the_network_on_paper() -> None:
    net = Cnn(CnnConfig(channels=(4, 5), hidden=(6,)), TASK)
    net(torch.randn(9, 3, 9, 8))
    x = torch.randn(7, 3, 9, 8)
    assert torch.equal(net.eval()(x), literal(net, x))


def test_a_table_and_an_image_that_pools_to_nothing_are_refused() -> None:
    with pytest.raises(BuildError, match=r"takes images \[C, H, W\], found inputs of shape \[4\]; use an mlp"):
        Cnn(CnnConfig(), Task((4,), 3))
    with pytest.raises(BuildError, match=r"channels\.3 leaves nothing of an input of shape \[3, 9, 8\]"):
        Cnn(CnnConfig(channels=(2, 2, 2, 2)), TASK)


def test_the_last_layer_belongs_to_the_classes() -> None:
    assert ends(Cnn(CnnConfig(), TASK)).classes == {"layers.1.weight": 0, "layers.1.bias": 0}
