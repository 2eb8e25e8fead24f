from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdk
from sdk.families.normnet import NormnetModel
from tests.support.artifacts import write_tiny
from zoo.families.normnet.checkpoint_tree import CheckpointTree
from zoo.families.normnet.config import NormnetConfig

IMAGE = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = NormnetConfig(hidden=(8,), scale=1, hidden_scale=1)
    return write_tiny(tmp_path / "tiny", config, formats=("safetensors", "onnx"))


def load(folder: Path, backend: str = "torch") -> NormnetModel:
    model = sdk.load(folder, backend=backend)
    assert isinstance(model, NormnetModel)
    return model


def test_predictions_use_what_was_learned_online(folder: Path) -> None:
    model = load(folder)
    learner = model.online()
    for _ in range(200):
        learner.update(IMAGE, lambda logits: torch.tensor([-0.5, -0.5, 0.5]))
    np.testing.assert_allclose(model.logits(IMAGE), [-0.5, -0.5, 0.5], atol=0.05)
    assert model.predict(IMAGE) == "two"
    assert sdk.load(folder, backend="torch").logits(IMAGE).tolist() != model.logits(IMAGE).tolist()


def test_updates_take_the_inputs_of_predict_and_return_the_logits(folder: Path) -> None:
    model = load(folder)
    batch = np.stack([IMAGE, 1 - IMAGE])
    expected = model.logits(batch)
    update = model.online().update(batch, lambda logits: logits.numpy() * 0)
    np.testing.assert_allclose(update.output.numpy(), expected, atol=1e-6)
    assert load(folder).online().update(IMAGE, lambda logits: logits).output.shape == (3,)


def test_options_are_passed_to_the_learner(folder: Path) -> None:
    tree: Any = CheckpointTree(window=1)
    learner = load(folder).online(tree=tree, power=5)
    assert learner.update(IMAGE, torch.zeros_like).checkpoint == tree.best


def test_a_wrong_input_raises_an_input_error(folder: Path) -> None:
    with pytest.raises(sdk.InputError):
        load(folder).online().update(np.zeros(7), torch.zeros_like)


def test_only_the_torch_backend_can_learn(folder: Path) -> None:
    with pytest.raises(sdk.LoadError, match="load tiny with backend='torch'"):
        load(folder, "onnx").online()
