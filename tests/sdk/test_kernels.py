"""The compiled module: refused when it is damaged or belongs to other sources, and never replaced in silence."""

from __future__ import annotations

import importlib
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import sdk
import sdk.kernels
from sdk.errors import KernelsError, LoadError, MissingKernelsError, SettingError
from sdk.kernels import compiled
from tests.support.command import run
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def _load_again() -> Iterator[None]:
    compiled.cache_clear()
    yield
    compiled.cache_clear()


@pytest.fixture(params=["other bindings", "no bindings", "ImportError", "RuntimeError", "SystemError"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a module that cannot be used in place of the compiled one; returns the text that should name the problem."""
    kinds = {kind.__name__: kind for kind in (ImportError, RuntimeError, SystemError)}
    if request.param in kinds:

        def load(name: str) -> ModuleType:
            if name == sdk.kernels.MODULE:
                raise kinds[request.param]("file too\nshort")
            return load_any(name)

        load_any = importlib.import_module
        monkeypatch.setattr(importlib, "import_module", load)
        return "the compiled kernels cannot be loaded (file too short); reinstall cellzoo"
    module = ModuleType("sdk._kernels")
    if request.param == "other bindings":
        module.bindings = "0" * 64  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sdk._kernels", module)
    return f"the compiled kernels are older or newer than the sources in {ROOT / 'csrc'}; compile them again"


@pytest.mark.usefixtures("broken")
def test_a_module_that_cannot_be_used_is_no_missing_one() -> None:
    with pytest.raises(KernelsError) as caught:
        compiled()
    assert not isinstance(caught.value, MissingKernelsError)


def test_a_broken_module_is_named_by_every_way_to_use_it(broken: str) -> None:
    with pytest.warns(sdk.BrokenKernelsWarning) as given:
        model = sdk.load("gridnet-digits")
    [warning] = given
    assert str(warning.message).startswith(f"gridnet-digits predicts through onnx: {broken}")
    assert warning.filename == __file__
    assert model.predict(np.eye(8)) in model.labels
    with pytest.raises(LoadError) as caught:
        sdk.load("gridnet-digits", backend="native")
    assert broken in str(caught.value)
    report = run("doctor", "--offline").output
    assert "bad  kernels: the compiled kernels " in report


@pytest.mark.usefixtures("broken")
def test_models_that_would_not_use_the_kernels_say_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sdk.load("cellnet-digits")
        sdk.load("gridnet-digits", backend="onnx")
        sdk.load("gridnet-digits", timeout=5)
        monkeypatch.setenv("ZOO_KERNELS", "reference")
        sdk.load("gridnet-digits")


def test_an_install_without_kernels_predicts_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sdk._kernels", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sdk.load("gridnet-digits").backend == "onnx"
    with pytest.raises(MissingKernelsError):
        compiled()


def test_bindings_that_change_after_the_module_was_compiled_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ROOT / "csrc" / "python", tmp_path / "csrc" / "python"))
    monkeypatch.setattr("sdk.kernels._SOURCES", folder)
    compiled()
    (folder / "notes.txt").write_text("not compiled")
    compiled.cache_clear()
    compiled()
    (folder / "models.cpp").write_text((folder / "models.cpp").read_text() + "// changed\n")
    compiled.cache_clear()
    with pytest.raises(KernelsError, match="older or newer than the sources"):
        compiled()


def test_an_install_without_sources_takes_the_module_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sdk.kernels._SOURCES", tmp_path / "csrc" / "python")
    compiled()


@pytest.mark.parametrize("value", ["", "Reference", "junk"])
def test_an_unknown_kernel_mode_is_refused_by_auto_and_shown_by_doctor(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ZOO_KERNELS", value)
    problem = f"ZOO_KERNELS={value!r} is not a kernel mode; allowed: compiled, reference"
    with pytest.raises(SettingError) as caught:
        sdk.load("gridnet-digits")
    assert str(caught.value) == problem
    assert f"bad  kernels: {problem}" in run("doctor", "--offline").output
