"""Snapshots models: modes, progressive answers and the record of their snapshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk import ArtifactError
from sdk.families.snapshots import Progressive, SnapshotsModel, answer_progressively, cascade_of, last_of_phases
from tests.support.snapshots import IMAGES, LABELS, Trained, export, members, prepared


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return export(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(params=["native", "onnx", "torch"])
def model(request: pytest.FixtureRequest, artifact: Trained) -> SnapshotsModel:
    loaded = sdk.load(artifact[0], backend=request.param)
    assert isinstance(loaded, SnapshotsModel)
    return loaded


def copy_of(artifact: Trained, folder: Path) -> Path:
    return Path(shutil.copytree(artifact[0], folder / "tiny"))


def test_the_default_mode_is_the_weighted_ensemble(model: SnapshotsModel, artifact: Trained) -> None:
    expected = artifact[1](prepared()).detach().numpy()
    np.testing.assert_allclose(model.logits(IMAGES), expected, atol=1e-5)
    np.testing.assert_array_equal(model.logits(IMAGES, mode="weighted"), model.logits(IMAGES))
    np.testing.assert_allclose(np.exp(model.logits(IMAGES)).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "number"), [("final", 3), ("coarse", 1), ("medium", 2), ("fine", 3), (0, 0), (1, 1), (2, 2)]
)
def test_a_mode_can_name_one_snapshot(model: SnapshotsModel, artifact: Trained, mode: str | int, number: int) -> None:
    expected = artifact[1].member(number, prepared()).detach().numpy()
    np.testing.assert_allclose(model.logits(IMAGES, mode=mode), expected, atol=1e-5)
    assert model.predict(IMAGES, mode=mode) == [LABELS[i] for i in expected.argmax(1)]
    assert model.predict(IMAGES[0], mode=mode) == LABELS[int(expected[0].argmax())]
    np.testing.assert_allclose(model.predict_proba(IMAGES, mode=mode).sum(1), 1, atol=1e-5)


def test_progressive_answers_come_with_their_snapshot_and_cost(model: SnapshotsModel) -> None:
    report = model.progressive(IMAGES, batch_size=4)
    cost = [snapshot.cost for snapshot in model.snapshots]
    assert set(report.snapshot.tolist()) <= {1, 2, 3}
    assert len(set(report.snapshot.tolist())) > 1
    spent = {1: cost[1], 2: cost[1] + cost[2], 3: cost[1] + cost[2] + cost[3]}
    assert report.edges.tolist() == [spent[number] for number in report.snapshot.tolist()]
    for i, number in enumerate(report.snapshot.tolist()):
        np.testing.assert_allclose(report.probabilities[i], model.predict_proba(IMAGES[i], mode=number), atol=1e-6)
    labels = [LABELS[i] for i in report.probabilities.argmax(1)]
    assert model.predict(IMAGES, mode="progressive") == labels


def test_the_threshold_sets_how_early_the_cascade_stops(model: SnapshotsModel) -> None:
    assert set(model.progressive(IMAGES, threshold=0.0).snapshot.tolist()) == {1}
    assert set(model.progressive(IMAGES, threshold=np.float32(1)).snapshot.tolist()) == {3}  # type: ignore[arg-type]
    assert model.predict(IMAGES, mode=np.int64(1)) == model.predict(IMAGES, mode=1)  # type: ignore[call-overload]
    assert model.threshold == pytest.approx(0.6)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_mixing_cascade_that_never_stops_early_gives_the_weighted_ensemble(tmp_path: Path, backend: str) -> None:
    path, _ = export(tmp_path, progressive="mixture")
    model = sdk.load(path, backend=backend)
    assert isinstance(model, SnapshotsModel)
    report = model.progressive(IMAGES, threshold=1.0)
    np.testing.assert_allclose(report.probabilities, model.predict_proba(IMAGES), atol=1e-5)
    assert set(report.edges.tolist()) == {sum(snapshot.cost for snapshot in model.snapshots[1:])}
    first = model.progressive(IMAGES, threshold=0.0)
    np.testing.assert_allclose(first.probabilities, model.predict_proba(IMAGES, mode="coarse"), atol=1e-5)


def test_a_config_with_an_unknown_kind_of_cascade_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["model"]["progressive"] = "all"
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="model progressive: found 'all', allowed: last, mixture"):
        sdk.load(path, backend="onnx")


def test_progressive_treats_a_single_input_and_no_input_as_batches(model: SnapshotsModel) -> None:
    assert model.progressive(IMAGES[0]).probabilities.shape == (1, 3)
    assert model.progressive(IMAGES[:0]).probabilities.shape == (0, 3)


def test_snapshots_are_listed_oldest_first(model: SnapshotsModel) -> None:
    assert [s.phase for s in model.snapshots] == ["coarse", "coarse", "medium", "fine"]
    assert [s.number for s in model.snapshots] == [0, 1, 2, 3]
    assert [s.epoch for s in model.snapshots] == [1, 50, 100, 150]
    assert [s.weight for s in model.snapshots] == pytest.approx([0, 0.2, 0.3, 0.5])
    assert model.snapshots[0].edges < model.snapshots[3].edges <= model.snapshots[3].cost
    assert model.metrics["growth"] == [{"epoch": 50, "structures": 3, "edges": model.snapshots[3].edges}]


@pytest.mark.parametrize("mode", ["coarsest", 4, -1, True, None, 1.0])
def test_an_unknown_mode_is_refused_and_the_modes_are_listed(model: SnapshotsModel, mode: Any) -> None:
    with pytest.raises(ValueError, match=r"allowed: weighted, progressive, final, coarse, medium, fine, or a snapshot"):
        model.predict(IMAGES, mode=mode)


def test_an_invalid_threshold_or_batch_size_is_refused(model: SnapshotsModel) -> None:
    with pytest.raises(ValueError, match="threshold must be a number, found 'high'"):
        model.progressive(IMAGES, threshold="high")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold: found 90, allowed 0 to 1"):
        model.progressive(IMAGES, threshold=90)
    with pytest.raises(ValueError, match="batch_size must be a positive integer, found 0"):
        model.progressive(IMAGES, batch_size=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("snapshots"), "snapshots must be a list, found None"),
        (lambda m: m.update(snapshots=[]), r"snapshots: found \[\], expected at least one"),
        (lambda m: m["snapshots"][1].pop("cost"), r"snapshots\[1\] lacks 'cost'"),
        (lambda m: m["snapshots"][1].update(edges="many"), r"snapshots\[1\] edges must be an integer, found 'many'"),
        (lambda m: m.update(progressive_threshold=None), "progressive_threshold must be a number, found None"),
        (lambda m: m["snapshots"].append(m["snapshots"][0]), "snapshots: lists 5, the model has 4"),
    ],
)
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_metrics_that_do_not_describe_the_snapshots_are_refused(
    artifact: Trained, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str, backend: str
) -> None:
    path = copy_of(artifact, tmp_path)
    config = json.loads((path / "config.json").read_text())
    change(config["metrics"])
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=message):
        sdk.load(path, backend=backend)


def test_the_cascade_runs_the_last_snapshot_of_each_phase() -> None:
    assert last_of_phases(["coarse", "coarse", "medium", "fine", "fine"]) == [1, 2, 4]
    assert last_of_phases([2]) == [0]


def test_given_weights_the_cascade_also_runs_every_weighted_snapshot() -> None:
    assert cascade_of(["coarse", "medium", "medium", "fine", "fine"], [0.0, 0.3, 0.0, 0.0, 0.7]) == [0, 1, 2, 4]


def test_the_cascade_stops_at_a_confident_answer_and_counts_the_edges_spent() -> None:
    probabilities = np.array(
        [[[0.95, 0.05], [0.6, 0.4]], [[0.0, 1.0], [0.0, 1.0]], [[0.3, 0.7], [0.1, 0.9]]], np.float32
    )
    ran: list[tuple[int, list[int]]] = []

    def member(number: int, rows: np.ndarray) -> np.ndarray:
        ran.append((number, rows.tolist()))
        return probabilities[number, rows]

    found = answer_progressively(member, [0, 2], [10, 100, 1000], 0.9, 2)
    assert ran == [(0, [0, 1]), (2, [1])]
    assert found.snapshot.tolist() == [0, 2]
    assert found.edges.tolist() == [10, 1010]
    assert found.probabilities.tolist() == [probabilities[0, 0].tolist(), probabilities[2, 1].tolist()]


def test_samples_that_never_reach_the_threshold_get_the_last_members_answer() -> None:
    probabilities = np.full((2, 3, 2), 0.5, np.float32)
    found = answer_progressively(lambda number, rows: probabilities[number, rows], [0, 1], [1, 2], 0.9, 3)
    assert found.snapshot.tolist() == [1, 1, 1]
    assert found.edges.tolist() == [3, 3, 3]


def test_a_mixing_cascade_answers_with_the_mixture_of_the_members_run() -> None:
    probabilities, _ = members(0.5, 0.6, 0.8)
    weights = [0.2, 0.3, 0.5]

    def run(threshold: float) -> Progressive:
        own = probabilities.numpy()
        return answer_progressively(lambda n, rows: own[n, rows], [0, 1, 2], [1, 10, 100], threshold, 4000, weights)

    full = run(1.0)
    np.testing.assert_allclose(full.probabilities, np.einsum("s,snc->nc", weights, probabilities), rtol=1e-5)
    assert set(full.edges.tolist()) == {111}
    early = run(0.55)
    stopped = early.snapshot == 1  # after two members
    expected = (0.2 * probabilities[0] + 0.3 * probabilities[1]).numpy()[stopped] / 0.5
    assert stopped.any()
    np.testing.assert_allclose(early.probabilities[stopped], expected, rtol=1e-5)
    assert (early.probabilities[stopped].max(-1) > 0.55).all()


def test_an_unweighted_member_answers_only_until_a_weighted_one_runs() -> None:
    probabilities = np.array([[[0.8, 0.2]], [[0.1, 0.9]]], np.float32)
    for threshold, answer in ((0.5, [0.8, 0.2]), (0.8, [0.1, 0.9])):
        found = answer_progressively(lambda n, rows: probabilities[n, rows], [0, 1], [1, 2], threshold, 1, [0.0, 1.0])
        assert found.probabilities[0].tolist() == pytest.approx(answer, abs=1e-5)
