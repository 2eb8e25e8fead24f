"""Pickled and copied models refer to their files and open them again."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

import sdk
from sdk import LoadError
from sdk.artifact import read_artifact
from sdk.backends import backends_of
from sdk.catalog import bundled_models
from sdk.loading import open_model
from tests.support.artifacts import images, write_tiny
from tests.support.paths import ROOT

BACKENDS = ("torch", "onnx", "native")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with every format."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", formats=("safetensors", "onnx"))


def through_joblib(model: sdk.Model) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "duplicate", [lambda model: pickle.loads(pickle.dumps(model)), copy.copy, copy.deepcopy, through_joblib]
)
def test_a_copy_predicts_the_same_bits(both: Path, backend: str, duplicate: Any) -> None:
    model = sdk.load(both, backend=backend)
    other = duplicate(model)
    assert "not opened yet" in repr(other)
    np.testing.assert_array_equal(other.logits(images(5)), model.logits(images(5)))
    assert (other.backend, other.origin, repr(other)) == (backend, model.origin, repr(model))
    assert other._runner is not model._runner


def test_a_pickle_holds_a_reference_and_no_weights(both: Path) -> None:
    content = pickle.dumps(sdk.load(both, backend="torch", device=torch.device("cpu")))
    assert len(content) < 500
    assert str(both).encode() in content
    assert b"torch\x94" in content
    assert b"_rebuild" not in content


def test_a_copy_opens_with_the_options_of_the_original(both: Path) -> None:
    model = sdk.load(both, backend="onnx", threads=1, providers=["cpu"])
    other = copy.deepcopy(model)
    assert other._runner.session.get_session_options().intra_op_num_threads == 1  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(copy.deepcopy(model))).name == "tiny"


@pytest.mark.parametrize("name", ["cellnet-digits", "nca-iris", "normnet-digits", "snapshots-digits"])
def test_models_of_every_family_can_be_copied(name: str) -> None:
    for backend in backends_of(read_artifact(bundled_models()[name], files=[]).config):
        model = sdk.load(name, backend=backend)
        other = pickle.loads(pickle.dumps(model))
        assert type(other) is type(model)
        shape = (3, *model.input_spec.shape)
        np.testing.assert_array_equal(other.logits(np.full(shape, 0.5)), model.logits(np.full(shape, 0.5)))


def predict_elsewhere(model: sdk.Model) -> list[str]:
    return [repr(model), *model.predict(images(4))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_spawned_process_opens_the_model_itself(both: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    model = sdk.load(both, backend=backend)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first, *labels = pool.apply(predict_elsewhere, (model,))
    assert "not opened yet" in first
    assert labels == model.predict(images(4))


def test_a_copy_of_a_model_whose_folder_has_gone_says_so(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    content = pickle.dumps(sdk.load(folder))
    shutil.rmtree(folder)
    other = pickle.loads(content)
    assert repr(other) == f"<{folder}, native backend, not opened yet>"
    for _ in range(2):
        with pytest.raises(LoadError, match=r"cannot open the pickled model .*tiny here: no model at .*no such folder"):
            other.predict(images(1))


def test_a_copy_never_silently_becomes_another_model(tmp_path: Path) -> None:
    content = pickle.dumps(sdk.load(write_tiny(tmp_path / "tiny")))
    module = sdk.load(tmp_path / "tiny", backend="torch").module
    with torch.no_grad():
        module.readout.weight.add_(1)
    write_tiny(tmp_path / "tiny", module=module, overwrite=True)
    with pytest.raises(LoadError, match="another model is there now; load it with"):
        pickle.loads(content).predict(images(1))


def test_weights_that_changed_since_loading_are_not_lost_silently(both: Path) -> None:
    model = sdk.load(both, backend="torch")
    model.predict(images(3))
    model.module.train()
    model.module.eval()
    pickle.dumps(model)
    with torch.no_grad():
        model.module.readout.weight.add_(1)
    with pytest.raises(LoadError, match="the weights of tiny were changed after it was loaded"):
        copy.deepcopy(model)


def test_a_model_without_origin_cannot_be_pickled(both: Path) -> None:
    with pytest.raises(LoadError, match=r"tiny was not loaded by sdk\.load, so it cannot be pickled"):
        pickle.dumps(open_model(read_artifact(both), "torch"))


def test_a_missing_attribute_is_an_attribute_error_before_and_after_opening(both: Path) -> None:
    other = copy.deepcopy(sdk.load(both))
    for _ in range(2):
        with pytest.raises(AttributeError, match="'GridnetModel' object has no attribute 'weights'"):
            _ = other.weights
    assert not hasattr(other, "__array__")
