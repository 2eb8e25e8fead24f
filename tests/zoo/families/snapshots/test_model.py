"""The network: edges in slots, edges that skip layers or lead back, and checks of a loaded state."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.snapshots import four_snapshots, full, lay
from zoo.data.task import Task
from zoo.families.snapshots import model
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.model import SnapshotNet
from zoo.utils.errors import StaleEnsembleWarning

Build = Callable[..., SnapshotNet]


def dense(net: SnapshotNet) -> Tensor:
    """Return all weights as ``[target, source]``."""
    source, target, weight = net.laid()
    matrix = torch.zeros(net.layout.units, net.layout.units)
    matrix[target, source] = weight
    return matrix


def literal(net: SnapshotNet, x: Tensor) -> Tensor:
    """The specification, layer by layer and sweep by sweep: forward edges read this sweep, others the previous one."""
    weights, layout = dense(net), net.layout
    act = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}[net.config.activation]
    previous = torch.zeros(len(x), layout.units)
    logits = torch.zeros(0)
    for sweep in range(net.config.sweeps):
        state = torch.zeros(len(x), layout.units)
        state[:, : layout.inputs] = x.flatten(1)
        for number in range(1, layout.output + 1):
            units = layout.layer(number)
            received = state @ weights[units].T + net.bias[units.start - layout.inputs : units.stop - layout.inputs]
            if sweep:
                received = received + previous[:, units.stop :] @ weights[units, units.stop :].T
            state[:, units] = act(received)
            logits = received
        previous = state
    return logits


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("sweeps", [2, 3])
def test_the_network_computes_its_specification(build: Build, activation: str, sweeps: int) -> None:
    net = full(build, activation=activation, sweeps=sweeps)
    assert net.wiring(int(net.edges)).recurrent
    x = torch.randn(7, 1, 2, 3)
    torch.testing.assert_close(net(x), literal(net, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("sweeps", [2, 3])
def test_one_kernel_gives_the_logits_and_gradients_of_all_layers(
    build: Build, activation: str, sweeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = full(build, activation=activation, sweeps=sweeps), torch.randn(7, 1, 2, 3, requires_grad=True)
    wanted = net.activations(x)[-1]
    monkeypatch.setattr(model, "is_faster", lambda *_: True)
    monkeypatch.setattr(net, "activations", None)
    leaves = [x, net.weight, net.bias]
    torch.testing.assert_close(net(x), wanted, rtol=1e-4, atol=1e-5)
    for found, expected in zip(
        torch.autograd.grad(net(x).square().sum(), leaves),
        torch.autograd.grad(wanted.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_new_edges_are_in_the_one_kernel(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "is_faster", lambda *_: True)
    net, x = build(), torch.randn(7, 1, 2, 3)
    before = net(x)
    lay(net, (0, 17, 1.0))
    found = net(x)
    assert not torch.equal(found, before)
    torch.testing.assert_close(found, net.activations(x)[-1])


def test_the_one_kernel_is_for_training(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "is_faster", lambda *_: True)
    monkeypatch.setattr(model, "sparse_network", lambda *_: torch.zeros(7, 4))
    net, x = build(), torch.randn(7, 1, 2, 3)
    assert not net(x).any()
    with torch.no_grad():
        assert net(x).any()


def test_without_edges_back_one_sweep_is_enough(build: Build) -> None:
    net = build(sweeps=5)
    assert not net.wiring(int(net.edges)).recurrent
    x = torch.randn(7, 1, 2, 3)
    torch.testing.assert_close(net(x), literal(net, x), rtol=1e-4, atol=1e-5)


def test_an_edge_can_skip_layers(build: Build) -> None:
    net = build()
    with torch.no_grad():
        net.weight.zero_()
    lay(net, (2, 16, 3.0))  # from the third input to the second class
    x = torch.randn(4, 1, 2, 3)
    assert torch.equal(net(x)[:, 1], 3 * x.flatten(1)[:, 2])


def test_the_initial_network_is_the_smallest_that_reaches_a_class(build: Build) -> None:
    net = build()
    assert int(net.edges) == 3
    x = torch.randn(50, 1, 2, 3)
    assert (net(x).std(0) > 0).sum() == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.Adadelta(p, lr=1.0, weight_decay=0.1),
    ],
)
def test_no_optimizer_moves_an_empty_slot_and_new_edges_start_with_fresh_moments(
    build: Build, make: Callable[[Any], torch.optim.Optimizer]
) -> None:
    net = build()
    optimizer = make(net.parameters())

    def train() -> None:
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(8, 1, 2, 3)).square().sum().backward()
            optimizer.step()

    train()
    assert not net.weight[3:].any()
    lay(net, (1, 7, 0.5), (2, 15, 0.5))
    moments = [value for value in optimizer.state[net.weight].values() if torch.is_tensor(value) and value.ndim]
    assert moments
    for moment in moments:
        assert moment[:3].any()
        assert not moment[3:].any()
    train()
    assert (net.weight[4] != 0.5).all()
    assert not net.weight[5:].any()


def test_edges_beyond_the_density_are_refused(build: Build) -> None:
    net = build(max_density=0.1)
    assert len(net.weight) == 6
    with pytest.raises(ValueError, match="4 new edges do not fit: 3 of 6 slots are taken"):
        lay(net, (0, 15, 1.0), (1, 15, 1.0), (2, 15, 1.0), (3, 15, 1.0))


def test_a_density_without_room_for_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_density 0\.02 allows 1 edges, the start needs 3"):
        SnapshotNet(SnapshotsConfig(hidden=(5, 4), max_density=0.02), Task((6,), 4))


@torch.no_grad()
def test_snapshots_compute_the_same_as_the_network_did(build: Build) -> None:
    net = build().eval()
    x = torch.randn(5, 1, 2, 3)
    before = net(x)
    first = net.freeze(1, 0, 0.4)
    lay(net, (1, 7, 0.5), (2, 15, 0.5))
    after = net(x)
    net.snapshots.replace([first, net.freeze(2, 1, 0.6)])
    assert torch.equal(net.member(0, x), before)
    assert torch.equal(net.member(1, x), after)
    assert torch.equal(net.output("snapshot_0", x), before)
    net.set_ensemble(torch.tensor([0.25, 0.75]), 0.9)
    mixed = 0.25 * before.softmax(-1) + 0.75 * after.softmax(-1)
    torch.testing.assert_close(net(x).exp(), mixed)
    assert torch.equal(net.train()(x), after)


def test_a_network_with_anothers_state_computes_the_same(build: Build) -> None:
    net, other = full(build), build(routing={"reciprocal": 0.2})
    other(torch.randn(1, 1, 2, 3))
    other.load_state_dict(net.state_dict())
    x = torch.randn(5, 1, 2, 3)
    assert torch.equal(net(x), other(x))


def _spoil(name: str, index: Any, value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        state[name][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_spoil("edges", (), 0), "edges: found 0, allowed 1 to 66"),
        (_spoil("edges", (), 71), "edges: found 71"),
        (_spoil("edges", (), -1), "edges: found -1"),
        (_spoil("source", 0, -1), "source, target: found units outside 0 to 18"),
        (_spoil("source", 0, 19), "source, target: found units outside 0 to 18"),
        (_spoil("target", 0, 2), "or edges into the input"),
        (_spoil("target", 0, 2**31 - 1), "source, target: found units outside"),
        (_spoil("source", slice(0, 2), 1), "source, target: found an edge twice"),
        (
            _spoil("snapshots.facts", (0, 0), 4),
            r"snapshots.facts: found \[4, 1, 0\] in row 0 of 2, the network has 3 edges",
        ),
        (_spoil("snapshots.facts", (0, 2), 9), r"snapshots.facts: found .* in row 0"),
        (_spoil("snapshots.facts", (0, 0), 0), r"snapshots.facts: found .* in row 0"),
        (_spoil("snapshots.facts", (5, 1), 3), r"snapshots.facts: found .* in row 5"),
        (_spoil("mixture", 1, -0.5), "mixture: found negative weights"),
        (_spoil("mixture", 2, 0.5), "weights of snapshots that do not exist"),
    ],
)
def test_a_state_that_is_not_a_network_is_refused(
    build: Build, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    net = build()
    first = net.freeze(1, 0, 0.4)
    with torch.no_grad():
        net.weight[:3] += 1
    net.snapshots.replace([first, net.freeze(2, 1, 0.6)])
    net.set_ensemble(torch.tensor([0.5, 0.5]), 0.9)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    if "twice" in message:
        state["target"][:2] = 7
    change(state)
    with pytest.raises(ValueError, match=message):
        build().load_state_dict(state)


def test_an_edge_within_a_layer_is_refused(build: Build) -> None:
    state = build().state_dict()
    state["source"][0], state["target"][0] = 7, 8
    with pytest.raises(ValueError, match="an edge within a layer"):
        build().load_state_dict(state)


def test_training_a_network_that_answers_by_stored_snapshots_warns() -> None:
    net, _ = four_snapshots()
    x = torch.randn(2, 1, 2, 3)
    with pytest.warns(StaleEnsembleWarning, match=r"call clear_ensemble\(\) first"):
        net.train()(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():
            net(x)
        net.eval()(x)
        net.clear_ensemble()
        trained = net.train()(x)
        assert torch.equal(net.eval()(x), trained)
