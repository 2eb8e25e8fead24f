from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner, Result

import sdk
import zoo.families.gridnet.model
from sdk.artifact import CARD_FIGURES, read_artifact
from tests.support.artifacts import files_of
from zoo.cli import cli
from zoo.families.gridnet.model import Gridnet
from zoo.families.probing import Findings, ProbeContext

SMALL = [
    "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}",
    "train.epochs=null",
    "train.steps=4",
    "train.checkpoint_every=2",
]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Train a small gridnet and return its folder."""
    overrides = [part for override in SMALL for part in ("-o", override)]
    out = tmp_path / "model"
    run("train", "gridnet-digits", *overrides, "--quiet", "--out", str(out), "--run-dir", str(tmp_path / "run"))
    return out


@pytest.fixture
def probing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace gridnet's probe."""

    def use(probe: Callable[[ProbeContext], Findings] | None) -> None:
        family = zoo.families.gridnet.FAMILY
        hook = family.probe if probe else None
        monkeypatch.setattr(zoo.families.gridnet, "FAMILY", replace(family, probe=hook))
        monkeypatch.setattr("zoo.families.gridnet.probe.probe", probe)

    return use


def draw(context: ProbeContext, *names: str) -> None:
    for name in names:
        matplotlib.image.imsave(context.figures / name, np.zeros((4, 4)))


def test_findings_and_figures_go_into_the_artifact_and_its_card(model: Path, probing: Callable[..., None]) -> None:
    def probe(context: ProbeContext) -> Findings:
        draw(context, "a.png")
        return Findings({"depth": context.history[-1]["step"]}, "It is **deep**.", {"a.png": "How deep it is"})

    probing(probe)
    before = read_artifact(model).config
    result = run("probe", str(model))
    assert result.exit_code == 0, result.output
    assert "It is **deep**." in result.output
    assert str(model / "figures" / "a.png") in result.output
    config = read_artifact(model).config
    assert config.metrics == {**before.metrics, "probe": {"depth": 4}}
    assert set(config.files) == {*before.files, "probe.md", "figures/a.png"}
    assert config.files["model.safetensors"] == before.files["model.safetensors"]
    for text in ((model / "probe.md").read_text(), (model / "README.md").read_text()):
        assert "It is **deep**.\n\n![a](figures/a.png)\n\n*How deep it is*" in text
    sdk.load(model, backend="torch")


def test_the_probe_receives_the_trained_module_its_data_and_its_history(
    model: Path, probing: Callable[..., None]
) -> None:
    seen: list[ProbeContext] = []

    def probe(context: ProbeContext) -> Findings:
        seen.append(context)
        assert list(context.figures.iterdir()) == []
        return Findings({}, "nothing", {})

    probing(probe)
    assert run("probe", str(model)).exit_code == 0
    [context] = seen
    assert isinstance(context.module, Gridnet)
    assert not context.module.training
    assert context.config == context.module.config
    assert (len(context.data.test), context.task.num_classes, context.seed) == (360, 10, 0)
    assert [record["step"] for record in context.history] == [2, 4]


def test_a_second_probe_replaces_the_first(model: Path, probing: Callable[..., None]) -> None:
    def probe(name: str) -> Callable[[ProbeContext], Findings]:
        def drawn(context: ProbeContext) -> Findings:
            draw(context, name)
            return Findings({name: 1}, f"about {name}", {name: name})

        return drawn

    probing(probe("a.png"))
    run("probe", str(model))
    probing(probe("b.png"))
    result = run("probe", str(model), "--json")
    assert json.loads(result.output) == {"b.png": 1}
    assert {path.name for path in (model / "figures").iterdir()} == {"b.png", *CARD_FIGURES}
    assert read_artifact(model).config.metrics["probe"] == {"b.png": 1}
    assert "a.png" not in (model / "README.md").read_text()


def test_a_model_without_history_is_probed_with_an_empty_history(model: Path, probing: Callable[..., None]) -> None:
    (model / "history.json").unlink()
    config = json.loads((model / "config.json").read_text())
    del config["files"]["history.json"]
    (model / "config.json").write_text(json.dumps(config))
    probing(lambda context: Findings({"rounds": len(context.history)}, "none", {}))
    assert json.loads(run("probe", str(model), "--json").output) == {"rounds": 0}


def test_a_family_without_a_probe_fails_with_one_clear_line(model: Path, probing: Callable[..., None]) -> None:
    probing(None)
    result = run("probe", str(model))
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "family gridnet has no probe; families that have one: " in line


def test_figures_and_captions_must_match(model: Path, probing: Callable[..., None]) -> None:
    def probe(context: ProbeContext) -> Findings:
        draw(context, "a.png")
        return Findings({}, "text", {"b.png": "another"})

    probing(probe)
    before = files_of(model)
    result = run("probe", str(model))
    assert result.exit_code == 1
    assert "drew ['a.png'], but has captions for ['b.png']" in result.stderr
    assert files_of(model) == before


@pytest.mark.parametrize("metrics", [{"loss": float("nan")}, {"array": np.zeros(2)}], ids=["nan", "array"])
def test_metrics_that_are_not_json_leave_the_artifact_unchanged(
    model: Path, probing: Callable[..., None], metrics: dict[str, object]
) -> None:
    probing(lambda context: Findings(metrics, "text", {}))
    before = files_of(model)
    result = run("probe", str(model))
    assert result.exit_code == 1
    assert "plain finite JSON values only" in result.stderr
    assert files_of(model) == before
