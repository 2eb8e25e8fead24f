"""``zoo probe --figures``: the states of a model as pictures, in its card or in a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import sdk
import zoo
from sdk.artifact import read_artifact
from tests.support.artifacts import files_of
from zoo.artifacts.pictures import without_figures
from zoo.cli import cli

TRAIN = {
    "gridnet": ("gridnet-digits", "model={family: gridnet, grid: [8, 8, 2], block: 2, inner_steps: 2, outer_steps: 2}"),
    "nca": ("nca-iris", "model={family: nca, epochs: 3}"),
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train a small model of two families."""
    folder = tmp_path_factory.mktemp("trained")
    for family, (recipe, model) in TRAIN.items():
        options = ["-o", model, "-o", "train.epochs=null", "-o", "train.steps=4", "-o", "train.checkpoint_every=2"]
        where = ["--out", str(folder / family), "--run-dir", str(folder / f"run-{family}")]
        result = run("train", recipe, *options, "--quiet", *where)
        assert result.exit_code == 0, result.output
    return {family: folder / family for family in TRAIN}


@pytest.fixture
def model(trained: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained["gridnet"], tmp_path / "model"))


def test_pictures_go_into_the_card_and_change_nothing_else(model: Path) -> None:
    before = read_artifact(model).config
    result = run("probe", str(model), "--figures")
    assert result.exit_code == 0, result.output
    config = read_artifact(model).config
    drawn = {"front.gif", "activity.png", "blocks.gif"}
    assert set(config.files) == {*before.files, "pictures.md", *(f"figures/{name}" for name in drawn)}
    assert config.metrics == before.metrics
    for file in ("model.safetensors", "recipe.yaml", "figures/example.png"):
        assert config.files[file] == before.files[file]
    card = (model / "README.md").read_text()
    for name in drawn:
        assert f"figures/{name})" in card
        assert str(model / "figures" / name) in result.output.replace("\n", "")
    sdk.load(model)


def test_a_probe_keeps_pictures_and_shows_no_figure_twice(model: Path) -> None:
    run("probe", str(model), "--quiet")
    assert "figures/activity.png" in (model / "probe.md").read_text()
    run("probe", str(model), "--figures", "--quiet")
    for _ in range(2):
        card = (model / "README.md").read_text()
        assert [card.count(f"![{name}](") for name in ("activity", "front", "steps")] == [1, 1, 1]
        assert "figures/activity.png" not in (model / "probe.md").read_text()
        result = run("probe", str(model), "--quiet")
        assert result.exit_code == 0, result.output
    assert (model / "figures" / "front.gif").is_file()


def test_with_out_the_model_stays_and_an_existing_folder_is_refused(model: Path, tmp_path: Path) -> None:
    before, out = files_of(model), tmp_path / "new"
    result = run("probe", str(model), "--figures", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == set(json.loads(result.stdout))
    assert files_of(model) == before
    again = run("probe", str(model), "--figures", "--out", str(out))
    assert again.exit_code == 1
    assert f"{out} exists, allowed a new folder for the pictures; give another --out" in again.stderr


def test_a_model_without_recipe_shows_the_given_inputs(trained: dict[str, Path], tmp_path: Path) -> None:
    module = sdk.load(trained["gridnet"], backend="torch").module
    spec = sdk.load(trained["gridnet"]).input_spec
    saved = zoo.save(module, tmp_path / "own", labels=[str(n) for n in range(10)], input=spec)
    refused = run("probe", str(saved), "--figures")
    assert refused.exit_code == 1
    assert "own: found no recipe, and so no data to show; name inputs with --input FILE" in refused.stderr
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "one.png")
    shown = run("probe", str(saved), "--figures", "--input", str(tmp_path / "one.png"), "--out", str(tmp_path / "new"))
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "new" / "front.gif").is_file()


def test_a_meta_nca_also_shows_its_rule_over_meta_epochs(trained: dict[str, Path], tmp_path: Path) -> None:
    result = run("probe", str(trained["nca"]), "--figures", "--out", str(tmp_path / "new"), "--quiet")
    assert result.exit_code == 0, result.output
    frames = {}
    for name in ("evolution.gif", "meta_epochs.gif"):
        with Image.open(tmp_path / "new" / name) as animation:
            frames[name] = animation.n_frames
    assert frames == {"evolution.gif": 1 + 3, "meta_epochs.gif": 5}  # meta-epochs 0 to 4, the longer of the two


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "new"], "--out is for --figures"),
        (["--input", "pyproject.toml"], "--input is for --figures"),
        (["--figures", "--suite", "robustness"], "--figures takes --out, --input and --data-dir"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    result = run("probe", "gridnet-digits", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_family_without_states_is_refused(tmp_path: Path) -> None:
    result = run("probe", "mlp-digits", "--figures", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "mlp-digits: found a model of family 'mlp', whose states are not known" in result.stderr


def test_only_the_named_figures_leave_a_text() -> None:
    text = "One.\n\n![a](figures/a.png)\n\n*About a*\n\n![b](figures/b.png)\n\n*About b*\n\nTwo.\n"
    assert without_figures(text, ["a.png"]) == "One.\n\n![b](figures/b.png)\n\n*About b*\n\nTwo.\n"
    assert without_figures(text, ["a.png", "b.png"]) == "One.\n\nTwo.\n"
    assert without_figures("![a](figures/a.png)\n\nNo caption.\n", ["a.png"]) == "No caption.\n"
