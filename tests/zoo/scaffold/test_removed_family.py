"""A model whose family was in a package that is no longer installed: its graph predicts, all else names the package."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import sdk
from tests.support.command import fails, run, runs
from tests.support.paths import ROOT
from zoo.artifacts.stored_recipe import recipe_of_artifact  # noqa: F401  # imports torch once

PACKAGE = "cellzoo-ring 0.1.0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundled model, changed as if its family had come from the package."""
    folder = tmp_path_factory.mktemp("removed") / "ring-digits"
    shutil.copytree(ROOT / "exports" / "normnet-digits", folder)
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("family: normnet", "family: ring"))
    graph = onnx.load(str(folder / "model.onnx"))
    next(entry for entry in graph.metadata_props if entry.key == "family").value = "ring"
    onnx.save(graph, str(folder / "model.onnx"))
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["family"] = config["model"]["family"] = "ring"
    config["provenance"]["family_package"] = PACKAGE
    for file in ("recipe.yaml", "model.onnx"):
        content = (folder / file).read_bytes()
        config["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    path.write_text(json.dumps(config))
    return folder


def test_the_graph_still_predicts(model: Path) -> None:
    assert sdk.load(model).backend == "onnx"
    image = np.eye(8, dtype=np.float32)
    assert sdk.load(model).predict(image) == sdk.load("bundled:normnet-digits", backend="onnx").predict(image)
    assert "ring" in runs("info", str(model))


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "{}"],
        ["eval", "{}", "--backend", "torch"],
        ["probe", "{}"],
        ["probe", "{}", "--suite", "robustness"],
        ["card", "{}"],
        ["compare", "{}", "--data", "digits", "--measure"],
        ["export", "{}", "--out", "x.onnx"],
        ["export", "{}", "--out", "x.pt2"],
        ["push", "{}", "--repo-id", "alice/ring", "--dry-run"],
        ["train", "normnet-digits", "-o", "train.start_from={}"],
    ],
    ids=lambda command: "-".join(word.strip("-{}") for word in command),
)
def test_whatever_needs_the_family_names_its_package(
    command: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = fails(1, *(word.format(model) for word in command))
    assert PACKAGE in line
    assert "not installed" in line
    assert not list(tmp_path.iterdir())


def test_the_torch_backend_names_it_too(model: Path) -> None:
    with pytest.raises(sdk.ArtifactError, match=f"{PACKAGE}', which is not installed"):
        sdk.load(model, backend="torch")
    assert run("predict", str(model), "x.png", "--backend", "torch").exit_code == 1
