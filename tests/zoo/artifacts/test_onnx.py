from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from packaging.version import Version
from torch import Tensor, nn

import sdk
import zoo.artifacts.onnx
from sdk import InputSpec
from sdk.artifact import hash_file, read_artifact
from tests.support.artifacts import SPEC
from tests.support.onnx_models import LABELS, logits_of, make, run, write
from zoo.artifacts.onnx import TOLERANCE, _check_labels, build_onnx, check_onnx, write_onnx
from zoo.artifacts.random_inputs import random_inputs
from zoo.config.data import AugmentConfig
from zoo.data.split import ArraySplit
from zoo.data.task import Task
from zoo.families.base import Family, FamilyConfig
from zoo.families.gridnet.onnx import onnx_graph
from zoo.utils.errors import ExportError, IncompleteArtifactError
from zoo.utils.progress import no_progress

CRASHES_ON_NOTHING = Version(onnxruntime.__version__) < Version("1.32")


@pytest.mark.skipif(CRASHES_ON_NOTHING, reason="optimized gridnets crash in older releases")
def test_an_empty_batch_gives_no_logits(tmp_path: Path) -> None:
    assert run(write(tmp_path / "tiny") / "model.onnx", np.zeros((0, 1, 4, 4), np.float32)).shape == (0, 3)


def test_weights_are_stored_once_inside_the_file(tmp_path: Path) -> None:
    for separate in (False, True):
        folder = write(tmp_path / str(separate), grid=(16, 16, 8), block=4, outer_steps=12, separate_params=separate)
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        module = sdk.load(folder, backend="torch").module
        for name, tensor in module.state_dict().items():
            np.testing.assert_array_equal(stored[name], tensor)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        sizes = [(folder / name).stat().st_size for name in ("model.onnx", "model.safetensors")]
        assert sizes[0] <= 1.3 * sizes[1]


def test_the_metadata_describes_the_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    properties = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert properties["name"] == "tiny"
    assert properties["family"] == "gridnet"
    assert json.loads(properties["labels"]) == LABELS
    assert InputSpec.from_json(json.loads(properties["input"])) == SPEC
    assert properties["weights_sha256"] == hash_file(folder / "model.safetensors")
    assert properties["cellzoo_version"] == sdk.__version__


