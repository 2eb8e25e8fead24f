from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sdk
from sdk import ArtifactError, catalog


def test_every_bundled_model_is_listed_by_name(exports: Path, make_artifact: Callable[..., Path]) -> None:
    for name in ("b-net", "a-net"):
        make_artifact(name, exports)
    (exports / "README.md").touch()
    (exports / ".a-net.1234.tmp").mkdir()
    first, second = sdk.list_models()
    assert (first.name, second.name) == ("a-net", "b-net")
    assert first.family == "gridnet"
    assert first.path == exports / "a-net"
    assert first.backends == ("native", "torch")
    assert first.size_bytes == sum(file.stat().st_size for file in first.path.iterdir())
    assert first.parameters == sdk.load("a-net").config.parameters
    assert first.metrics == {"test": {"accuracy": 0.5}}


def test_the_list_can_be_limited_to_one_family(exports: Path, make_artifact: Callable[..., Path]) -> None:
    make_artifact("tiny", exports)
    assert [info.name for info in sdk.list_models(family="gridnet")] == ["tiny"]
    assert sdk.list_models(family="cellnet") == []


def test_the_list_is_empty_when_nothing_is_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "exports_folder", lambda: None)
    assert sdk.list_models() == []


@pytest.mark.parametrize("damage", ["config", "weights", "name", "empty"])
def test_a_damaged_bundled_model_is_an_error_that_names_it(
    exports: Path, make_artifact: Callable[..., Path], damage: str
) -> None:
    make_artifact("sound", exports)
    folder = make_artifact("tiny", exports)
    if damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "weights":
        (folder / "model.safetensors").unlink()
    elif damage == "name":
        shutil.rmtree(folder)
        shutil.copytree(exports / "sound", folder)
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(ArtifactError, match="tiny: "):
        sdk.list_models()


def test_the_list_prints_as_a_table_with_one_line_per_model() -> None:
    models = sdk.list_models()
    lines = str(models).splitlines()
    assert len(lines) == len(models) > 10
    assert all(line.startswith(info.name) for line, info in zip(lines, models, strict=True))
    assert max(map(len, lines)) <= 100
    assert "98.98%" in lines[[info.name for info in models].index("gridnet-mnist")]
    assert isinstance(models, list)


def test_one_model_prints_as_one_line_and_an_empty_list_in_words() -> None:
    info = next(info for info in sdk.list_models() if info.name == "gridnet-digits")
    assert repr(info).startswith("<ModelInfo: gridnet-digits, gridnet, 98.61%, 137,098 parameters, ")
    assert repr(sdk.list_models(family="none")) == "no models"
    bare = catalog.ModelInfo("a", "b", 1, {}, 0, Path(), ("onnx",))
    assert repr(bare) == "<ModelInfo: a, b, -, 1 parameters, 0.00 MB, onnx, bundled>"


def test_own_models_are_listed_with_bundled_ones_by_the_name_of_their_folder(
    exports: Path, make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    make_artifact("tiny", exports)
    shutil.copytree(exports / "tiny", own_models_folder / "second-try")
    make_artifact("tiny", own_models_folder)
    found = [(info.name, info.where, info.path) for info in sdk.list_models()]
    assert found == [
        ("second-try", "own", own_models_folder / "second-try"),
        ("tiny", "own", own_models_folder / "tiny"),
        ("tiny", "bundled", exports / "tiny"),
    ]
    assert sdk.load("second-try").origin == str(own_models_folder / "second-try")


def test_a_damaged_own_model_is_left_out_with_a_warning_that_names_it(
    exports: Path, make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    make_artifact("sound", own_models_folder)
    (make_artifact("broken", own_models_folder) / "model.safetensors").unlink()
    with pytest.warns(sdk.DamagedModelWarning, match=r"left out: .*broken: model\.safetensors is missing"):
        assert [info.name for info in sdk.list_models()] == ["sound"]
