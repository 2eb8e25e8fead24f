"""A trained network as an artifact: safetensors and ONNX out, the SDK's modes in, strangers' files refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file

import sdk
from sdk import ArtifactError, InputSpec
from sdk.families.snapshots import SnapshotsModel
from zoo.artifacts.writer import write_artifact
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.onnx import onnx_graph
from zoo.families.snapshots.summary import describe
from zoo.utils.provenance import gather_provenance

SPEC = InputSpec("image", (1, 2, 3), (0.5,), (0.25,))
Trained = tuple[Path, SnapshotNet]
LABELS = ["a", "b", "c"]
IMAGES = np.random.default_rng(0).random((9, 1, 2, 3), np.float32)


def trained(**options: Any) -> tuple[SnapshotNet, SnapshotsConfig]:
    """A network with four snapshots: two coarse, a medium and a fine one; the first coarse one has no weight."""
    torch.manual_seed(0)
    config = SnapshotsConfig(**{"hidden": (5, 4), "max_density": 0.9, **options})
    net = SnapshotNet(config, Task(SPEC.shape, len(LABELS)))
    saved = [net.freeze(1, 0, 0.25)]
    for epoch, phase in ((50, 0), (100, 1), (150, 2)):
        free = [(s, 15 + (s + phase) % 3) for s in range(3 * phase, 3 * phase + 6)] + [(14, 6 + phase)]
        pairs = torch.tensor([p for p in free if config.routing.reciprocal or p[0] < p[1]])
        if epoch > 50:
            net.lay(pairs[:, 0], pairs[:, 1], torch.randn(len(pairs)))
        with torch.no_grad():
            net.weight[: int(net.edges)] += 0.5
            net.bias.normal_()
        saved.append(net.freeze(epoch, phase, epoch / 200))
    net.snapshots.replace(saved)
    net.set_ensemble(torch.tensor([0.0, 0.2, 0.3, 0.5]), 0.6)
    net.record_growth(50, 3)
    return net.eval(), config


def export(folder: Path, **options: Any) -> Trained:
    net, config = trained(**options)
    path = write_artifact(
        folder / "tiny",
        name="tiny",
        module=net,
        model_config=config,
        input_spec=SPEC,
        labels=LABELS,
        metrics=describe(net),
        provenance=gather_provenance("seed: 0\n", seed=0, steps=0, wall_seconds=0.0, data={"name": "none"}),
        recipe_yaml="seed: 0\n",
        licence="MIT",
        formats=("safetensors", "onnx"),
    )
    return path, net


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return export(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(params=["onnx", "torch"])
def model(request: pytest.FixtureRequest, artifact: Trained) -> SnapshotsModel:
    loaded = sdk.load(artifact[0], backend=request.param)
    assert isinstance(loaded, SnapshotsModel)
    return loaded


def prepared() -> torch.Tensor:
    return torch.from_numpy(SPEC.prepare(IMAGES)[0])


def test_the_default_is_the_weighted_ensemble(model: SnapshotsModel, artifact: Trained) -> None:
    expected = artifact[1](prepared()).detach().numpy()
    np.testing.assert_allclose(model.logits(IMAGES), expected, atol=1e-5)
    np.testing.assert_array_equal(model.logits(IMAGES, mode="weighted"), model.logits(IMAGES))
    np.testing.assert_allclose(np.exp(model.logits(IMAGES)).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "number"), [("final", 3), ("coarse", 1), ("medium", 2), ("fine", 3), (0, 0), (1, 1), (2, 2)]
)
def test_a_mode_may_name_one_snapshot(model: SnapshotsModel, artifact: Trained, mode: str | int, number: int) -> None:
    expected = artifact[1].member(number, prepared()).detach().numpy()
    np.testing.assert_allclose(model.logits(IMAGES, mode=mode), expected, atol=1e-5)
    assert model.predict(IMAGES, mode=mode) == [LABELS[i] for i in expected.argmax(1)]
    assert model.predict(IMAGES[0], mode=mode) == LABELS[int(expected[0].argmax())]
    np.testing.assert_allclose(model.predict_proba(IMAGES, mode=mode).sum(1), 1, atol=1e-5)


def test_progressive_answers_say_who_gave_them_and_what_they_cost(model: SnapshotsModel) -> None:
    report = model.progressive(IMAGES, batch_size=4)
    cost = [snapshot.cost for snapshot in model.snapshots]
    assert set(report.snapshot.tolist()) <= {1, 2, 3}
    assert len(set(report.snapshot.tolist())) > 1
    way = {1: cost[1], 2: cost[1] + cost[2], 3: cost[1] + cost[2] + cost[3]}
    assert report.edges.tolist() == [way[number] for number in report.snapshot.tolist()]
    for i, number in enumerate(report.snapshot.tolist()):
        np.testing.assert_allclose(report.probabilities[i], model.predict_proba(IMAGES[i], mode=number), atol=1e-6)
    labels = [LABELS[i] for i in report.probabilities.argmax(1)]
    assert model.predict(IMAGES, mode="progressive") == labels


def test_the_threshold_decides_how_soon_an_answer_is_given(model: SnapshotsModel) -> None:
    assert set(model.progressive(IMAGES, threshold=0.0).snapshot.tolist()) == {1}
    assert set(model.progressive(IMAGES, threshold=1.0).snapshot.tolist()) == {3}
    assert model.threshold == pytest.approx(0.6)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_where_progressive_answers_are_mixtures_whoever_stays_unsure_gets_the_ensemble(
    tmp_path: Path, backend: str
) -> None:
    path, _ = export(tmp_path, progressive="mixture")
    model = sdk.load(path, backend=backend)
    assert isinstance(model, SnapshotsModel)
    report = model.progressive(IMAGES, threshold=1.0)
    np.testing.assert_allclose(report.probabilities, model.predict_proba(IMAGES), atol=1e-5)
    assert set(report.edges.tolist()) == {sum(snapshot.cost for snapshot in model.snapshots[1:])}
    first = model.progressive(IMAGES, threshold=0.0)
    np.testing.assert_allclose(first.probabilities, model.predict_proba(IMAGES, mode="coarse"), atol=1e-5)


def test_a_config_with_an_unknown_kind_of_progressive_answers_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["model"]["progressive"] = "all"
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="model progressive must be last or mixture, found 'all'"):
        sdk.load(path, backend="onnx")


def test_one_input_and_no_input_are_batches_for_progressive_answers(model: SnapshotsModel) -> None:
    assert model.progressive(IMAGES[0]).probabilities.shape == (1, 3)
    assert model.progressive(IMAGES[:0]).probabilities.shape == (0, 3)


def test_the_snapshots_are_listed_oldest_first(model: SnapshotsModel) -> None:
    assert [s.phase for s in model.snapshots] == ["coarse", "coarse", "medium", "fine"]
    assert [s.number for s in model.snapshots] == [0, 1, 2, 3]
    assert [s.epoch for s in model.snapshots] == [1, 50, 100, 150]
    assert [s.weight for s in model.snapshots] == pytest.approx([0, 0.2, 0.3, 0.5])
    assert model.snapshots[0].edges < model.snapshots[3].edges <= model.snapshots[3].cost
    assert model.metrics["growth"] == [{"epoch": 50, "structures": 3, "edges": model.snapshots[3].edges}]


@pytest.mark.parametrize("mode", ["coarsest", 4, -1, True, None, 1.0])
def test_an_unknown_mode_is_refused_with_those_there_are(model: SnapshotsModel, mode: Any) -> None:
    with pytest.raises(ValueError, match=r"allowed: weighted, progressive, final, coarse, medium, fine, or a snapshot"):
        model.predict(IMAGES, mode=mode)


def test_a_threshold_or_batch_size_that_is_none_is_refused(model: SnapshotsModel) -> None:
    with pytest.raises(ValueError, match="threshold must be a number, found 'high'"):
        model.progressive(IMAGES, threshold="high")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size must be a positive integer, found 0"):
        model.progressive(IMAGES, batch_size=0)


def test_one_safetensors_file_holds_base_deltas_and_history(artifact: Trained) -> None:
    tensors = load_file(artifact[0] / "model.safetensors")
    assert {"weight", "bias", "source", "target", "edges", "events", "mixture", "threshold"} <= set(tensors)
    assert {f"snapshots.{name}" for name in ("base", "index", "value", "sizes", "facts", "accuracy")} <= set(tensors)


def test_reconstruction_from_the_file_is_bit_exact(artifact: Trained) -> None:
    module = sdk.load(artifact[0], backend="torch").module
    for number in range(4):
        saved, found = artifact[1].snapshots[number].values, module.snapshots[number].values
        assert torch.equal(saved.view(torch.int32), found.view(torch.int32))


def test_edges_that_lead_back_are_exported_too(tmp_path: Path) -> None:
    path, net = export(tmp_path, activation="relu", sweeps=3)
    assert net.wiring(int(net.edges)).recurrent
    for backend in ("onnx", "torch"):
        loaded = sdk.load(path, backend=backend)
        np.testing.assert_allclose(loaded.logits(IMAGES), net(prepared()).detach().numpy(), atol=1e-5)


def test_a_network_without_ensemble_is_exported_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = SnapshotNet(SnapshotsConfig(hidden=(5, 4), max_density=0.9), Task(SPEC.shape, 3)).eval()
    session = onnxruntime.InferenceSession(onnx_graph(net, Task(SPEC.shape, 3)).SerializeToString())
    found = session.run(["logits"], {"input": prepared().numpy()})[0]
    np.testing.assert_allclose(found, net(prepared()).detach().numpy(), atol=1e-6)


# --- files of strangers ---


def copy_of(artifact: Trained, folder: Path) -> Path:
    return Path(shutil.copytree(artifact[0], folder / "tiny"))


def _reseal(folder: Path, path: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    content = (folder / path).read_bytes()
    config["files"][path] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "config.json").write_text(json.dumps(config))


def _edit_metrics(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config["metrics"])
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("edges", np.array(10**6, np.int32), "edges is 1000000"),
        ("source", -1, "source and target name units outside"),
        ("snapshots.sizes", 2**30, r"snapshots\.sizes: delta 0 has 1073741824 values"),
        ("snapshots.index", 2**30, r"snapshots\.index: delta 0 names values outside"),
    ],
)
def test_a_file_whose_tensors_lie_is_refused(
    artifact: Trained, tmp_path: Path, tensor: str, value: Any, message: str
) -> None:
    path = copy_of(artifact, tmp_path)
    tensors = load_file(path / "model.safetensors")
    if isinstance(value, np.ndarray):
        tensors[tensor] = value
    else:
        tensors[tensor].flat[0] = value
    save_file(tensors, path / "model.safetensors")
    _reseal(path, "model.safetensors")
    with pytest.raises(ArtifactError, match=rf"model\.safetensors: {message}"):
        sdk.load(path, backend="torch")


def test_a_file_with_more_slots_than_its_config_allows_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    tensors = load_file(path / "model.safetensors")
    tensors["weight"] = np.zeros(10**5, np.float32)
    save_file(tensors, path / "model.safetensors")
    _reseal(path, "model.safetensors")
    with pytest.raises(ArtifactError, match=r"tensor weight is float32 \[100000\], the model needs float32"):
        sdk.load(path, backend="torch")


def test_a_config_that_asks_for_far_more_than_its_file_holds_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["model"]["hidden"] = [8192] * 8
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="far larger than its weights file"):
        sdk.load(path, backend="torch")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("snapshots"), "snapshots must be a list, found None"),
        (lambda m: m.update(snapshots=[]), "snapshots must list at least one"),
        (lambda m: m["snapshots"][1].pop("cost"), r"snapshots\[1\] lacks 'cost'"),
        (lambda m: m["snapshots"][1].update(edges="many"), r"snapshots\[1\] edges must be an integer, found 'many'"),
        (lambda m: m.update(progressive_threshold=None), "progressive_threshold must be a number, found None"),
        (lambda m: m["snapshots"].append(m["snapshots"][0]), "lists 5 snapshots, the model has 4"),
    ],
)
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_metrics_that_do_not_describe_the_snapshots_are_refused(
    artifact: Trained, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str, backend: str
) -> None:
    path = copy_of(artifact, tmp_path)
    _edit_metrics(path, change)
    with pytest.raises(ArtifactError, match=message):
        sdk.load(path, backend=backend)
