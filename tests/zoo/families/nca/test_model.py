"""The Meta-NCA module: the networks that its rule grows."""

from __future__ import annotations

import pytest
import torch

from tests.support.nca import TEACHING, batch, build
from zoo.data.task import Task
from zoo.families.nca.learner import NcaLearner


def test_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nca takes tables \[features\], the data has inputs of shape \[1, 8, 8\]"):
        build(Task((1, 8, 8), 10))


def test_architectures_beyond_the_position_codes_are_refused() -> None:
    module = build(layers=2, hidden=5)
    with pytest.raises(ValueError, match="up to 2 layers of up to 64 weights"):
        module.begin([(4, 5, 5, 3)])
    with pytest.raises(ValueError, match="exceeds this rule's position codes"):
        module.begin([(4, 20, 3)])


def test_the_module_predicts_with_the_network_grown_from_its_seed() -> None:
    module = build(**TEACHING)
    inputs, labels = batch()
    learner = NcaLearner(module, module.config)
    next(learner.training_steps(inputs, labels))
    learner.before_validation(1)
    expected = module.grow_one(inputs, labels, module.architecture())
    x = torch.cat([(inputs - inputs.mean(0)) / inputs.std(0, correction=0), torch.ones(len(inputs), 1)], 1)
    torch.testing.assert_close(module(inputs), x @ expected.weights[0])
    other = module.grow_one(inputs, labels, module.architecture(), seed=1)
    assert not torch.equal(other.weights[0], expected.weights[0])
