"""The shipped snapshots-mnist, by its own record; tests/test_exports.py measures its accuracy again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sdk.artifact import ArtifactConfig, read_artifact
from sdk.catalog import bundled_models
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.start import start_counts


@pytest.fixture(scope="module")
def config() -> ArtifactConfig:
    return read_artifact(bundled_models()["snapshots-mnist"], files=[]).config


@pytest.fixture(scope="module")
def metrics(config: ArtifactConfig) -> dict[str, Any]:
    return config.metrics


def test_the_model_grew_from_a_ten_thousandth_of_the_edges_to_at_most_a_twentieth(config: ArtifactConfig) -> None:
    model = SnapshotsConfig.model_validate(config.model)
    layout = Layout((math.prod(config.input.shape), *model.hidden, len(config.labels)))
    assert layout.possible == 234_752
    assert sum(start_counts(layout, model.start)) == 24
    edges = [event["edges"] for event in config.metrics["growth"]]
    assert edges == sorted(edges)
    assert 24 < edges[0] <= edges[-1] <= 11_737


def test_the_model_grew_in_a_few_events_and_has_snapshots_of_every_phase(metrics: dict[str, Any]) -> None:
    assert 5 <= len(metrics["growth"]) <= 15
    assert 3 <= len(metrics["snapshots"]) <= 8
    assert {snapshot["phase"] for snapshot in metrics["snapshots"]} == {"coarse", "medium", "fine"}


def test_the_ensemble_is_at_least_as_good_as_its_best_member(metrics: dict[str, Any]) -> None:
    found = metrics["probe"]
    assert found["weighted"]["accuracy"] == pytest.approx(metrics["test_accuracy"], abs=1e-4)
    assert found["weighted"]["accuracy"] >= max(member["accuracy"] for member in found["snapshots"])
    assert metrics["test_accuracy"] >= 0.965


def test_progressive_answers_halve_the_cost_for_less_than_a_third_of_a_point(metrics: dict[str, Any]) -> None:
    weighted, progressive = metrics["probe"]["weighted"], metrics["probe"]["progressive"]
    assert progressive["accuracy"] >= weighted["accuracy"] - 0.003
    assert progressive["edges"] < weighted["edges"] / 2


def test_the_record_covers_three_seeds(metrics: dict[str, Any]) -> None:
    assert metrics["seeds"] == 3
