"""Meta-training of the rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.nca import SMALL, TEACHING, batch, build
from zoo.config.data import IrisConfig
from zoo.data import load_data
from zoo.families.nca.learner import NcaLearner, delete_weights
from zoo.families.nca.model import MetaNca
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingError


def learner_of(module: MetaNca) -> NcaLearner:
    return NcaLearner(module, module.config)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"start": "zero", "rule": {"change": "sigmoid", "activation": "relu"}},
        {"layers": 3, "hidden": 5, "rule": {"layer_norm": True}, "meta": {"layers": [1, 3], "hidden": [2, 5]}},
        {"rule": {"senses": "activations", "pooling": "sum", "scale": 0.1}},
        TEACHING | {"meta": {"tasks": {}, "layers": [1, 2], "judgements": 3}},
        {"meta": {"segments": 2, "damage": 0.5}},
    ],
    ids=str,
)
def test_every_variant_trains_the_whole_rule_with_finite_gradients(options: dict[str, Any]) -> None:
    module = build(**options)
    results = list(learner_of(module).training_steps(*batch()))
    assert len(results) == module.config.meta.segments
    sum(result.loss for result in results).backward()  # type: ignore[union-attr]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert any(parameter.grad.any() for parameter in module.parameters() if parameter.grad is not None)


def test_training_improves_evolved_networks() -> None:
    data = load_data(IrisConfig(name="iris"))
    module = build(epochs=6, rule={"layer_norm": True})
    learner, optimizer = learner_of(module), torch.optim.Adam(module.parameters(), lr=1e-2)
    inputs, labels = data.train.prepare(data.train.inputs), data.train.labels
    losses = []
    for _ in range(60):
        for result in learner.training_steps(inputs, labels):
            optimizer.zero_grad()
            result.loss.backward()
            optimizer.step()
            losses.append(result.loss.item())
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_only_the_silence_penalty_trains_the_rule_on_a_dead_network() -> None:
    for alive in (0.0, 1.0):
        module = build(layers=2, hidden=2, epochs=1, meta={"layers": [2], "hidden": [2], "alive": alive})
        with torch.no_grad():  # all weights fall below zero, whatever the rule perceives
            module.rule.layers[-1].bias.fill_(-5)
            module.rule.layers[-1].weight.mul_(0.01)
        learner = NcaLearner(module, module.config.model_copy(update={"fraction": 1.0, "epochs": 8}))
        for result in learner.training_steps(*batch()):
            torch.autograd.backward(result.loss)
        gradients = [p.grad for p in module.rule.parameters() if p.grad is not None]
        moved = any(bool(gradient.any()) for gradient in gradients)
        assert moved == (alive > 0)


def test_evolutions_lengthen_over_the_first_steps_also_in_a_resumed_run() -> None:
    module = build(epochs=10, meta={"grow_steps": 20})
    learner = learner_of(module)
    lengths = []
    for step in range(1, 31):
        lengths.append(learner.epochs)
        learner.on_step_end(step)
    assert lengths[0] == 1
    assert lengths[-1] == 10
    assert lengths == sorted(lengths)
    resumed = learner_of(module)
    resumed.load_state_dict(learner.state_dict())
    assert resumed.epochs == 10


def test_deleted_weights_are_zero_with_a_fresh_state_and_others_are_unchanged() -> None:
    module = build()
    wiring, state = module.begin([(4, 3)])
    evolved = module.evolve(state, wiring, 1).detach() + 1
    deleted = torch.zeros_like(wiring.mask)
    deleted[0, 0, 1, 2] = True
    after = delete_weights(module, evolved, wiring, deleted)
    assert after[0, 0, 1, 2, 0] == 0
    assert torch.equal(after[0, 0, 1, 2, 1:], state[0, 0, 1, 2, 1:])
    assert torch.equal(after[~deleted], evolved[~deleted])


def test_a_running_average_of_the_weights_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("nca-iris", [*SMALL, "train.ema=0.9"])
    with pytest.raises(TrainingError, match=r"train\.ema: a running average of the weights does not fit family nca"):
        train(recipe, run_dir=tmp_path, device="cpu", progress=False)
    assert list(tmp_path.iterdir()) == []
