"""The gridnet classifier around the kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from zoo.data.task import Task
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet
from zoo.families.registry import family_names, get_family
from zoo.kernels.gridnet import reference as reference

TASK = Task((1, 4, 4), 3)


def build(task: Task = TASK, **options: Any) -> Gridnet:
    torch.manual_seed(0)
    return Gridnet(GridnetConfig(**{"grid": (6, 6, 4), "block": 2, "outer_steps": 4, **options}), task)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gated": True},
        {"normalize": True, "inner_steps": 2},
        {"outer_residual": True},
        {"separate_params": True},
        {"separate_params": True, "gated": True, "outer_residual": True, "recompute": 3},
        {"output_layers": 4},
        {"grid": (5, 7, 3), "block": 1, "activation": "leaky_relu"},
        {"patch": {"size": 2, "channels": 3}},
    ],
    ids=str,
)
def test_every_variant_gives_finite_logits_and_gradients_for_every_parameter(options: dict[str, Any]) -> None:
    module = build(**options)
    logits = module(torch.randn(5, 1, 4, 4))
    assert logits.shape == (5, 3)
    logits.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert module.grid_init.grad is not None
    assert module.weight.grad is not None
    assert module.weight.grad.any()


def test_the_evolution_is_the_specified_one() -> None:
    module = build(separate_params=True).double()
    grid = torch.randn(3, 6, 6, 4, dtype=torch.float64)
    expected = grid
    for t in range(4):
        step = reference.gridnet_step(
            module.weight[t], module.bias[t], module.residual_scale[t], expected, 1, 2, 1e-5, False, "silu"
        )
        expected = module.norm(step)
    torch.testing.assert_close(module.evolve(grid), expected)


def test_the_image_lies_centred_on_the_first_face() -> None:
    module = build()
    image = torch.full((1, 1, 4, 4), 7.0)
    grid = module.embed(image)
    assert (grid[0, 1:5, 1:5, 0] == 7).all()
    untouched = torch.ones(6, 6, 4, dtype=torch.bool)
    untouched[1:5, 1:5, 0] = False
    assert torch.equal(grid[0][untouched], module.grid_init[untouched])


def test_a_grid_too_shallow_in_time_cannot_see_the_image() -> None:
    """Information moves one cell per step: K - 1 steps reach the last face, K - 2 do not."""
    images = torch.randn(2, 1, 4, 4)
    blind, seeing = build(outer_steps=2), build(outer_steps=3)
    assert not torch.allclose(*seeing(images), atol=1e-6)
    # LayerNorm is over the whole grid and carries two numbers across at once, so compare without it.
    step = reference.gridnet_step
    grid = blind.embed(images)
    for _ in range(2):
        grid = step(blind.weight[0], blind.bias[0], blind.residual_scale[0], grid, 1, 2, 1e-5, False, "silu")
    assert torch.equal(grid[0, ..., -1], grid[1, ..., -1])


def test_initialisation_follows_the_specification() -> None:
    module = build(grid=(16, 16, 16), init_scale=2.0, residual_scale=0.5)
    assert module.weight.std().item() == pytest.approx(2 / 27**0.5, rel=0.02)
    assert not module.bias.any()
    assert (module.residual_scale == 0.5).all()
    gated = build(gated=True)
    assert (gated.bias[:, 1] == 2).all()
    assert not gated.bias[:, 0].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 4}, r"block 4 must divide every axis of the grid \[6, 6, 4\]"),
        ({"gated": True, "normalize": True}, "normalize is not defined for gated steps"),
        ({"output_layers": 5}, "output_layers 5 exceeds the grid's depth K = 4"),
        ({"activation": "gelu"}, "silu"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task((4,), 3), {}, r"gridnet takes images \[C, H, W\], found inputs of shape \[4\]"),
        (Task((1, 8, 4), 3), {}, "an image of 1x8x4 .* does not fit the grid"),
        (Task((5, 4, 4), 3), {}, "does not fit the grid"),
        (Task((3, 5, 4), 3), {"patch": {"size": 2, "channels": 4}}, "patch size 2 must divide the image size 5x4"),
    ],
)
def test_data_that_does_not_fit_is_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, **options)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    assert "gridnet" in family_names()
    with pytest.raises(ValueError, match=r"unknown family 'gridnett'; known families: .*gridnet"):
        get_family("gridnett")
