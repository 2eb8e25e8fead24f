"""The default learner."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.families.base import FamilyConfig
from zoo.families.learner import Learner


def make() -> Learner:
    torch.manual_seed(0)
    return Learner(nn.Linear(4, 3), FamilyConfig(family="any"))


def test_a_batch_is_one_step_of_softmax_cross_entropy_with_its_accuracy() -> None:
    learner = make()
    inputs, labels = torch.randn(8, 4), torch.arange(8) % 3
    [result] = learner.training_steps(inputs, labels)
    logits = learner.module(inputs)
    torch.testing.assert_close(result.loss, nn.functional.cross_entropy(logits, labels))
    assert result.logs["accuracy"] == (logits.argmax(-1) == labels).float().mean()


def test_the_default_learner_has_no_state_and_never_stops_early() -> None:
    learner = make()
    assert learner.state_dict() == learner.findings() == {}
    assert not learner.finished
    learner.load_state_dict({})
    with pytest.raises(ValueError, match=r"state of Learner: found keys \['tree'\], expected none"):
        learner.load_state_dict({"tree": {}})
