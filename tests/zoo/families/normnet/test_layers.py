"""The layers of a normnet against literal versions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.families.normnet.config import LayerSettings
from zoo.families.normnet.layers import NormConvolution, NormLayer, ResidualNormLayer


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.sampled_from(["tanh", "sigmoid", "relu"]))
@settings(max_examples=20, deadline=None)
def test_a_norm_layer_computes_its_formula(batch: int, n: int, out: int, activation: Any) -> None:
    layer = NormLayer(n, out, LayerSettings(activation=activation, scale=10)).double()
    x = torch.randn(batch, n, dtype=torch.float64)
    expected = torch.empty(batch, out, dtype=torch.float64)
    for b in range(batch):
        for o in range(out):
            total = sum(float(x[b, i]) * math.tan(layer.weight[o, i].item()) for i in range(n)) / n
            value = {
                "tanh": math.tanh(total),
                "sigmoid": 1 / (1 + math.exp(-max(total, -700))),
                "relu": max(0.0, total),
            }
            expected[b, o] = 10 * value[activation]
    torch.testing.assert_close(layer(x), expected)


def test_a_residual_layer_computes_its_formula() -> None:
    layer = ResidualNormLayer(4, 3, LayerSettings(scale=2)).double()
    x, residual = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    expected = 2 * torch.tanh((x @ (0.1 * layer.weight.T.tan()) + 0.1 * residual) / 8)
    torch.testing.assert_close(layer(x, residual), expected)


def test_a_residual_layer_as_wide_as_its_input_uses_the_input_as_residual() -> None:
    layer = ResidualNormLayer(4, 4, LayerSettings())
    x = torch.randn(5, 4)
    assert torch.equal(layer(x), layer(x, x))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_a_norm_convolution_equals_the_norm_layer_on_every_window(dims: int, stride: int, padding: int) -> None:
    convolution = NormConvolution(dims, 2, 3, 3, LayerSettings(scale=4), stride, padding).double()
    layer = NormLayer(2 * 3**dims, 3, LayerSettings(scale=4)).double()
    layer.weight.data = convolution.weight.data.flatten(1)
    x = torch.randn(2, 2, *(6, 5, 4)[:dims], dtype=torch.float64)
    windows = F.pad(x, [padding] * 2 * dims)
    for axis in range(dims):
        windows = windows.unfold(2 + axis, 3, stride)  # [B, C, *space, *window]
    order = (0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims))
    expected = layer(windows.permute(order).flatten(1 + dims)).movedim(-1, 1)
    torch.testing.assert_close(convolution(x), expected)


def test_the_linear_control_differs_only_in_the_tangent() -> None:
    linear = NormLayer(7, 3, LayerSettings("linear")).double()
    norm = NormLayer(7, 3, LayerSettings("norm")).double()
    norm.weight.data = linear.weight.data.atan()
    x = torch.randn(4, 7, dtype=torch.float64)
    torch.testing.assert_close(norm(x), linear(x))


def test_the_plain_control_is_a_fully_connected_layer_with_a_bias() -> None:
    layer = NormLayer(7, 3, LayerSettings("plain", "relu", scale=2))
    x = torch.randn(4, 7)
    assert layer.bias is not None
    torch.testing.assert_close(layer(x), 2 * F.relu(F.linear(x, layer.weight, layer.bias)))


def test_initial_weights_follow_the_settings() -> None:
    torch.manual_seed(0)
    weight = NormLayer(300, 300, LayerSettings(sigma=0.5)).weight
    assert weight.std().item() == pytest.approx(0.5, rel=0.02)
    clamped = NormLayer(300, 300, LayerSettings(clamp=1.5)).weight
    assert clamped.abs().max() == 1.5
    assert (clamped.abs() == 1.5).float().mean().item() == pytest.approx(2 * 0.0668, rel=0.05)


def test_the_derivative_of_the_tangent_is_smallest_at_zero() -> None:
    """Therefore zero does not attract weights."""
    layer = NormLayer(1, 3, LayerSettings(activation="relu"))
    layer.weight.data = torch.tensor([[0.0], [0.5], [1.4]])
    layer(torch.ones(1, 1)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad[1:], 1 / layer.weight.data[1:].cos() ** 2)


def test_a_convolution_has_one_to_three_dimensions() -> None:
    with pytest.raises(ValueError, match="found 4 dimensions, expected 1, 2 or 3"):
        NormConvolution(4, 1, 1, 3, LayerSettings())
