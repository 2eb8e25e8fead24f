from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import sdk
from sdk import LoadError


def test_a_bundled_model_loads_by_name_from_any_working_directory(
    exports: Path, make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact("tiny", exports)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sdk.load("tiny").name == "tiny"


@pytest.mark.parametrize("form", ["tiny", "./tiny", "{folder}", "{folder}/"])
def test_a_folder_loads_by_name_and_by_path(
    exports: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(artifact.parent)
    assert sdk.load(form.format(folder=artifact)).name == "tiny"


def test_an_ambiguous_name_is_refused_with_both_ways_to_write_it(
    exports: Path, make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = make_artifact("tiny", exports)
    make_artifact("tiny", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadError, match="both a bundled model and a folder") as caught:
        sdk.load("tiny")
    assert "'./tiny'" in str(caught.value)
    assert f"'{bundled}'" in str(caught.value)
    assert sdk.load("./tiny").name == sdk.load(str(bundled)).name == "tiny"
    monkeypatch.chdir(exports)
    assert sdk.load("tiny").name == "tiny"  # the folder here is the bundled one


def test_an_unknown_name_is_refused_with_the_bundled_models_and_how_to_train(
    exports: Path, make_artifact: Callable[..., Path]
) -> None:
    with pytest.raises(LoadError, match="no model named 'gone'; bundled models: none"):
        sdk.load("gone")
    make_artifact("a-net", exports)
    make_artifact("b-net", exports)
    with pytest.raises(LoadError, match=r"bundled models: a-net, b-net.*`zoo train gone`"):
        sdk.load("gone")


@pytest.mark.parametrize("name", ["./gone", "runs/exports/gone", "gone/"])
def test_a_path_that_does_not_exist_is_refused(exports: Path, name: str) -> None:
    with pytest.raises(LoadError, match=f"no model at '{name}': no such folder"):
        sdk.load(name)


def test_a_model_that_is_not_given_by_name_or_path_is_refused(exports: Path) -> None:
    with pytest.raises(LoadError, match="given by its name or folder, found 3"):
        sdk.load(3)  # type: ignore[arg-type]
