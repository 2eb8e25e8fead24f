"""The layers of a normnet: weights enter as ``tan(W)``, sums are divided by the fan-in, and no layer has a bias.

A layer computes ``y = scale * act(x tan(W) / n)``. It can be fully connected, residual or a convolution. Two controls
stand beside it: ``W`` for ``tan(W)``, and plain layers with a bias and neither tangent nor division. Source: the public
brains repository (earlier Norm_Net), where the convolution is on the to-do list.

A layer keeps its own bound, so that it can be trained in any loop by any optimizer: a forward pass never computes with
a weight beyond the clamp, and neither a state_dict nor a loaded state holds one. In training mode the pass also moves
the stored weights back to the bound, as projected gradient descent does. Between an optimizer's step and the next
forward pass, the stored weights alone may lie outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.normnet.bound import apply_bound, can_write
from zoo.families.normnet.config import Activation, LayerSettings

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}
_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Layer(nn.Module):
    """Base of all layers: a weight ``[out, *fan_in]``, the divisor of its sums, and the activation."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, shape: tuple[int, ...], settings: LayerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.fan_in = math.prod(shape[1:])
        if settings.kind == "plain":
            bound = self.fan_in**-0.5
            self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
            self.bias = nn.Parameter(torch.empty(shape[0]).uniform_(-bound, bound))
        else:
            self.weight = nn.Parameter(settings.sigma * torch.randn(shape))
            self.bias = None
        self.clamp_()
        self.register_state_dict_pre_hook(_clamp)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_clamp)  # type: ignore[no-untyped-call]

    @property
    def bound(self) -> float | None:
        """Largest ``|W|`` that the layer computes with; None if it has no bound."""
        return self.settings.clamp if self.settings.kind == "norm" else None

    @property
    def divisor(self) -> int:
        """The fan-in, by which weighted sums are divided; 1 in plain layers."""
        return 1 if self.settings.kind == "plain" else self.fan_in

    def strengths(self) -> Tensor:
        """Return the factors of the inputs before the division: ``tan(W)``, or ``W`` in the controls."""
        if self.settings.kind != "norm":
            return self.weight
        if self.bound is None:
            return torch.tan(self.weight)
        if self.training and can_write():
            self.clamp_()
            return torch.tan(self.weight)
        return torch.tan(apply_bound(self.weight, self.bound))

    def activate(self, sums: Tensor) -> Tensor:
        """Apply the activation, then the scale."""
        return self.settings.scale * _ACTIVATIONS[self.settings.activation](sums)

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape[:2]
        s = self.settings
        return f"{inputs}, {outputs}, {s.kind}, {s.activation}, scale={s.scale:g}, clamp={self.bound}"

    def clamp_(self) -> None:
        """Clamp the stored weights to the bound, if the layer has one; forward and state_dict do the same."""
        if self.bound is not None:
            # .data: autograd does not count the write, so a loss that has already read the weights can go backward.
            self.weight.data.clamp_(-self.bound, self.bound)


class NormLayer(Layer):
    """``scale * act(x tan(W) / n)``: ``[..., n] -> [..., out]``."""

    def __init__(self, inputs: int, outputs: int, settings: LayerSettings) -> None:
        super().__init__((outputs, inputs), settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(F.linear(x, self.strengths(), self.bias) / self.divisor)


class ResidualNormLayer(Layer):
    """``scale * act((x (0.1 tan W) + 0.1 r) / (2 n))``: ``[..., n]`` and the residual ``[..., out] -> [..., out]``.

    Without a residual, ``x`` is its own residual, which needs n = out.
    """

    def __init__(self, inputs: int, outputs: int, settings: LayerSettings) -> None:
        if settings.kind == "plain":
            raise ValueError("a residual layer: found kind plain, expected norm or linear")
        super().__init__((outputs, inputs), settings)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        sums = F.linear(x, 0.1 * self.strengths()) + 0.1 * (x if residual is None else residual)
        return self.activate(sums / (2 * self.divisor))


class NormConvolution(Layer):
    """The norm layer on windows of ``size^d``, d = 1 to 3: ``[B, C, *space] -> [B, out, *space']``, n = C size^d."""

    def __init__(
        self,
        dims: int,
        inputs: int,
        outputs: int,
        size: int,
        settings: LayerSettings,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        if dims not in _CONVOLUTIONS:
            raise ValueError(f"a convolution: found {dims} dimensions, expected 1, 2 or 3")
        super().__init__((outputs, inputs, *[size] * dims), settings)
        self.dims, self.stride, self.padding = dims, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        sums = _CONVOLUTIONS[self.dims](x, self.strengths(), self.bias, self.stride, self.padding)
        return self.activate(sums / self.divisor)


class NormLinear(NormLayer):
    """A fully connected norm layer with named options: ``[..., in_features] -> [..., out_features]``.

    Computes ``scale * act(x tan(W) / in_features)``, without a bias. Weights start as N(0, sigma^2) and stay within
    ``clamp``, a bound below pi/2; None: no bound, and weights cross the poles of the tangent. Raises ValueError for an
    unknown activation or another bound.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Activation = "tanh",
        scale: float = 10.0,
        sigma: float = 1.0,
        clamp: float | None = 1.5,
    ) -> None:
        super().__init__(in_features, out_features, LayerSettings("norm", activation, scale, sigma, clamp))


class ResidualNormLinear(ResidualNormLayer):
    """A residual norm layer with named options: ``[..., features] -> [..., features]``; see :class:`NormLinear`."""

    def __init__(
        self,
        features: int,
        *,
        activation: Activation = "tanh",
        scale: float = 10.0,
        sigma: float = 1.0,
        clamp: float | None = 1.5,
    ) -> None:
        super().__init__(features, features, LayerSettings("norm", activation, scale, sigma, clamp))


class NormConv(NormConvolution):
    """A norm convolution with named options: ``[B, in_channels, *space] -> [B, out_channels, *space']``.

    ``dims`` is the number of spatial axes, 1 to 3; kernel_size, stride and padding, in positions, hold for all of them.
    The other options are those of :class:`NormLinear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dims: int = 2,
        stride: int = 1,
        padding: int = 0,
        activation: Activation = "tanh",
        scale: float = 1.0,
        sigma: float = 1.0,
        clamp: float | None = 1.5,
    ) -> None:
        settings = LayerSettings("norm", activation, scale, sigma, clamp)
        super().__init__(dims, in_channels, out_channels, kernel_size, settings, stride, padding)


def _clamp(layer: Layer, *_: Any) -> None:
    """Clamp the stored weights of a layer: a hook before state_dict and after load_state_dict."""
    layer.clamp_()
