from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import sdk
from sdk.catalog import bundled_models
from tests.support.artifacts import SPEC, images
from tests.support.command import QUICK, run
from zoo.artifacts.evaluate import evaluate_artifact, evaluate_model
from zoo.config.data import AugmentConfig
from zoo.data.split import ArraySplit
from zoo.utils.errors import DataError


def test_an_own_model_is_compared_with_its_own_record(tmp_path: Path, own_models_folder: Path) -> None:
    assert run("train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run")).exit_code == 0
    with pytest.warns(sdk.ShadowedModelWarning):
        own = evaluate_artifact("gridnet-digits")
    bundled = evaluate_artifact("bundled:gridnet-digits")
    assert own["origin"] == str(own_models_folder / "gridnet-digits")
    assert bundled["origin"] == str(bundled_models()["gridnet-digits"])
    assert own["reproduced"]
    assert bundled["reproduced"]
    assert own["accuracy"] < 0.9 < bundled["accuracy"]


def test_a_folder_that_appears_meanwhile_does_not_change_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load_data = evaluate_artifact.__globals__["load_matching_data"]

    def appear(*given: object) -> object:
        shutil.copytree(bundled_models()["normnet-digits"], tmp_path / "gridnet-digits")
        return load_data(*given)

    monkeypatch.setitem(evaluate_artifact.__globals__, "load_matching_data", appear)
    measured = evaluate_artifact("gridnet-digits")
    assert (measured["recorded_correct"], measured["reproduced"]) == (355, True)


def _photos(folder: Path, classes: tuple[str, ...], count: int = 12) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((8, 8, 3), 60 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def _trained_on_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    _photos(tmp_path / "photos", ("cats", "dogs", "owls"))
    (tmp_path / "shapes.yaml").write_text(
        "model: {family: normnet, hidden: [8]}\n"
        "data: {name: image_folder, path: photos, image_size: 8, test: 0.2}\n"
        "train: {epochs: 2, batch_size: 8}\n"
    )
    result = run("train", "./shapes.yaml", "--quiet", "--out", str(tmp_path / "model"))
    assert result.exit_code == 0, result.output
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"dogs": "wolves"}, "lacks 'dogs' and it has 'wolves', which the model does not know"),
        ({"cats": "zebras"}, "lacks 'cats' and it has 'zebras'"),
        ({"cats": "x", "dogs": "cats", "x": "dogs"}, None),
    ],
)
def test_data_with_other_classes_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: dict[str, str], message: str | None
) -> None:
    model = _trained_on_photos(tmp_path, monkeypatch)
    card = (model / "README.md").read_bytes()
    for old, new in renamed.items():
        (tmp_path / "photos" / old).rename(tmp_path / "photos" / new)
    if message is None:  # the same names, on other pictures: that is for the fingerprint to say
        evaluate_artifact(str(model))
        return
    with pytest.raises(DataError, match=message):
        evaluate_artifact(str(model))
    for command in ("probe", "eval"):
        result = run(command, str(model))
        assert result.exit_code == 1
        assert message in result.output
    assert (model / "README.md").read_bytes() == card


def test_an_additional_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _trained_on_photos(tmp_path, monkeypatch)
    _photos(tmp_path / "photos", ("ants",))
    with pytest.raises(DataError, match="it has 'ants', which the model does not know"):
        evaluate_artifact(str(model))


class _Fixed:
    """A model with given logits for all samples."""

    def __init__(self, logits: list[list[float]]) -> None:
        self.values = np.array(logits, np.float32)
        self.config = SimpleNamespace(task="classification")

    def logits(self, inputs: np.ndarray, batch_size: int, invert: bool) -> np.ndarray:
        return self.values[: len(inputs)]


def test_ties_bound_the_counts_that_agree_with_the_record() -> None:
    logits = [[10.0, 10.0, 0.0], [10.0, 10.00005, 0.0], [0.0, 10.0, 0.0], [9.0, 10.0, 0.0]]
    labels = torch.tensor([0, 0, 1, 0])
    split = ArraySplit(torch.from_numpy(images(4)[:, None]), labels, SPEC, AugmentConfig(), workers=0)
    found = evaluate_model(_Fixed(logits), split, 4)  # type: ignore[arg-type]
    assert (found.evaluation.correct, found.least, found.most) == (2, 1, 3)
    assert [count for count in range(5) if found.agrees_with(count, 4)] == [1, 2, 3]
    assert not found.agrees_with(2, 5)
    assert not found.agrees_with(None, 4)
