"""The appearance of training images in provenance, picture and card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import sdk
from sdk import InputSpec
from sdk.artifact import CARD_FILE, CONFIG_FILE, EXAMPLE_FILE, INPUT_FILE, THUMBNAIL_FILE, read_artifact
from sdk.catalog import bundled_models
from tests.support.artifacts import files_of, write_tiny
from zoo.artifacts.appearance import measure_appearance
from zoo.artifacts.card import card_text, read_notes
from zoo.cli import cli
from zoo.config.data import AugmentConfig
from zoo.data import load_data
from zoo.data.location import data_folder
from zoo.data.split import ArraySplit, Split
from zoo.recipe import load_recipe

SPEC = InputSpec("image", (1, 4, 4), (0.5,), (0.25,))
AUGMENT = AugmentConfig(shift=2)


def crosses(count: int, share: float = 1.0, background: int = 0, labels: int = 3) -> Split:
    """Return training images of which a share shows a square on a background, and the rest half black, half white."""
    images = torch.zeros((count, 1, 4, 4), dtype=torch.uint8)
    images[..., :2] = 255
    shown = round(count * share)
    images[:shown] = background
    images[:shown, :, 1:3, 1:3] = 255 - background
    return ArraySplit(images, torch.arange(count) % labels, SPEC, AUGMENT, 0)


@pytest.mark.parametrize(
    ("share", "background", "polarity"),
    [(1, 0, "light on dark"), (1, 255, "dark on light"), (0.96, 0, "light on dark"), (0.94, 0, None), (0, 0, None)],
)
def test_a_model_has_the_polarity_of_nearly_all_training_images(
    share: float, background: int, polarity: str | None
) -> None:
    found = measure_appearance(crosses(100, share, background))
    assert found["polarity"] == polarity
    assert (found["light_on_dark"], found["dark_on_light"]) == ((share, 0) if background == 0 else (0, share))


def test_the_appearance_has_the_brightness_of_border_and_centre() -> None:
    assert measure_appearance(crosses(5)) == {
        "samples": 5, "border": 0.0, "centre": 1.0, "mean": 0.25, "percentile_5": 0.0, "percentile_95": 1.0,
        "light_on_dark": 1.0, "dark_on_light": 0.0, "polarity": "light on dark",
    }  # fmt: skip
    assert measure_appearance(crosses(5000))["samples"] == 2048


def test_an_export_with_training_images_records_and_shows_them(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", training=crosses(9))
    config = read_artifact(folder).config
    assert config.provenance["data"]["name"] == "none"
    assert sdk.load(folder).polarity == "light on dark"
    card = (folder / CARD_FILE).read_text()
    assert "It expects light strokes on a dark background, centred." in card
    assert f"![example]({EXAMPLE_FILE})\n\n*Training samples, one of each class, as the model sees them.*" in card
    picture = np.asarray(Image.open(folder / EXAMPLE_FILE).convert("L"))
    assert picture.shape[0] < picture.shape[1] < 600
    assert (folder / EXAMPLE_FILE).stat().st_size < 5000


def test_colour_images_many_classes_and_odd_labels_can_be_shown(tmp_path: Path) -> None:
    spec = InputSpec("image", (3, 4, 4), (0.5,) * 3, (0.25,) * 3)
    images = torch.rand((24, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = [f"$class_{number} with a long name" for number in range(12)]
    split = ArraySplit(images, torch.arange(24) % 11, spec, AugmentConfig(), 0)  # no sample of the last class
    folder = write_tiny(tmp_path / "tiny", input_spec=spec, labels=labels, training=split)
    assert sdk.load(folder).polarity is None
    card = (folder / CARD_FILE).read_text()
    assert "It expects" not in card
    assert "*Training samples, one of each of the first ten classes, as the model sees them.*" in card


def test_an_export_without_training_images_or_of_tables_has_neither(tmp_path: Path) -> None:
    spec = InputSpec("table", (16,), (0.0,) * 16, (1.0,) * 16)
    table = ArraySplit(torch.zeros(6, 16), torch.arange(6) % 3, spec, AugmentConfig(), 0)
    from zoo.families.normnet.config import NormnetConfig

    for folder in (
        write_tiny(tmp_path / "plain"),
        write_tiny(tmp_path / "table", NormnetConfig(hidden=(4,)), input_spec=spec, training=table),
    ):
        assert "appearance" not in read_artifact(folder).config.provenance["data"]
        assert not (folder / EXAMPLE_FILE).exists()
        assert "![example]" not in (folder / CARD_FILE).read_text()


def test_the_example_of_an_older_artifact_is_added_and_nothing_else_changes(tmp_path: Path) -> None:
    recipe = load_recipe("gridnet-digits")
    from zoo.families.gridnet.config import GridnetConfig

    spec = load_data(recipe.data).input_spec
    config = GridnetConfig(grid=(8, 8, 2), block=2, outer_steps=2)
    folder = write_tiny(tmp_path / "tiny", config, recipe.to_yaml(), input_spec=spec, labels=list("0123456789"))
    (folder / CARD_FILE).write_text((folder / CARD_FILE).read_text().replace("<!-- end", "Mine.\n<!-- end"))
    before = files_of(folder)
    result = CliRunner().invoke(cli, ["card", str(folder), "--example"])
    assert (result.exit_code, result.output) == (0, f"card: {folder / CARD_FILE}\n")
    after = files_of(folder)
    assert set(after) - set(before) == {EXAMPLE_FILE, INPUT_FILE, THUMBNAIL_FILE}
    assert {path for path in before if after[path] != before[path]} == {CARD_FILE, CONFIG_FILE}
    assert b"Mine." in after[CARD_FILE]
    assert sdk.load(folder).polarity == "light on dark"
    assert CliRunner().invoke(cli, ["card", str(folder)]).exit_code == 0
    assert files_of(folder) == after


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_shipped_cards_are_rendered_by_the_template(name: str) -> None:
    folder = bundled_models()[name]
    config = read_artifact(folder).config
    assert (folder / CARD_FILE).read_text() == card_text(folder, config, read_notes(folder / CARD_FILE))


# Models of CIFAR-10 have the same images, which take long to decode.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(info.name, marks=[pytest.mark.slow] if info.name in {"cellnet-cifar10", "gridnet-cifar10"} else [])
        for info in sdk.list_models()
        if info.family != "nca"
    ],
)
def test_shipped_models_record_what_their_training_images_look_like(name: str) -> None:
    recipe = load_recipe(name)
    config = json.loads((bundled_models()[name] / CONFIG_FILE).read_text())
    assert EXAMPLE_FILE in config["files"]
    if recipe.data.name == "mnist" and not (data_folder() / "MNIST").is_dir():
        pytest.skip("MNIST is not here: set ZOO_DATA to a folder that has it")
    assert config["provenance"]["data"]["appearance"] == measure_appearance(load_data(recipe.data).train)
