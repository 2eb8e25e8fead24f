"""Rule 1: the start."""

from __future__ import annotations

import pytest
import torch

from tests.support.snapshots import reached_by_input
from zoo.families.snapshots.config import StartConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.start import start_edges, start_weights

MNIST = Layout((784, 256, 128, 10))


def per_layer(layout: Layout, target: torch.Tensor) -> list[int]:
    return torch.bincount(layout.layer_of[target], minlength=len(layout.widths))[1:].tolist()


@pytest.mark.parametrize("connected", [True, False])
def test_the_mnist_network_starts_with_24_edges(connected: bool) -> None:
    source, target = start_edges(MNIST, StartConfig(connected=connected))
    assert MNIST.possible == 234_752
    assert per_layer(MNIST, target) == [20, 3, 1]
    assert (MNIST.layer_of[source] + 1 == MNIST.layer_of[target]).all()


def test_every_layer_has_at_least_one_edge(layout: Layout) -> None:
    _, target = start_edges(layout, StartConfig(density=1e-6))
    assert per_layer(layout, target) == [1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_connected_edges_are_on_paths_from_the_input_to_a_class(seed: int) -> None:
    torch.manual_seed(seed)
    source, target = start_edges(MNIST, StartConfig())
    draft = Draft(MNIST, source, target, torch.zeros(len(source)), room=0)
    assert reached_by_input(draft)[source].all()
    assert draft.reaches_output()[target].all()


def test_no_edge_is_laid_twice_even_at_full_density(layout: Layout) -> None:
    source, target = start_edges(layout, StartConfig(density=1.0))
    assert len(set(zip(source.tolist(), target.tolist(), strict=True))) == len(source) == layout.possible


def test_weights_are_scaled_by_the_active_fan_in_not_by_the_layer_width() -> None:
    target = torch.arange(2000).repeat_interleave(4)  # 2000 units with 4 edges each
    torch.manual_seed(0)
    assert start_weights(target, 2000, "tanh").std().item() == pytest.approx(0.5, rel=0.03)
    assert start_weights(target, 2000, "relu").std().item() == pytest.approx(0.5**0.5, rel=0.03)