def test_a_file_with_preprocessing_maps_bytes_to_probabilities(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    module = sdk.load(folder, backend="torch")
    out = write_onnx(tmp_path / "raw.onnx", module.module, module.config, preprocessing=True)
    model = onnx.load(out)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    for batch in (1, 7) if CRASHES_ON_NOTHING else (0, 1, 7):
        images = random_inputs(SPEC, batch)
        np.testing.assert_allclose(run(out, images), module.predict_proba(images), atol=1e-6)


class _Linear(nn.Linear):
    """A tabular model, to show that the export is not specific to gridnet."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def _linear_graph(module: nn.Linear, task: Task) -> onnx.ModelProto:
    from zoo.families.onnx_builder import GraphBuilder

    g = GraphBuilder()
    product = g.op("MatMul", "input", g.transpose(g.weight("weight", module.weight), (1, 0)))
    return g.model("linear", g.op("Add", product, g.weight("bias", module.bias)), task.input_shape, task.num_classes)


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace every family with one named linear, with an ONNX graph or without."""

    def install(graph: bool) -> None:
        hook = f"{__name__}:_linear_graph" if graph else None
        family = Family(name="linear", config=FamilyConfig, about="", build="torch.nn:Linear", onnx_graph=hook)
        monkeypatch.setattr(zoo.artifacts.onnx, "get_family", lambda name: family)

    return install


def config_of(folder: Path, **changes: Any) -> Any:

    return replace(read_artifact(folder).config, **changes)


def test_a_tabular_model_of_another_family_exports_the_same_way(tmp_path: Path, linear: Callable[..., None]) -> None:
    spec = InputSpec("table", (2,), (1.0, -2.0), (3.0, 0.5))
    config = config_of(write(tmp_path / "tiny"), family="linear", input=spec)
    linear(graph=True)
    module = _Linear(2, 3)
    rows = random_inputs(spec, 5)
    plain = write_onnx(tmp_path / "plain.onnx", module, config)
    np.testing.assert_allclose(run(plain, spec.prepare(rows)[0]), logits_of(module, spec.prepare(rows)[0]), atol=1e-6)
    raw = write_onnx(tmp_path / "raw.onnx", module, config, preprocessing=True)
    np.testing.assert_allclose(run(raw, rows.astype(np.float32)).sum(-1), 1, atol=1e-6)


def test_a_family_without_an_onnx_form_is_refused(tmp_path: Path, linear: Callable[..., None]) -> None:
    config = config_of(write(tmp_path / "tiny"))
    linear(graph=False)
    with pytest.raises(ExportError, match="family linear has no ONNX form; leave onnx out: -o"):
        build_onnx(nn.Linear(2, 3), config)


def test_a_mismatch_costs_the_graph_and_keeps_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, _ = make(activation="relu")
    model = onnx_graph(other, Task(SPEC.shape, len(LABELS)))
    monkeypatch.setattr("zoo.families.gridnet.onnx.onnx_graph", lambda module, task: model)
    with pytest.raises(IncompleteArtifactError, match=r"ONNX and torch differ by .* on a batch of 1, allowed 0.0001"):
        write(tmp_path / "tiny")
    _holds_weights_alone(tmp_path / "tiny")


def test_an_invalid_graph_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = make()
    model = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    model.graph.node[0].input[0] = "nothing"
    monkeypatch.setattr("zoo.families.gridnet.onnx.onnx_graph", lambda module, task: model)
    with pytest.raises(IncompleteArtifactError, match="the ONNX graph is not valid: "):
        write(tmp_path / "tiny")
    _holds_weights_alone(tmp_path / "tiny")


def _holds_weights_alone(folder: Path) -> None:
    assert "model.onnx" not in read_artifact(folder).config.files
    assert sdk.load(folder).backend == "native"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def _split(count: int) -> ArraySplit:
    images = torch.from_numpy(random_inputs(SPEC, count, seed=5))
    return ArraySplit(images, torch.zeros(count, dtype=torch.long), SPEC, AugmentConfig(), workers=0)


class _Forgetful(nn.Module):
    """Returns the module's logits for a number of calls, then their negatives."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.module = module
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        return self.module(x) if self.calls >= 0 else -self.module(x)


def test_a_different_label_on_the_test_split_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    module, config = sdk.load(folder, backend="torch").module, read_artifact(folder).config
    model = build_onnx(module, config)
    check_onnx(model, module, SPEC, _split(70))
    with pytest.raises(ExportError, match="ONNX and torch predict different labels for test sample 0"):
        check_onnx(model, _Forgetful(module, calls=6), SPEC, _split(70))


class _Saturated(nn.Module):
    """Gives the first two classes the same logit, up to a rounding that depends on the caller."""

    def __init__(self, module: nn.Module, error: float) -> None:
        super().__init__()
        self.module = module
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        logits = self.module(x)
        top = logits.amax(1) + 1
        return torch.stack([top, top + self.error, logits[:, 2]], 1)


def _tying_graph(folder: Path) -> onnx.ModelProto:
    """Return the graph of the model in the folder with the first two logits set to the largest one plus 1."""
    model = build_onnx(sdk.load(folder, backend="torch").module, read_artifact(folder).config)
    graph = model.graph
    graph.node[-1].output[0] = "own"
    steps = [
        helper.make_node("ReduceMax", ["own", "axis"], ["largest"], keepdims=1),
        helper.make_node("Add", ["largest", "one"], ["top"]),
        helper.make_node("Gather", ["own", "two"], ["rest"], axis=1),
        helper.make_node("Concat", ["top", "top", "rest"], ["logits"], axis=1),
    ]
    graph.node.extend(steps)
    constants = {"axis": np.array([1]), "one": np.array(1, np.float32), "two": np.array([2])}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return model


@pytest.mark.parametrize("error", [0.0, 5e-5, -5e-5])
def test_labels_that_tie_within_the_tolerance_are_equal(tmp_path: Path, error: float) -> None:
    folder = write(tmp_path / "tiny")
    module = sdk.load(folder, backend="torch").module
    check_onnx(_tying_graph(folder), _Saturated(module, error), SPEC, _split(70))


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    model = sdk.load(folder, backend="torch")
    (tmp_path / "out.onnx").mkdir()
    with pytest.raises(ExportError, match=r"cannot write .*out\.onnx"):
        write_onnx(tmp_path / "out.onnx", model.module, model.config)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "out.onnx"}


def test_the_file_runs_in_plain_onnxruntime(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    inputs = SPEC.prepare(random_inputs(SPEC, 2))[0]
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    [logits] = session.run(["logits"], {"input": inputs})
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    assert [labels[i] for i in logits.argmax(axis=1)] == sdk.load(folder).predict(random_inputs(SPEC, 2))


@pytest.mark.parametrize(("gap", "tie"), [(1.9 * TOLERANCE, True), (2.1 * TOLERANCE, False)])
def test_labels_tie_if_their_logits_differ_by_the_rounding_of_both_at_most(gap: float, tie: bool) -> None:
    class Session:
        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="input")]

        def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
            return [np.float32([[1, 0]]).repeat(len(feed["input"]), 0)]

    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[0.0, gap]]).repeat(len(x), 1)

    with nullcontext() if tie else pytest.raises(ExportError, match="different labels for test sample 0"):
        _check_labels(Session(), Other(), _split(3), no_progress)
