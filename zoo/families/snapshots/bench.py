"""Speed of the sparse linear layer against a dense matrix with zeros, by density."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure
from zoo.utils.progress import Say, say_nothing

NETWORKS = ((784, 256, 128, 10), (4096, 4096, 4096))
DENSITIES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
Layers = list[tuple[Tensor, Tensor, Structure]]
"""Inputs, values and structure of each layer."""
_BATCH = 256
_SECONDS = 0.4
"""Duration of each measurement."""


def bench(quick: bool = False, say: Say = say_nothing) -> list[dict[str, Any]]:
    """Return a row per network and density: the kernel's milliseconds for a batch of 256, forward alone and with
    backward, and the ratio of the dense form's time to the kernel's. ``quick`` measures the smaller network alone."""
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
    return {
        "network": "-".join(map(str, widths)),
        "density": f"{density:.2%}",
        "forward ms": 1e3 * forward,
        "dense / forward": dense_forward / forward,
        "forward + backward ms": 1e3 * both,
        "dense / forward + backward": dense_both / both,
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

    found: dict[Callable[..., Tensor], list[float]] = {kernel: [], sparse_linear_reference: []}
    for _ in range(2):  # the first round warms up
        for samples in found.values():
            samples.clear()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(found[kernel]) < 3:
            for form, samples in found.items():
                samples.append(_seconds(form, layers, backward))
    return statistics.median(found[kernel]), statistics.median(found[sparse_linear_reference])


def _seconds(form: Callable[..., Tensor], layers: Layers, backward: bool) -> float:
    started = time.perf_counter()
    for x, values, structure in layers:
        y = form(x, values, structure)
        if backward:
            torch.autograd.grad(y, (x, values), torch.ones_like(y))
    return time.perf_counter() - started
