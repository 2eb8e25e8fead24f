from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import sdk
from sdk.errors import InputError, LoadError
from sdk.families.cellnet import CellnetModel
from tests.support.artifacts import LABELS, SPEC, write_tiny
from zoo.families.cellnet.config import CellnetConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = CellnetConfig(cells=4, core=(4, 4, 2, 5), hidden=5, steps=5, input_steps=3)
    return write_tiny(tmp_path / "cells", config, formats=("safetensors", "onnx"))


def load(folder: Path, backend: str) -> CellnetModel:
    model = sdk.load(folder, backend=backend)
    assert isinstance(model, CellnetModel)
    return model


def test_torch_predicts_after_any_number_of_steps(folder: Path) -> None:
    model = load(folder, "torch")
    prepared = torch.from_numpy(SPEC.prepare(IMAGES)[0])
    with torch.inference_mode():
        for steps in (1, 3, 8):
            expected = model.module(prepared, steps).numpy()
            np.testing.assert_array_equal(model.logits(IMAGES, steps=steps), expected)
            np.testing.assert_array_equal(
                model.logits(IMAGES[0], steps=steps), model.logits(IMAGES[:1], steps=steps)[0]
            )
            assert model.predict(IMAGES, steps=steps) == [LABELS[i] for i in expected.argmax(-1)]
            np.testing.assert_allclose(model.predict_proba(IMAGES, steps=steps).sum(-1), 1, rtol=1e-6)
    assert not np.array_equal(model.logits(IMAGES, steps=3), model.logits(IMAGES, steps=8))


def test_by_default_the_answer_is_that_after_the_last_step_with_input(folder: Path) -> None:
    for backend in ("torch", "onnx"):
        model = load(folder, backend)
        assert model.steps == 3
        np.testing.assert_array_equal(model.logits(IMAGES), model.logits(IMAGES, steps=3))


def test_the_onnx_file_names_its_number_of_steps_and_computes_no_other(folder: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert properties["steps"] == "3"
    model = load(folder, "onnx")
    np.testing.assert_allclose(model.logits(IMAGES, steps=3), load(folder, "torch").logits(IMAGES), atol=1e-5)
    with pytest.raises(LoadError, match="the onnx backend computes 3 steps, found 8; load cells with backend='torch'"):
        model.predict(IMAGES, steps=8)


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "3"])
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_number_of_steps_that_is_not_a_positive_integer_is_refused(folder: Path, backend: str, steps: object) -> None:
    with pytest.raises(InputError, match="steps must be a positive integer, found "):
        load(folder, backend).predict(IMAGES, steps=steps)  # type: ignore[arg-type]


def test_a_trace_holds_cores_and_logits_after_every_step(folder: Path) -> None:
    model = load(folder, "torch")
    trace = model.trace(IMAGES, steps=6)
    assert trace.cores.shape == (6, 5, 4, 5)
    assert trace.logits.shape == (6, 5, 3)
    for steps in (1, 6):
        np.testing.assert_array_equal(trace.logits[steps - 1], model.logits(IMAGES, steps=steps))
    assert not trace.cores[:, :, 2, 2:].any()
    np.testing.assert_allclose(model.trace(IMAGES[0]).cores, trace.cores[:3, 0], atol=1e-5)
    with pytest.raises(LoadError, match="the onnx backend has no module"):
        load(folder, "onnx").trace(IMAGES)
