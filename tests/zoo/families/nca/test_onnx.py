"""ONNX files of a Meta-NCA and its figures, as an artifact holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import sdk
from tests.support.nca import TASK, TEACHING, build, trained_artifacts
from zoo.artifacts.reexport import add_onnx
from zoo.families.nca.onnx import one_layer, rule_files


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return trained_artifacts(tmp_path_factory.mktemp("nca"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": {"layer_norm": True, "pooling": "sum", "activation": "relu", "change": "sigmoid"}},
        {"rule": {"senses": "activations", "positions": "none", "change": "linear"}},
        {"rule": {"senses": "sums", "pooling": "sum"}},
        {"rule": {"positions": "none"}},
        TEACHING,
    ],
    ids=str,
)
def test_the_rule_file_applies_one_masked_epoch_to_layers_of_any_size(options: dict[str, Any]) -> None:
    module = build(**options)
    with torch.no_grad():
        module.rule.layers[-1].weight.normal_()
    session = onnxruntime.InferenceSession(rule_files(module, TASK)["rule.onnx"].SerializeToString())
    noise, sizes = np.random.default_rng(3), {"inputs": 7, "outputs": 1, "examples": 2}
    given = {
        entry.name: noise.standard_normal([sizes.get(axis, axis) for axis in entry.shape]).astype(np.float32)
        for entry in session.get_inputs()
    }
    given["mask"] = (np.arange(7)[:, None] % 2).astype(np.float32)
    weights, states = session.run(["new_weights", "new_states"], given)
    expected = one_layer(module, given)
    np.testing.assert_allclose(weights, expected[0], atol=1e-5)
    np.testing.assert_allclose(states, expected[1], atol=1e-5)
    assert np.array_equal(weights[::2], given["weights"][::2])
    assert (weights[1::2] != given["weights"][1::2]).all()


def test_artifacts_hold_the_rule_file_and_for_rules_without_senses_the_animation(artifacts: dict[str, Path]) -> None:
    for folder in artifacts.values():
        onnx.checker.check_model(onnx.load(folder / "rule.onnx"), full_check=True)
        assert "rule.onnx" in sdk.load(folder).config.files
    with Image.open(artifacts["nca-iris"] / "figures" / "evolution.gif") as animation:
        assert animation.n_frames == 6  # type: ignore[attr-defined]
    assert "evolution.gif" in (artifacts["nca-iris"] / "README.md").read_text()
    assert not (artifacts["nca-learner"] / "figures" / "evolution.gif").exists()


def test_exporting_onnx_again_restores_the_rule_file(artifacts: dict[str, Path]) -> None:
    folder = artifacts["nca-learner"]
    before = onnx.load(folder / "rule.onnx")
    add_onnx(str(folder))
    assert onnx.load(folder / "rule.onnx").graph == before.graph
