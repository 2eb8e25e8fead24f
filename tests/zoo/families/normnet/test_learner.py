"""Training of a normnet: its loss, the clamp on its weights, and restarts from a tree of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.normnet import build
from zoo.families.normnet.learner import NormnetLearner, power_loss
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingInterruptedError

TREE = "model.tree={patience: 1, pressure: 0.5}"


@pytest.mark.parametrize("power", [1, 1.5, 2, 5, 10])
def test_the_power_loss_has_a_finite_gradient_everywhere(power: float) -> None:
    outputs = torch.tensor([[0.0, 1.0, -3.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 0.0, 1.0]])
    loss = power_loss(outputs, targets, power)
    loss.backward()
    assert loss.item() == pytest.approx(1 + 4**power)
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad, torch.tensor([[0.0, power, -power * 4 ** (power - 1)]]))


def test_weights_stay_within_the_bound() -> None:
    module = build(clamp=1.0)
    learner = NormnetLearner(module, module.config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    learner.on_step_end(1)
    assert max(parameter.abs().max() for parameter in module.parameters()) == 1.0


def test_without_a_bound_weights_are_not_clamped() -> None:
    module = build(clamp=None)
    module.layers[0].weight.data.fill_(2.0)
    NormnetLearner(module, module.config).on_step_end(1)
    assert (module.layers[0].weight == 2).all()


def fit(folder: Path, *overrides: str, resume: bool = False) -> Any:
    options = ["train.epochs=null", "train.steps=8", "train.checkpoint_every=2", "data.validation=40"]
    recipe = load_recipe("normnet-digits", [*options, "model.hidden=[16]", "train.ema=null", *overrides])
    return train(recipe, run_dir=folder, device="cpu", progress=False, resume=resume)


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_on_a_plateau_training_continues_from_a_checkpoint_of_the_tree() -> None:
    module = build(tree={"patience": 2, "pressure": 1})
    learner = NormnetLearner(module, module.config)
    optimizer = torch.optim.Adam(module.parameters())
    learner.on_start(optimizer)
    inputs, labels = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])

    def step() -> None:
        loss = learner.training_step(inputs, labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.on_step_end(1)

    step()
    best = weights(module)
    for accuracy in (0.9, 0.8, 0.9):
        learner.on_validation(1, accuracy)
        assert learner.restarts == 0
        if accuracy != 0.9:
            step()
            assert not torch.equal(weights(module), best)
    assert optimizer.state
    learner.training_step(inputs, labels)
    assert learner.restarts == 1
    assert torch.equal(weights(module), best)
    assert not optimizer.state
    learner.on_validation(2, 0.95)
    assert learner.tree is not None
    assert [checkpoint.parent for checkpoint in learner.tree.checkpoints.values()] == [None, 1]


def test_a_run_with_a_tree_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [TREE, "train.optimizer={name: adam, lr: 0.3}", "train.steps=16"]
    whole = fit(tmp_path / "whole", *overrides)
    assert whole.history[-1]["train_restarts"] > whole.history[4]["train_restarts"] > 0
    usual = NormnetLearner.on_step_end

    def interrupted(self: NormnetLearner, step: int) -> None:
        usual(self, step)
        if step == 11:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(NormnetLearner, "on_step_end", interrupted)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path / "parts", *overrides)
    resumed = fit(tmp_path / "parts", *overrides, resume=True)
    assert torch.equal(weights(resumed.module), weights(whole.module))
    assert [r["train_restarts"] for r in resumed.history] == [r["train_restarts"] for r in whole.history]


def test_without_a_tree_any_state_is_refused() -> None:
    module = build()
    with pytest.raises(ValueError, match=r"state of NormnetLearner: found keys \['tree'\], expected none"):
        NormnetLearner(module, module.config).load_state_dict({"tree": {}})


@pytest.mark.parametrize("layer", ["norm", "linear", "plain"])
def test_every_kind_of_layer_learns_digits(layer: str, tmp_path: Path) -> None:
    rate, scale = (3e-3, 1) if layer == "plain" else (3e-2, 3)
    options = [f"model.layer={layer}", f"train.optimizer.lr={rate}", f"model.hidden_scale={scale}"]
    result = fit(tmp_path, *options, "train.steps=200", "train.checkpoint_every=null", "model.hidden=[64]")
    assert result.validation.accuracy > 0.6
