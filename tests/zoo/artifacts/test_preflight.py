"""Failures at the end of a training happen before its first step."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

import zoo.families.gridnet
from tests.support.command import QUICK, fails, run
from tests.support.paths import ROOT
from tests.support.training import fit, weights
from zoo.artifacts import preflight
from zoo.artifacts.preflight import check_exportable
from zoo.data import load_data
from zoo.data.split import Data
from zoo.families.registry import get_family, load_hook
from zoo.recipe import Recipe, load_recipe, recipe_names
from zoo.utils.errors import CardError, ExportError


@pytest.fixture
def digits() -> Data:
    return load_data(load_recipe("gridnet-digits").data)


def check(recipe: Recipe, data: Data, out: Path, overwrite: bool = False) -> None:
    torch.manual_seed(0)
    module = load_hook(get_family(recipe.model.family).build)(recipe.model, data.task)
    check_exportable(recipe, data, module, out, overwrite=overwrite)


def broken_onnx(module: object, task: object) -> None:
    raise ExportError("operator Evolve is not supported")


def test_every_recipe_of_small_data_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.data.name in ("digits", "iris"):
            check(recipe, load_data(recipe.data), tmp_path / "models" / name)
    assert list(tmp_path.iterdir()) == []


def test_a_family_without_an_onnx_form_is_refused_with_the_override_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = replace(zoo.families.gridnet.FAMILY, onnx_graph=None)
    monkeypatch.setattr(zoo.families.gridnet, "FAMILY", family)
    arguments = ["train", "gridnet-digits", *QUICK, "--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    line = fails(1, *arguments)
    assert "family gridnet has no ONNX form; leave onnx out: -o export.formats=[safetensors]" in line
    assert list(tmp_path.iterdir()) == []
    assert run(*arguments, "-o", "export.formats=[safetensors]").exit_code == 0


def test_a_graph_that_cannot_be_built_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data) -> None:
    family = replace(zoo.families.gridnet.FAMILY, onnx_graph=f"{__name__}:broken_onnx")
    monkeypatch.setattr(zoo.families.gridnet, "FAMILY", family)
    with pytest.raises(ExportError, match=r"could not be written after training: operator Evolve is not supported"):
        check(load_recipe("gridnet-digits"), digits, tmp_path / "out")


def test_a_label_that_cannot_be_stored_is_refused(tmp_path: Path, digits: Data) -> None:
    labels = [*digits.labels[:-1], "caf\udce9"]  # a folder's name in Latin-1
    with pytest.raises(ExportError, match=r"the label 'caf\\udce9' is not Unicode text and cannot be stored; rename"):
        check(load_recipe("gridnet-digits"), replace(digits, labels=labels), tmp_path / "out")


def test_a_name_that_is_no_models_name_is_refused(tmp_path: Path, digits: Data) -> None:
    recipe = load_recipe("gridnet-digits").model_copy(update={"name": "My Model"})
    with pytest.raises(ExportError, match=r"name must match .*, found 'My Model'"):
        check(recipe, digits, tmp_path / "out")


def test_a_package_that_writing_the_card_needs_is_missed_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match="jinja2"):
        check(load_recipe("gridnet-digits"), digits, tmp_path / "out")


def test_a_full_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ExportError, match=r"out: it needs about 3 MB, and 0 MB are free"):
        check(load_recipe("gridnet-digits"), digits, tmp_path / "out")


@pytest.mark.parametrize("parent", ["n" * 250, "/".join(["deep" * 50] * 20), "n" * 300 + "/models"])
def test_a_path_that_is_too_long_is_refused_before_the_run_folder_exists(tmp_path: Path, parent: str) -> None:
    out = tmp_path / parent / "gridnet-digits" if "/" in parent else tmp_path / parent
    line = fails(1, "train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "run"))
    assert "File name too long" in line
    assert list(tmp_path.iterdir()) == []


def test_notes_that_would_be_lost_are_noticed(tmp_path: Path, digits: Data) -> None:
    out = tmp_path / "out"
    assert run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "run")).exit_code == 0
    card = out / "README.md"
    card.write_text(card.read_text().replace("<!-- end: notes -->", "my notes"))
    with pytest.raises(CardError, match="expected one of each"):
        check(load_recipe("gridnet-digits"), digits, out, overwrite=True)


def test_the_check_does_not_change_the_training(tmp_path: Path) -> None:
    def draw(recipe: Recipe, data: Data, module: torch.nn.Module) -> None:
        check_exportable(recipe, data, module, tmp_path / "out")
        torch.rand(3)

    checked = fit(tmp_path / "a", check=draw)
    assert torch.equal(weights(checked.module), weights(fit(tmp_path / "b").module))


def test_a_disk_that_is_full_before_training_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zoo", "train", "normnet-digits", "--out", "model", "--run-dir", "run"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60 * 1024,) * 2),
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("zoo: error: ") == 1
    assert "cannot write " in ended.stderr
    assert "File too large" in ended.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("error", [SafetensorError("I/O error: No space left on device"), OSError(28, "No space left")])
def test_every_way_of_saying_that_the_disk_is_full_is_an_export_error(
    digits: Data, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "save_file", _failing(error))
    with pytest.raises(ExportError, match=r"cannot write .*No space left"):
        check(load_recipe("normnet-digits"), digits, tmp_path / "model")


def _failing(error: Exception) -> Callable[..., None]:
    def fail(*given: object, **named: object) -> None:
        raise error

    return fail
