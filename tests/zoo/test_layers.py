"""Each layer on its own: shapes, gradients, invariants, and use in ``nn.Sequential``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo.layers
from tests.support.nca import TEACHING, batch, build
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet
from zoo.layers import (
    Cell,
    CellBlock,
    CellNetwork,
    GridnetLayer,
    GrownClassifier,
    InCell,
    NormConv,
    NormLinear,
    OutCell,
    ResidualNormLinear,
    SparseLinear,
)

GRID = (4, 4, 2)


def composed_cells() -> CellNetwork:
    eye, middle = InCell(5, 6), Cell(4)
    middle.listen(eye)
    return CellNetwork([eye, middle, OutCell(3, 6).listen(eye, middle)], hidden=5)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "gridnet": (lambda: GridnetLayer(GRID, outer_steps=3), GRID, GRID),
    "gated gridnet": (lambda: GridnetLayer(GRID, outer_steps=2, gated=True, separate_params=True), GRID, GRID),
    "norm linear": (lambda: NormLinear(5, 3), (5,), (3,)),
    "residual norm linear": (lambda: ResidualNormLinear(5), (5,), (5,)),
    "norm convolution": (lambda: NormConv(2, 3, 3, padding=1), (2, 4, 4), (3, 4, 4)),
    "norm convolution 1-D": (lambda: NormConv(2, 3, 3, dims=1), (2, 6), (3, 4)),
    "cells": (lambda: CellBlock(5, 3, cells=4, core=6, hidden=5), (5,), (3,)),
    "composed cells": (composed_cells, (5,), (3,)),
    "sparse": (lambda: SparseLinear(5, 3, density=0.4), (5,), (3,)),
    "growing sparse": (lambda: SparseLinear(5, 3, density=0.2, max_density=0.8), (5,), (3,)),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...], tuple[int, ...]]:
    torch.manual_seed(0)
    make, inputs, outputs = LAYERS[request.param]
    return make(), inputs, outputs


def test_all_names_are_layers_or_the_cells_of_one() -> None:
    assert all(issubclass(getattr(zoo.layers, name), (nn.Module, Cell)) for name in zoo.layers.__all__)


def test_shapes_are_those_documented(layer: Any) -> None:
    module, inputs, outputs = layer
    for batch_size in (1, 3):
        assert module(torch.randn(batch_size, *inputs)).shape == (batch_size, *outputs)


def test_gradients_are_those_of_finite_differences(layer: Any) -> None:
    module, inputs, _ = layer
    module.double()
    x = torch.randn(2, *inputs, dtype=torch.float64, requires_grad=True)
    names, values = zip(*((n, p.detach() * 0.7) for n, p in module.named_parameters()), strict=True)

    def run(given: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (given,))

    assert torch.autograd.gradcheck(run, (x, *(v.clone().requires_grad_() for v in values)), atol=1e-5)


def test_a_layer_learns_inside_a_sequential(layer: Any) -> None:
    module, inputs, outputs = layer
    if isinstance(module, CellBlock):
        module = CellBlock(5, 3)  # the small one's units are silent
    net = nn.Sequential(module, nn.Flatten(), nn.Linear(torch.Size(outputs).numel(), 2))
    before = [parameter.detach().clone() for parameter in module.parameters()]
    x = torch.randn(32, *inputs)
    labels = (x.flatten(1)[:, 0] > 0).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    assert all(not torch.equal(p, old) for p, old in zip(module.parameters(), before, strict=True))


def test_copies_and_states_give_the_same_outputs(layer: Any) -> None:
    module, inputs, _ = layer
    x = torch.randn(3, *inputs)
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.data.zero_()
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(x), expected)
    assert "(" in repr(module)


def test_a_gridnet_layer_is_the_evolution_of_the_gridnet(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.data.task import Task

    net = Gridnet(GridnetConfig(grid=(4, 4, 4), block=4, outer_steps=3), Task((1, 4, 4), 3))
    layer = GridnetLayer((4, 4, 4), outer_steps=3)
    layer.load_state_dict({name: net.state_dict()[name] for name in layer.state_dict()})
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(net.read(layer(net.embed(x))), net(x))


@pytest.mark.parametrize(("grid", "block"), [((8, 8, 8), 8), ((28, 28, 8), 4), ((16, 16, 16), 8), ((5, 7, 3), 1)])
def test_the_default_block_divides_the_grid(grid: tuple[int, int, int], block: int) -> None:
    assert GridnetLayer(grid).config.block == block


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GridnetLayer((4, 4, 4), block=3), "block 3 must divide every axis"),
        (lambda: GridnetLayer((4, 4, 4), gated=True, normalize=True), "normalize is not defined for gated steps"),
        (lambda: GridnetLayer((4, 4, 4), activation="gelu"), "activation: Input should be"),  # type: ignore[arg-type]
        (lambda: CellBlock(4, 2, cells=2, in_cells=2), "in_cells 2 and out_cells 1 together exceed the 2 cells"),
        (lambda: CellBlock(4, 2, steps=1), "input_steps 1 must be at least 2"),
        (lambda: NormLinear(4, 2, clamp=1.6), "clamp: found 1.6"),
        (lambda: SparseLinear(4, 2, density=0.5, max_density=0.1), "density: found 0.5 of at most 0.1"),
    ],
)
def test_options_that_do_not_fit_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_wrong_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"x should be \[..., 4\], found \[2, 5\]"):
        CellBlock(4, 2)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"x should be \[B, 4\], found \[2, 5\]"):
        SparseLinear(4, 2)(torch.zeros(2, 5))


def test_layers_take_several_leading_axes() -> None:
    for layer in (CellBlock(4, 2), SparseLinear(4, 2, density=0.5), NormLinear(4, 2)):
        x = torch.randn(2, 3, 4)
        torch.testing.assert_close(layer(x), layer(x.view(6, 4)).view(2, 3, 2))


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 1.0])
def test_a_sparse_layer_equals_its_dense_matrix(density: float) -> None:
    layer = SparseLinear(40, 30, density=density)
    assert layer.connections == round(density * 1200)
    x = torch.randn(5, 40)
    torch.testing.assert_close(layer(x), F.linear(x, layer.dense(), layer.bias))


def test_growth_leaves_outputs_alone_and_new_connections_learn() -> None:
    torch.manual_seed(0)
    layer = SparseLinear(6, 4, density=0.25, max_density=0.5)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)  # created before the growth
    x = torch.randn(8, 6)
    before = layer(x)
    scores = torch.zeros(4, 6)
    missing = (layer.dense() == 0).nonzero()[:2]
    scores[missing[:, 0], missing[:, 1]] = 1.0
    assert layer.grow(2, scores) == 2
    assert torch.equal(layer(x), before)
    layer(x).square().sum().backward()
    optimizer.step()
    assert (layer.dense()[missing[:, 0], missing[:, 1]] != 0).all()
    assert layer.grow(100) == 4
    assert (layer.connections, layer.room) == (12, 0)
    assert layer.grow(1) == 0
    with pytest.raises(ValueError, match=r"scores: found \[2\], expected \[4, 6\]"):
        layer.grow(1, torch.zeros(2))


def test_a_score_of_minus_infinity_rules_a_connection_out() -> None:
    layer = SparseLinear(6, 3, density=0.5, max_density=1.0)
    scores = torch.full((3, 6), -torch.inf)
    free = (layer.dense() == 0).nonzero()[0]
    scores[tuple(free)] = 1.0
    assert layer.grow(5, scores) == 1
    assert layer.connections == 10
    layer(torch.randn(2, 6))  # no connection is there twice
    with pytest.raises(ValueError, match="scores: found NaN"):
        layer.grow(1, torch.full((3, 6), torch.nan))
    with pytest.raises(ValueError, match="connections: found -1"):
        layer.grow(-1)


def test_a_strange_structure_is_refused() -> None:
    state = SparseLinear(6, 4, density=0.25, max_density=0.5).state_dict()
    for name, value, message in (
        ("count", 0, "count: found 0 connections, allowed 1 to 12"),
        ("rows", 9, "connections outside"),
        ("columns", -1, "connections outside"),
    ):
        bad = {**state, name: torch.full_like(state[name], value)}
        with pytest.raises(ValueError, match=message):
            SparseLinear(6, 4, density=0.25, max_density=0.5).load_state_dict(bad)
    twice = {**state, "rows": torch.zeros_like(state["rows"]), "columns": torch.zeros_like(state["columns"])}
    with pytest.raises(ValueError, match="found a connection twice"):
        SparseLinear(6, 4, density=0.25, max_density=0.5).load_state_dict(twice)


def test_a_rule_grows_a_classifier_that_can_learn_on() -> None:
    nca = build(**TEACHING)
    inputs, labels = batch()
    grown = GrownClassifier(nca, inputs, labels)
    nca.grow(inputs, labels)
    torch.testing.assert_close(grown(inputs), nca(inputs))
    loss = F.cross_entropy(grown(inputs), labels)
    loss.backward()
    assert all(parameter.grad is not None for parameter in grown.parameters())
    with pytest.raises(ValueError, match=r"should be \[S, features\] and \[S\]"):
        GrownClassifier(nca, inputs, labels[:-1])
    with pytest.raises(ValueError, match="labels: found 0 to 2, allowed 0 to 1"):
        GrownClassifier(nca, inputs, labels, classes=2)
