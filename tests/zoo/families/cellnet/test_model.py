"""CellNet: the batched module against the literal one, in float64."""

from __future__ import annotations

import pytest
import torch

from tests.support.cellnet import IMAGES, STEM, TASK, VARIANTS, build, samples
from zoo.data.task import Task
from zoo.families.cellnet.model import Trace
from zoo.families.cellnet.reference import LiteralCellnet


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_equals_the_literal_network_sample_by_sample(variant: str) -> None:
    module = build(**VARIANTS[variant]).double()
    literal = LiteralCellnet(module)
    inputs, _ = samples()
    for steps in (1, 2, 4, 9):
        expected = torch.stack([literal(x, steps) for x in inputs])
        torch.testing.assert_close(module(inputs, steps), expected)


def test_a_stem_feeds_the_in_cells() -> None:
    module = build(IMAGES, stem=STEM).double()
    literal = LiteralCellnet(module)
    inputs, _ = samples(IMAGES)
    torch.testing.assert_close(module(inputs), torch.stack([literal(x) for x in inputs]))


def test_the_very_first_step_sends_zeros_over_every_connection() -> None:
    module = build().double()
    inputs, _ = samples()
    first = module(inputs, 1, trace=True).cores[0]
    moves = torch.zeros(4, 4, dtype=torch.float64)
    for edge, (_, target) in enumerate(module.config.edges):
        x = torch.zeros(4, dtype=torch.float64)
        for layer, act in zip(module.connections, (torch.relu, torch.relu, lambda y: y), strict=True):
            x = act(layer.weight[edge] @ x + layer.bias[edge])
        moves[target] += x
    torch.testing.assert_close(first[:, 2:], (1 + moves[2:]).expand(3, 2, 4))


def test_cores_start_as_ones_for_every_sample() -> None:
    cores = build(core=(4, 2, 1, 3)).initial_cores(2)
    assert cores.shape == (2, 4, 4)
    assert cores.sum(-1).tolist() == [[4, 2, 1, 3]] * 2


def test_only_the_first_steps_use_the_input() -> None:
    module = build(input_steps=2)
    inputs = torch.randn(2, 5)
    trace = module(inputs, 4, trace=True)
    later = module(torch.randn(2, 5), 4, trace=True, start=2, cores=trace.cores[1])
    torch.testing.assert_close(later.cores[-1], trace.cores[-1])
    earlier = module(torch.randn(2, 5), 2, trace=True, start=1, cores=trace.cores[0])
    assert not torch.allclose(earlier.cores[-1], trace.cores[1])


def test_a_trace_holds_cores_and_logits_of_every_step() -> None:
    module = build()
    inputs = torch.randn(2, 5)
    trace = module(inputs, 3, trace=True)
    assert isinstance(trace, Trace)
    assert [core.shape for core in trace.cores] == [(2, 4, 4)] * 3
    for step, logits in enumerate(trace.logits, 1):
        torch.testing.assert_close(logits, module(inputs, step))


def test_a_number_of_steps_out_of_range_is_refused() -> None:
    module = build()
    with pytest.raises(ValueError, match="steps must be a whole number above 0, found 0"):
        module(torch.randn(2, 5), 0)
    with pytest.raises(ValueError, match="above 3, found 2"):
        module(torch.randn(2, 5), 2, start=3)


def test_an_empty_batch_gives_no_logits() -> None:
    assert build()(torch.zeros(0, 5)).shape == (0, 3)


def test_layers_are_initialised_like_linear_layers_of_torch() -> None:
    module = build(core=(16, 64, 64, 64), hidden=32)
    for edge, (source, _) in enumerate(module.config.edges):
        weight = module.connections[0].weight[edge].detach()
        size = (16, 64, 64, 64)[source]
        assert weight[:, :size].abs().max() <= size**-0.5
        assert weight[:, :size].std().item() == pytest.approx((3 * size) ** -0.5, rel=0.15)
        assert not weight[:, size:].any()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (TASK, r"a stem takes images \[C, H, W\], found inputs of shape \[5\]"),
        (Task((1, 9, 12), 3), "an image of 9x12 is too small for a stem of 2 convolutions"),
    ],
)
def test_inputs_that_do_not_fit_the_stem_are_refused(task: Task, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, stem=STEM)
