"""CellNet: the batched module against the literal one, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.cellnet import IMAGES, STEM, STEMS, TASK, VARIANTS, build, samples
from zoo.data.task import Task
from zoo.families.cellnet.cells import Trace
from zoo.families.cellnet.config import StemConfig
from zoo.families.cellnet.reference import LiteralCellnet


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_equals_the_literal_network_sample_by_sample(variant: str) -> None:
    module = build(**VARIANTS[variant]).double()
    literal = LiteralCellnet(module)
    inputs, _ = samples()
    for steps in (1, 2, 4, 9):
        expected = torch.stack([literal(x, steps) for x in inputs])
        torch.testing.assert_close(module(inputs, steps), expected)


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_feeds_the_in_cells(stem: str) -> None:
    module = build(IMAGES, stem=STEMS[stem]).double()
    inputs, _ = samples(IMAGES)
    module(inputs)  # batch normalisation collects its averages
    module.eval()
    literal = LiteralCellnet(module)
    torch.testing.assert_close(module(inputs), torch.stack([literal(x) for x in inputs]))


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_is_its_stages_of_convolutions_one_after_the_other(stem: str) -> None:
    config = STEMS[stem]
    module = build(IMAGES, stem=config).double()
    x, _ = samples(IMAGES)
    expected, parameters = x, iter(module.stem.parameters())
    for stage, depth in enumerate(config.depths):
        for _ in range(depth):
            expected = _convolution(expected, parameters, config)
        if config.pool == "each" or stage == len(config.depths) - 1:
            expected = F.max_pool2d(expected, 2)
    assert next(parameters, None) is None
    torch.testing.assert_close(module.stem(x), expected.flatten(1))
    assert module.input.weight.size(2) == expected[0].numel()


def _convolution(x: Tensor, parameters: Any, config: StemConfig) -> Tensor:
    x = F.conv2d(x, next(parameters), None if config.batch_norm else next(parameters), padding=config.padding)
    if config.batch_norm:
        mean, variance = x.detach().mean((0, 2, 3)), x.detach().var((0, 2, 3), correction=0)
        scale, bias = next(parameters), next(parameters)
        x = F.batch_norm(x, mean, variance, scale, bias)
    return x.relu()


def test_a_normalised_stem_predicts_each_sample_alone() -> None:
    module = build(IMAGES, stem=STEMS["normalised"])
    inputs = samples(IMAGES)[0].float()
    module(inputs)
    module.eval()
    torch.testing.assert_close(module(inputs), torch.cat([module(x[None]) for x in inputs]))


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


@pytest.mark.parametrize(
    ("options", "smallest"),
    [
        ({"channels": (3,)}, 4),
        ({"channels": (3, 4)}, 10),
        ({"channels": (3,), "convolutions": 3}, 8),
        ({"channels": (3, 4), "padding": 1}, 4),
        ({"channels": (3, 4), "pool": "last"}, 6),
        ({"channels": (3, 4, 5), "convolutions": (4, 1, 2), "padding": 1, "batch_norm": True}, 8),
    ],
)
def test_the_smallest_image_of_a_stem_is_known_before_the_first_batch(options: dict[str, Any], smallest: int) -> None:
    stem = StemConfig(**options)
    module = build(Task((1, smallest, smallest), 3), stem=stem)
    assert module(torch.zeros(2, 1, smallest, smallest)).shape == (2, 3)
    with pytest.raises(ValueError, match=f"too small for a stem of {sum(stem.depths)} convolutions"):
        build(Task((1, smallest, smallest - 1), 3), stem=stem)
