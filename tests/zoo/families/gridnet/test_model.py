"""The gridnet classifier: embedding, evolution and readout."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.gridnet import build
from zoo.data.task import Task
from zoo.kernels.gridnet import reference

STEP: dict[str, Any] = {"inner_steps": 1, "block": 2, "eps": 1e-5, "normalize": False, "activation": "silu"}


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


def test_the_evolution_equals_the_reference_step_by_step() -> None:
    module = build(separate_params=True).double()
    grid = torch.randn(3, 6, 6, 4, dtype=torch.float64)
    expected = grid
    for t in range(4):
        step = reference.gridnet_step(module.weight[t], module.bias[t], module.residual_scale[t], expected, **STEP)
        expected = module.norm(step)
    torch.testing.assert_close(module.evolve(grid), expected)


@pytest.mark.parametrize(
    "options", [{}, {"gated": True}, {"separate_params": True}, {"outer_residual": True, "inner_steps": 2}], ids=str
)
def test_outer_steps_one_by_one_equal_the_whole_evolution(options: dict[str, Any]) -> None:
    module = build(outer_steps=3, **options)
    start = grid = module.embed(torch.randn(4, 1, 4, 4))
    for number in range(3):
        grid = module.outer_step(grid, number)
    torch.testing.assert_close(grid, module.evolve(start))


def test_only_shared_steps_continue_beyond_the_trained_ones() -> None:
    shared, separate = build(outer_steps=3), build(outer_steps=3, separate_params=True)
    grid = torch.randn(1, 6, 6, 4)
    assert torch.equal(shared.outer_step(grid, 9), shared.outer_step(grid, 0))
    with pytest.raises(IndexError, match="outer step 3 has no parameters; this module has those of steps 0 to 2"):
        separate.outer_step(grid, 3)


def test_the_image_is_centred_on_the_first_face() -> None:
    module = build()
    image = torch.full((1, 1, 4, 4), 7.0)
    grid = module.embed(image)
    assert (grid[0, 1:5, 1:5, 0] == 7).all()
    untouched = torch.ones(6, 6, 4, dtype=torch.bool)
    untouched[1:5, 1:5, 0] = False
    assert torch.equal(grid[0][untouched], module.grid_init[untouched])


def test_too_few_steps_do_not_carry_the_image_to_the_last_face() -> None:
    """Information travels one cell per step: K - 1 steps reach the last face, K - 2 do not."""
    images = torch.randn(2, 1, 4, 4)
    blind, seeing = build(outer_steps=2), build(outer_steps=3)
    assert not torch.allclose(*seeing(images), atol=1e-6)
    # LayerNorm spreads two numbers over the whole grid at once, so compare without it.
    grid = blind.embed(images)
    for _ in range(2):
        grid = reference.gridnet_step(blind.weight[0], blind.bias[0], blind.residual_scale[0], grid, **STEP)
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
    ("task", "options", "message"),
    [
        (Task((4,), 3), {}, r"gridnet takes images \[C, H, W\], found inputs of shape \[4\]"),
        (Task((1, 8, 4), 3), {}, "an image of 1x8x4 .* does not fit the grid"),
        (Task((5, 4, 4), 3), {}, "does not fit the grid"),
        (Task((3, 5, 4), 3), {"patch": {"size": 2, "channels": 4}}, "patch size 2 must divide the image size 5x4"),
    ],
)
def test_inputs_that_do_not_fit_the_grid_are_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, **options)
