"""The probe, what it measures beside, the bench and single snapshots as files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tests.support.snapshots import SHORT
from zoo.artifacts.from_run import export_run
from zoo.cli import cli
from zoo.families.probing import ProbeContext
from zoo.families.registry import get_family
from zoo.families.snapshots import baselines, bench
from zoo.families.snapshots import probe as module
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    recipe = load_recipe("snapshots-digits", SHORT)
    return train(recipe, run_dir=tmp_path_factory.mktemp("run"), device="cpu", progress=False)


@pytest.fixture(scope="module")
def artifact(result: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(result, tmp_path_factory.mktemp("exports") / "snapshots-digits")


def test_a_training_grows_and_reports_its_snapshots(result: TrainResult, artifact: Path) -> None:
    assert result.findings["growth"]
    metrics = json.loads((artifact / "config.json").read_text())["metrics"]
    assert metrics["snapshots"] == result.findings["snapshots"]
    assert metrics["growth"][-1]["edges"] == metrics["snapshots"][-1]["edges"]
    assert {entry["phase"] for entry in metrics["snapshots"]} == {"coarse", "fine"}


def test_the_probe_measures_every_way_to_answer_and_draws(
    result: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEPS", 10)
    context = ProbeContext(
        module=result.module,
        config=result.recipe.model,
        task=result.data.task,
        data=result.data,
        seed=0,
        history=result.history,
        figures=tmp_path,
    )
    findings = module.probe(context)
    metrics = findings.metrics
    assert metrics["weighted"]["accuracy"] == pytest.approx(result.test.accuracy)
    assert len(metrics["snapshots"]) == len(result.findings["snapshots"])
    costs = {entry["phase"]: entry["cost"] for entry in result.findings["snapshots"]}
    assert [point["edges"] for point in metrics["random_mask"]] == list(costs.values())
    assert [point["edges"] for point in metrics["magnitude_pruned"]] == list(costs.values())
    assert min(costs.values()) <= metrics["progressive"]["edges"] <= sum(costs.values())
    assert metrics["dense"][0]["edges"] == 64 * 64 + 64 * 32 + 32 * 10
    assert {path.name for path in tmp_path.iterdir()} == {"growth.png", "inputs.png", "spent.png"}
    assert set(findings.figures) == {"growth.png", "inputs.png", "spent.png"}


@pytest.mark.parametrize("edges", [50, 300])
def test_masked_and_pruned_networks_have_as_many_edges_as_asked_for_and_keep_them(edges: int) -> None:
    layout, config = Layout((20, 16, 8, 4)), SnapshotsConfig()
    batch = (torch.randn(32, 20), torch.randint(0, 4, (32,)))
    for make in (baselines.mask_randomly, baselines.prune_smallest):
        torch.manual_seed(0)
        network = baselines.dense(layout, config)
        make(network, edges)
        baselines.fit(network, lambda epoch: [batch] * 3, 3, 2)
        left = sum(int((layer.weight != 0).sum()) for layer in network.modules() if isinstance(layer, nn.Linear))
        assert left == pytest.approx(edges, abs=1)


def test_the_bench_compares_with_the_dense_form() -> None:
    row = bench.row((40, 20, 10), 0.05, batch=8, seconds=0.01)
    assert row["network"] == "40-20-10"
    assert row["density"] == "5.00%"
    assert all(math.isfinite(row[key]) and row[key] > 0 for key in ("forward ms", "dense / forward"))
    assert {0.0001, 0.001, 0.01, 0.05} <= set(bench.DENSITIES)
    assert bench.NETWORKS == ((784, 256, 128, 10), (4096, 4096, 4096))


@pytest.mark.parametrize(("member", "number"), [("coarse", 0), ("fine", -1), ("0", 0)])
def test_a_single_snapshot_is_exported_on_request(
    result: TrainResult, artifact: Path, tmp_path: Path, member: str, number: int
) -> None:
    out = tmp_path / "one.onnx"
    done = CliRunner().invoke(cli, ["export", str(artifact), "--member", member, "--out", str(out)])
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(out)
    assert [value.name for value in session.get_outputs()] == ["logits"]
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    net = result.module
    wanted = net.member(number % len(net.snapshots), torch.from_numpy(x)).detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(session.run(["logits"], {"input": x})[0], wanted, atol=1e-5)


def test_a_member_that_is_not_there_is_named_with_those_that_are(artifact: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(artifact), "--member", "huge", "--out", str(tmp_path / "x.onnx")])
    assert done.exit_code == 1
    assert "has no member 'huge'; it has coarse, fine, 0" in done.output
    done = CliRunner().invoke(cli, ["export", str(artifact), "--member", "coarse"])
    assert done.exit_code == 2
    assert "give --out FILE for --member" in done.output


def test_the_family_offers_its_hooks() -> None:
    family = get_family("snapshots")
    assert family.probe is not None
    assert family.bench is not None
    assert family.onnx_graph is not None
