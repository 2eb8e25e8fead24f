"""``data.path``: which folder a recipe means, when it is resolved, and what happens when the folder has gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from zoo.artifacts.evaluate import evaluate_artifact
from zoo.artifacts.from_run import export_run
from zoo.data import load_data
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.utils.errors import DataError

TEXT = """\
model: {family: normnet, hidden: [8]}
data: {name: image_folder, image_size: 8, path: PATH}
train: {steps: 6, batch_size: 8, seed: 1}
"""


def write_recipe(folder: Path, path: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pets-model.yaml"
    file.write_text(TEXT.replace("PATH", path))
    return file


def write_pets(folder: Path, count: int = 20) -> Path:
    """Write dark and light images."""
    generator = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 180)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 60, (12, 10, 3)) + level
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def path_of(recipe: Recipe) -> str | None:
    return recipe.to_dict()["data"].get("path")


@pytest.mark.parametrize(
    ("written", "resolved"), [("pets", "recipes/pets"), ("../pets", "pets"), ("./a/../pets", "recipes/pets")]
)
def test_a_relative_path_starts_at_the_folder_of_the_recipe(
    written: str, resolved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_recipe(tmp_path / "recipes", written)
    for folder, name in ((Path("/"), file), (tmp_path, Path("recipes/pets-model.yaml"))):
        monkeypatch.chdir(folder)
        assert path_of(load_recipe(name)) == str(tmp_path / resolved)


def test_a_relative_path_of_an_override_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_recipe(tmp_path / "recipes", "pets")
    monkeypatch.chdir(tmp_path)
    assert path_of(load_recipe(file, ["data.path=cats"])) == str(tmp_path / "cats")
    assert path_of(load_recipe("gridnet-imagenet", ["data.path=cats"])) == str(tmp_path / "cats")
    assert path_of(load_recipe(file, ["data.path=null"])) is None


def test_a_path_below_the_home_folder_does_not_name_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = write_recipe(tmp_path / "recipes", "../pets")
    assert path_of(load_recipe(file)) == "~/pets"
    assert path_of(load_recipe(file, ["data.path=~/cats"])) == "~/cats"
    write_pets(tmp_path / "pets")
    assert len(load_data(load_recipe(file).data).test) == 4


def test_a_path_with_spaces_and_other_letters_stays(tmp_path: Path) -> None:
    assert path_of(load_recipe(write_recipe(tmp_path, '"Meine Bilder/Äpfel"'))) == str(tmp_path / "Meine Bilder/Äpfel")


def test_the_resolved_recipe_means_the_same_folder_elsewhere(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "recipes", "pets"))
    copy = tmp_path / "elsewhere" / "pets-model.yaml"
    copy.parent.mkdir()
    copy.write_text(recipe.to_yaml())
    assert load_recipe(copy) == recipe
    assert load_recipe(copy).sha256() == recipe.sha256()


def test_the_option_replaces_the_path_and_the_path_replaces_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("recipe", 20), ("option", 30), ("environment", 40)):
        write_pets(tmp_path / name, count)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "environment"))
    config = load_recipe(write_recipe(tmp_path, "recipe")).data
    assert len(load_data(config).test) == 4
    assert len(load_data(config, tmp_path / "option").test) == 6
    assert len(load_data(config.model_copy(update={"path": None})).test) == 8


def test_mnist_has_a_path_too(tmp_path: Path) -> None:
    recipe = load_recipe("normnet-mnist", [f"data.path={tmp_path}"])
    assert path_of(recipe) == str(tmp_path)
    assert path_of(load_recipe("normnet-mnist")) is None


@pytest.mark.parametrize("progress", [True, False])
def test_training_says_what_it_found_unless_it_is_quiet(
    progress: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pets(tmp_path / "pets")
    recipe = load_recipe(write_recipe(tmp_path, "pets"))
    result = train(recipe, run_dir=tmp_path / "run", device="cpu", progress=progress)
    assert result.data.about.startswith(f"{tmp_path / 'pets'}: 40 images in 2 classes (dark 20, light 20); split by")
    assert (result.data.about in capsys.readouterr().err) == progress


def test_a_trained_model_is_evaluated_on_the_folder_of_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pets(tmp_path / "recipes" / "pets")
    recipe = load_recipe(write_recipe(tmp_path / "recipes", "pets"))
    result = train(recipe, run_dir=tmp_path / "run", device="cpu", progress=False)
    artifact = export_run(result, tmp_path / "models" / "pets-model")
    assert sdk.load(str(artifact)).labels == ("dark", "light")
    monkeypatch.chdir("/")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert evaluate_artifact(str(artifact))["reproduced"]

    moved = tmp_path / "moved"
    shutil.move(tmp_path / "recipes" / "pets", moved)
    with pytest.raises(DataError, match=r"recipes/pets: found no folder, .* or pass --data-dir FOLDER"):
        evaluate_artifact(str(artifact))
    assert evaluate_artifact(str(artifact), data_dir=moved)["reproduced"]
