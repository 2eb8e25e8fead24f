from __future__ import annotations

from pathlib import Path

import pytest

from sdk.places import models_folder


def test_the_environment_names_the_folder_of_the_own_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, expected in (("models", "models"), ("~/mine", "home/mine"), (str(tmp_path / "abs"), "abs")):
        monkeypatch.setenv("ZOO_MODELS", value)
        assert models_folder() == tmp_path / expected


def test_the_default_is_in_the_data_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_MODELS", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert models_folder() == tmp_path / ".local" / "share" / "cellzoo" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert models_folder() == tmp_path / "data" / "cellzoo" / "models"
