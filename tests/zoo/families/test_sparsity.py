"""Sparse training: how many edges there are, which ones move, and what a resumed run continues with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.training import interrupted_after_saving, weights
from zoo.families.mlp.config import MlpConfig
from zoo.families.sparsity import SparseLearner, move_edges, remaining, shares
from zoo.families.sparsity_config import SparsityConfig
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingError, TrainingInterruptedError


def config(**options: Any) -> SparsityConfig:
    return SparsityConfig(**{"method": "gradual", "density": 0.1, "start": 10, "stop": 110, **options})


def recipe(method: str, *overrides: str) -> Recipe:
    layers = "global" if method == "gradual" else "erk"
    return load_recipe(
        "mlp-digits-pruned",
        [
            f"model.sparsity={{method: {method}, layers: {layers}, density: 0.1, stop: 20, every: 5}}",
            "model.hidden=[16]",
            "train.epochs=null",
            "train.steps=24",
            "train.checkpoint_every=8",
            *overrides,
        ],
    )


def test_gradual_pruning_follows_the_cubic_schedule() -> None:
    settings = config()
    assert [remaining(step, settings) for step in (0, 10, 110, 500)] == [1, 1, 0.1, 0.1]
    assert remaining(60, settings) == pytest.approx(0.1 + 0.9 * 0.5**3)


@pytest.mark.parametrize("layers", ["uniform", "erk"])
def test_the_shares_of_the_layers_add_up_and_fit(layers: str) -> None:
    sizes = [torch.zeros(256, 784), torch.zeros(128, 256), torch.zeros(10, 128)]
    found = shares(sizes, config(method="rigl", density=0.05, layers=layers))
    total = sum(weight.numel() for weight in sizes)
    assert 0.05 * total - 3 <= sum(found) <= 0.05 * total
    assert all(1 <= count <= weight.numel() for count, weight in zip(found, sizes, strict=True))
    densities = [count / weight.numel() for count, weight in zip(found, sizes, strict=True)]
    if layers == "erk":
        assert densities == sorted(densities)
    else:
        assert densities == pytest.approx([0.05] * 3, abs=1e-3)


def test_edges_move_from_the_smallest_weights_to_the_largest_gradients() -> None:
    weight = torch.tensor([[5.0, 0.1, 0.0], [0.0, -4.0, 0.0]])
    mask = weight != 0
    gradient = torch.tensor([[9.0, 9.0, 1.0], [3.0, 9.0, 2.0]])
    moved = move_edges(weight, mask, 0.3, gradient, torch.Generator())
    assert moved.tolist() == [[True, False, False], [True, True, False]]


def test_set_moves_as_many_edges_to_random_places() -> None:
    weight = torch.randn(30, 40)
    mask = torch.rand(30, 40) < 0.2
    moved = move_edges(weight, mask, 0.5, None, torch.Generator().manual_seed(1))
    assert moved.sum() == mask.sum()
    assert int((moved & ~mask).sum()) == round(0.5 * int(mask.sum()))


@pytest.mark.parametrize("method", ["gradual", "rigl", "set"])
def test_a_trained_network_has_the_edges_that_were_asked_for(method: str, tmp_path: Path) -> None:
    result = train(recipe(method), run_dir=tmp_path, device="cpu", progress=False)
    layers = [module for module in result.module.modules() if isinstance(module, nn.Linear)]
    edges = sum(int(layer.weight.count_nonzero()) for layer in layers)
    possible = sum(layer.weight.numel() for layer in layers)
    assert edges == result.findings["edges"]
    assert 0.09 * possible < edges <= 0.1 * possible + 1  # an edge from a pixel that is always 0 stays at 0
    assert sum(result.findings["edges_by_layer"].values()) == edges


@pytest.mark.parametrize("method", ["gradual", "rigl", "set"])
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(recipe(method), run_dir=tmp_path / "whole", device="cpu", progress=False)
    with interrupted_after_saving(monkeypatch), pytest.raises(TrainingInterruptedError):
        train(recipe(method), run_dir=tmp_path / "halves", device="cpu", progress=False)
    again = train(recipe(method), run_dir=tmp_path / "halves", device="cpu", progress=False, resume=True)
    assert torch.equal(weights(whole.module), weights(again.module))


def test_a_new_edge_starts_with_fresh_moments() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4))
    learner = SparseLearner(net, MlpConfig(sparsity=config(method="set", layers="uniform", start=0, stop=50, every=1)))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    learner.on_start(optimizer)
    for step in range(1, 6):
        optimizer.zero_grad()
        net(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()
        before = learner.masks["0"].clone()
        learner.on_step_end(step)
        new = learner.masks["0"] & ~before
        state = optimizer.state[net[0].weight]
        assert (net[0].weight[new] == 0).all()
        assert (state["exp_avg"][~learner.masks["0"] | new] == 0).all()


def test_an_average_of_the_weights_is_refused_for_a_sparse_network_alone(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"train\.ema: a running average of the weights does not fit family mlp"):
        train(recipe("set", "train.ema=0.9"), run_dir=tmp_path / "sparse", device="cpu", progress=False)
    dense = recipe("set", "train.ema=0.9", "model.sparsity=null", "train.steps=2")
    train(dense, run_dir=tmp_path / "dense", device="cpu", progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "rigl"}, "layers global compares weights of a dense network; rigl needs uniform or erk"),
        ({"start": 200}, "stop 110 should come after start 200"),
        ({"density": 0}, "greater than 0"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)
