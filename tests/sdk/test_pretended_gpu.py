"""Models on the torch backend on a pretended CUDA device: the answers are those of the CPU, for every method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sdk
from tests.support.pretended_gpu import pretended_gpu
from zoo.artifacts.random_inputs import random_inputs
from zoo.layers import CellBlock, CellStream, GridnetLayer, GrowingNetwork, NormConv, NormLinear, SparseLinear

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::sdk.{name}") for name in ("InvertedInputWarning", "AmbiguousInputWarning")
]
TRIGGER = {"every": 1, "window": 2, "change": 0.01}
Arrays = list[NDArray[Any]]
X, Y = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3


def load(name: str, device: str) -> Any:
    return sdk.load(name, backend="torch", device=device)


def logits(name: str) -> Callable[[str], Arrays]:
    def run(device: str) -> Arrays:
        model = load(name, device)
        return [model.logits(random_inputs(model.input_spec, 2))]

    return run


def trace(name: str) -> Callable[[str], Arrays]:
    def run(device: str) -> Arrays:
        model = load(name, device)
        return [part for part in model.trace(random_inputs(model.input_spec, 2)) if isinstance(part, np.ndarray)]

    return run


def other_steps(device: str) -> Arrays:
    model = load("cellnet-digits", device)
    return [model.logits(random_inputs(model.input_spec, 2), steps=2)]


def cascade(device: str) -> Arrays:
    model = load("snapshots-digits", device)
    inputs = random_inputs(model.input_spec, 2)
    return [model.logits(inputs, mode=0), model.progressive(inputs).probabilities]


def online(device: str) -> Arrays:
    model = load("normnet-digits", device)
    learner = model.online()
    image = random_inputs(model.input_spec, 1)[0]
    return [np.array([learner.update(image, torch.zeros_like).error for _ in range(3)])]


def layer(make: Callable[[], nn.Module], *shape: int) -> Callable[[str], Arrays]:
    """Return the output and all gradients of a layer on a device."""

    def run(device: str) -> Arrays:
        torch.manual_seed(0)
        net, x = make().to(device), drawn(*shape).to(device).requires_grad_()
        out = net(x)
        out.sum().backward()
        return arrays(out, x.grad, *(p.grad for p in net.parameters()))

    return run


def stream(device: str) -> Arrays:
    torch.manual_seed(0)
    net = CellStream(4, 3, cells=4, core=6, hidden=5).to(device)
    optimizer, labels = torch.optim.SGD(net.parameters(), lr=0.1), torch.arange(3).to(device)
    return arrays(*(net.learn(drawn(3, 4).to(device), labels, optimizer).logits for _ in range(3)))


def growing(device: str) -> Arrays:
    torch.manual_seed(0)
    net = GrowingNetwork(4, (8, 6), 3, density=0.2, max_density=1, trigger=TRIGGER).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    batches = [(drawn(20, 4).to(device), (torch.arange(20) % 3).to(device)) for _ in range(4)]
    reports = [net.train_epoch(batches, optimizer) for _ in range(3)]
    net.finish(batches)
    return [
        np.array([(report.loss, report.connections) for report in reports]),
        *arrays(net.eval()(drawn(5, 4).to(device))),
    ]


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def arrays(*tensors: Tensor | None) -> Arrays:
    return [tensor.detach().cpu().numpy() for tensor in tensors if tensor is not None]


METHODS: dict[str, Callable[[str], Arrays]] = {
    "gridnet": logits("gridnet-digits"),
    "gridnet's trace": trace("gridnet-digits"),
    "cellnet": logits("cellnet-digits"),
    "cellnet's steps": other_steps,
    "cellnet's trace": trace("cellnet-digits"),
    "normnet": logits("normnet-digits"),
    "normnet's trace": trace("normnet-digits"),
    "normnet online": online,
    "nca": logits("nca-iris"),
    "nca's trace": trace("nca-iris"),
    "nca evolves": lambda device: [load("nca-learner", device).evolve(X, Y).predict_proba(X)],
    "snapshots": logits("snapshots-digits"),
    "snapshots' trace": trace("snapshots-digits"),
    "snapshots' cascade": cascade,
    "cnn": logits("cnn-digits"),
    "GridnetLayer": layer(lambda: GridnetLayer((2, 2, 2), outer_steps=2), 3, 2, 2, 2),
    "CellBlock": layer(lambda: CellBlock(4, 3, core=6, hidden=5), 3, 4),
    "CellStream": stream,
    "NormLinear": layer(lambda: NormLinear(4, 3), 3, 4),
    "NormConv": layer(lambda: NormConv(1, 2, 3), 3, 1, 5, 5),
    "SparseLinear": layer(lambda: SparseLinear(4, 8, density=0.5), 3, 4),
    "GrowingNetwork": growing,
}


@pytest.mark.parametrize("name", METHODS)
def test_the_answers_on_the_device_are_those_of_the_cpu(name: str) -> None:
    wanted = METHODS[name]("cpu")
    with pretended_gpu():
        found = METHODS[name]("cuda")
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"GrowingNetwork"}))  # whose growth may turn on a rounding
def test_the_answers_on_a_gpu_are_near_those_of_the_cpu(name: str) -> None:
    for a, b in zip(METHODS[name]("cuda"), METHODS[name]("cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=0.05)  # convolutions are in TF32
