from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo.training.placement
from tests.support.training import fit
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import DataError, TrainingError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.batch_size=5000"], r"train\.batch_size 5000 exceeds the 1397 training samples"),
        (["model.grid=[4, 4, 2]"], r"model does not fit the data digits: an image of 1x8x8"),
        (["train.precision=fp16"], r"train\.precision fp16 needs a GPU"),
        (["model.grid=[100000, 100000, 100000]"], r"gridnet-digits: model is too large for the memory here: "),
    ],
)
def test_a_run_that_cannot_start_fails_with_one_clear_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


def test_a_missing_data_set_leaves_no_run_folder(tmp_path: Path) -> None:
    recipe = load_recipe("gridnet-imagenet")
    with pytest.raises(DataError, match="found no images in class folders"):
        train(recipe, run_dir=tmp_path / "run", data_dir=tmp_path, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_recipe_and_data_by_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"recipe: found 'gridnet-digits', allowed what .*load_recipe returns"):
        train("gridnet-digits", run_dir=tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"data: found 'digits', allowed a zoo\.data\.split\.Data"):
        train(load_recipe("gridnet-digits"), run_dir=tmp_path / "run", data="digits")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["tpu", "cuda:1", "mps" if not torch.backends.mps.is_available() else "xpu"])
def test_an_unavailable_device_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(TrainingError, match=f"device '{device}' cannot be used here; usable: cpu"):
        fit(tmp_path, device=device)


def test_one_process_can_train_in_several_precisions_in_turn(tmp_path: Path) -> None:
    for number, precision in enumerate(("bf16", "fp32", "bf16")):
        assert fit(tmp_path / str(number), f"train.precision={precision}").steps == 6


@pytest.mark.parametrize("name", ["nca-iris", "snapshots-digits"])
def test_a_single_process_family_refuses_several_processes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.training.placement.Accelerator, "num_processes", property(lambda self: 2))
    monkeypatch.setattr(zoo.training.placement, "check_launch", lambda processes: None)
    with pytest.raises(TrainingError, match="trains in one process, found 2: start it without torchrun"):
        train(load_recipe(name), run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
