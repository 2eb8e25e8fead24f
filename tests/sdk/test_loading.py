from __future__ import annotations

import warnings
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


def test_a_name_of_several_models_warns_once_and_says_how_to_write_the_other(
    exports: Path, make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = make_artifact("tiny", exports)
    make_artifact("tiny", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(sdk.ShadowedModelWarning) as caught:
        assert sdk.load("tiny").origin == str(tmp_path / "tiny")
    assert str(caught[0].message) == (
        f"'tiny' means the model in {tmp_path / 'tiny'}; write 'bundled:tiny' for the other one"
    )
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sdk.load("tiny").origin == str(tmp_path / "tiny")  # the warning was given
        assert sdk.load("bundled:tiny").origin == sdk.load(bundled).origin == str(bundled)
        assert sdk.load("./tiny").origin == str(tmp_path / "tiny")
        monkeypatch.chdir(exports)
        assert sdk.load("tiny").name == "tiny"  # the folder here is the bundled one


def test_an_own_model_loads_by_name_from_any_working_directory(
    exports: Path, make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    own = make_artifact("shapes", own_models_folder)
    assert sdk.load("shapes").origin == str(own)
    with pytest.raises(LoadError, match="no bundled model named 'shapes'"):
        sdk.load("bundled:shapes")


def test_an_unknown_name_is_refused_with_the_closest_one_and_the_command_that_lists_all(
    exports: Path, make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    with pytest.raises(LoadError, match=r"no model named 'gone'; `zoo list` shows all models.*`zoo train`"):
        sdk.load("gone")
    make_artifact("a-network", exports)
    make_artifact("b-model", own_models_folder)
    for typed, meant in (("a-netwrok", "a-network"), ("b-modle", "b-model")):
        with pytest.raises(LoadError, match=rf"'{typed}' \(did you mean {meant}\?\)"):
            sdk.load(typed)


@pytest.mark.parametrize("name", ["./gone", "runs/exports/gone", "gone/"])
def test_a_path_that_does_not_exist_is_refused(exports: Path, name: str) -> None:
    with pytest.raises(LoadError, match=f"no model at '{name}': no such folder"):
        sdk.load(name)


def test_a_model_that_is_not_given_by_name_or_path_is_refused(exports: Path) -> None:
    with pytest.raises(LoadError, match="given by its name or folder, found 3"):
        sdk.load(3)  # type: ignore[arg-type]
