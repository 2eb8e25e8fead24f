"""Speed of the sparse linear layer and of a sparse network against dense matrices with zeros, by density."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.sparse_network import Network
from zoo.kernels.sparse_network.reference import sparse_network_reference
from zoo.utils.progress import Say, say_nothing

NETWORKS = ((784, 256, 128, 10), (4096, 4096, 4096))
DENSITIES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
Layers = list[tuple[Tensor, Tensor, Structure]]
"""Inputs, values and structure of each layer."""
_BATCH = 256
_SECONDS = 0.4
"""Duration of each measurement."""


def bench(quick: bool = False, say: Say = say_nothing) -> list[dict[str, Any]]:
    """Return a row per network and density: milliseconds for a batch of 256, of the layers' kernel forward and with
    backward and of a training pass in one call, each with the dense form's time over it. ``quick`` measures the smaller
    network alone."""
    rows = []
    for widths in NETWORKS[:1] if quick else NETWORKS:
        for density in DENSITIES:
            say(f"{'-'.join(map(str, widths))}, density {density:.2%}")
            rows.append(row(widths, density, seconds=0.0 if quick else _SECONDS))
    return rows


def row(widths: tuple[int, ...], density: float, batch: int = _BATCH, seconds: float = _SECONDS) -> dict[str, Any]:
    """Measure one network at one density."""
    layers = random_layers(widths, density, batch)
    with torch.no_grad():
        forward, dense_forward = times(layers, seconds, backward=False)
    both, dense_both = times(layers, seconds, backward=True)
    one, dense_one = alternate(_in_one_call(widths, layers), seconds)
    return {
        "network": "-".join(map(str, widths)),
        "density": f"{density:.2%}",
        "forward ms": 1e3 * forward,
        "dense / forward": dense_forward / forward,
        "forward + backward ms": 1e3 * both,
        "dense / forward + backward": dense_both / both,
        "in one call ms": 1e3 * one,
        "dense / in one call": dense_one / one,
    }


def random_layers(widths: tuple[int, ...], density: float, batch: int) -> Layers:
    """Draw random layers of the given widths and density."""
    noise = torch.Generator().manual_seed(0)
    layers = []
    for inputs, outputs in pairwise(widths):
        count = max(1, round(density * inputs * outputs))
        flat = torch.randperm(inputs * outputs, generator=noise)[:count].sort().values
        x = torch.randn(batch, inputs, generator=noise).requires_grad_()
        values = torch.randn(count, generator=noise).requires_grad_()
        layers.append((x, values, Structure.of(outputs, inputs, flat // inputs, flat % inputs)))
    return layers


def times(layers: Layers, seconds: float, *, backward: bool) -> tuple[float, float]:
    """Return the median seconds of all layers with the kernel and with the dense form, measured in turn."""

    def kernel(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
        y: Tensor = torch.ops.zoo.sparse_linear(x, values, *structure.pattern)
        return y

    def all_layers(form: Callable[..., Tensor]) -> None:
        for x, values, structure in layers:
            y = form(x, values, structure)
            if backward:
                torch.autograd.grad(y, (x, values), torch.ones_like(y))

    return alternate((partial(all_layers, kernel), partial(all_layers, sparse_linear_reference)), seconds)


def alternate(calls: tuple[Callable[[], None], Callable[[], None]], seconds: float) -> tuple[float, float]:
    """Return the median seconds of two calls that take turns for so many seconds, at least three times."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):  # the first round warms up
        for samples in found:
            samples.clear()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(found[0]) < 3:
            for call, samples in zip(calls, found, strict=True):
                started = time.perf_counter()
                call()
                samples.append(time.perf_counter() - started)
    return statistics.median(found[0]), statistics.median(found[1])


def _in_one_call(widths: tuple[int, ...], layers: Layers) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return training passes through the network of these layers: by its kernel, and by dense matrices with zeros."""
    starts = [0, *accumulate(widths)]
    edges = [
        (structure.columns.long() + starts[n], structure.flat // structure.inputs + starts[n + 1])
        for n, (_, _, structure) in enumerate(layers)
    ]
    source, target = (torch.cat(units) for units in zip(*edges, strict=True))
    network = Network.of(widths[0], widths[1:], source, target, torch.arange(len(source)))
    x, weight = layers[0][0].detach(), torch.cat([values.detach() for _, values, _ in layers]).requires_grad_()
    bias = torch.zeros(sum(widths[1:]), requires_grad=True)

    def kernel() -> Tensor:
        y: Tensor = torch.ops.zoo.sparse_network(x, weight, bias, *network.tensors, network.outputs, "tanh")[0]
        return y

    def train(form: Callable[[], Tensor]) -> None:
        y = form()
        torch.autograd.grad(y, (weight, bias), torch.ones_like(y))

    dense = partial(sparse_network_reference, x, weight, bias, network, "tanh")
    return partial(train, kernel), partial(train, dense)
