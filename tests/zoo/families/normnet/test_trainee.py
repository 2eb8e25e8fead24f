"""Samples of the claims, and a network in training."""

from __future__ import annotations

import torch

from zoo.data.task import Task
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.trainee import Samples, Trainee


def test_permuted_samples_have_the_same_values_in_one_other_order() -> None:
    samples = Samples(torch.randn(4, 1, 3, 3), torch.arange(4))
    other = samples.permuted(1)
    assert torch.equal(samples.permuted(0).inputs, samples.inputs)
    assert not torch.equal(other.inputs, samples.inputs)
    assert torch.equal(other.inputs.flatten(1).sort().values, samples.inputs.flatten(1).sort().values)
    order = [int((samples.inputs[0].flatten() == value).nonzero()) for value in other.inputs[0].flatten()]
    assert torch.equal(other.inputs.flatten(1), samples.inputs.flatten(1)[:, order])


def test_a_trainee_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    Trainee(NormnetConfig(hidden=(32,), hidden_scale=3), Task((1, 8, 8), 10), 1e-2, 0)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
