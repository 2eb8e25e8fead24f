"""Online learning: the target is computed from the network's own output."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.data.task import Task
from zoo.families.normnet.checkpoint_tree import CheckpointTree
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.model import Normnet
from zoo.families.normnet.online import OnlineLearner


def make(features: int = 3, outputs: int = 2, **options: Any) -> OnlineLearner:
    torch.manual_seed(0)
    config = NormnetConfig(hidden=(16,), scale=1.0, hidden_scale=1.0)
    return OnlineLearner(Normnet(config, Task((features,), outputs)), **options)


def weights(learner: OnlineLearner) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.module.parameters()])


def test_the_target_is_computed_from_the_networks_own_output() -> None:
    learner = make()
    x = torch.randn(3)
    expected = learner.predict(x)
    seen = []

    def halve(output: Tensor) -> Tensor:
        seen.append(output)
        return output / 2

    update = learner.update(x, halve)
    assert torch.equal(seen[0], expected)
    assert torch.equal(update.output, expected)
    assert torch.equal(update.target, expected / 2)
    assert update.error == pytest.approx(float((expected / 2).square().sum()))


def test_a_batch_is_one_update_of_all_its_inputs() -> None:
    learner = make()
    update = learner.update(torch.randn(5, 3), torch.zeros_like)
    assert update.output.shape == (5, 2)
    assert update.error == pytest.approx(float(update.output.square().sum(-1).mean()))


def test_updates_move_the_output_to_the_target() -> None:
    learner = make()
    errors = [learner.update([0.5, -1.0, 2.0], lambda output: [0.5, -0.5]).error for _ in range(150)]
    assert errors[0] > 0.1
    assert errors[-1] < 0.01


def test_a_target_equal_to_the_output_changes_nothing() -> None:
    learner = make(optimizer=None)
    before = weights(learner)
    update = learner.update(torch.randn(3), lambda output: output)
    assert update.error == 0
    assert torch.equal(weights(learner), before)


def test_the_target_function_may_overwrite_its_argument() -> None:
    def overwrite(output: Tensor) -> Tensor:
        output[0] = 1
        return output

    update = make().update(torch.randn(3), overwrite)
    assert update.target[0] == 1
    assert update.output[0] != 1


def test_weights_stay_within_the_bound() -> None:
    learner = make(power=5)
    for _ in range(20):
        learner.update(torch.randn(3), lambda output: -10 * output.sign())
    assert weights(learner).abs().max() <= 1.5


def test_a_bandit_is_learned_from_rewards_alone() -> None:
    """Six contexts, four arms, one good arm per context; the target is the output with the reward at the chosen arm."""
    learner = make(6, 4)
    chances = torch.full((6, 4), 0.2)
    chances[torch.arange(6), torch.arange(6) % 4] = 0.9
    rewards = []

    def pull(values: Tensor) -> Tensor:
        arm = int(values.argmax()) if torch.rand(()) > 0.1 else int(torch.randint(4, ()))
        values[arm] = float(torch.rand(()) < chances[context, arm])
        rewards.append(float(values[arm]))
        return values

    for _ in range(1000):
        context = int(torch.randint(6, ()))
        learner.update(torch.eye(6)[context], pull)
    assert sum(rewards[-250:]) / 250 > 0.65  # guessing earns 0.375; the good arm in nine pulls of ten, 0.85
    assert (learner.predict(torch.eye(6)).argmax(1) == torch.arange(6) % 4).sum() >= 5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0.0], r"target_fn returned shape \[1\], expected \[2\]"),
        ([0.0, float("nan")], "target_fn returned values that are not finite"),
    ],
)
def test_an_invalid_target_is_refused_and_changes_nothing(target: list[float], message: str) -> None:
    learner = make(tree=CheckpointTree())
    before = weights(learner)
    with pytest.raises(ValueError, match=message):
        learner.update(torch.randn(3), lambda output: target)
    assert torch.equal(weights(learner), before)
    assert learner.tree is not None
    assert learner.tree.observations == 0


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs: found shape \[4\], expected \[3\] or a batch of them"):
        make().predict(torch.randn(4))


def test_a_power_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"power: found 0\.5, expected at least 1"):
        make(power=0.5)


def test_improvements_are_saved_and_search_continues_from_one() -> None:
    learner = make(tree=CheckpointTree(window=10))
    x = torch.randn(3)
    saved = [learner.update(x, torch.zeros_like).checkpoint for _ in range(60)]
    numbers = [checkpoint.number for checkpoint in saved if checkpoint]
    assert numbers
    assert learner.tree is not None
    held = learner.tree.restore(numbers[-1])
    with torch.no_grad():
        for parameter in learner.module.parameters():
            parameter.zero_()
    assert learner.search(pressure=1).number == numbers[-1]
    assert all(torch.equal(tensor, held[name]) for name, tensor in learner.module.state_dict().items())
    assert not learner.optimizer.state


def test_a_checkpoint_holds_the_weights_before_the_update() -> None:
    learner = make(tree=CheckpointTree(window=1))
    before = {name: tensor.clone() for name, tensor in learner.module.state_dict().items()}
    learner.update(torch.randn(3), torch.zeros_like)
    learner.restore(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.module.state_dict().items())


def test_search_needs_a_tree() -> None:
    with pytest.raises(ValueError, match="this learner has no checkpoint tree"):
        make().search()
