from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo.cli.checks
from sdk.kernels import compiled
from sdk.resolve import find_model
from tests.support.command import run
from zoo.utils.errors import KernelsError


def test_doctor_reports_kernels_data_and_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)  # the state after a failed download
    result = run("doctor", "--offline")
    assert result.exit_code == 0, result.output
    for word in ("kernels: compiled, running", "CUDA kernels", "threads", f"{tmp_path}, without MNIST"):
        assert word in result.output
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    checks = {check["what"]: check for check in json.loads(run("doctor", "--offline", "--json").output)}
    assert checks["kernels"]["status"] == "note"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(zoo.cli.checks.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in run("doctor").output


def test_doctor_fails_when_the_kernels_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"{name}: undefined symbol")

    compiled.cache_clear()
    monkeypatch.setattr("sdk.kernels.importlib.import_module", broken)
    result = run("doctor", "--offline")
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    assert "the compiled kernels cannot be loaded (sdk._kernels: undefined symbol); reinstall cellzoo" in output


def test_doctor_fails_for_a_missing_base_package_but_not_for_a_training_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = importlib.metadata.version
    missing = {"torch"}

    def version(package: str) -> str:
        if package in missing:
            raise importlib.metadata.PackageNotFoundError(package)
        return versions(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = run("doctor", "--offline")
    assert result.exit_code == 0, result.output
    assert "note torch: not installed; training needs it" in result.output
    missing.add("onnxruntime")
    result = run("doctor", "--offline")
    assert result.exit_code == 1
    assert "bad  onnxruntime: not installed" in result.output


def test_doctor_works_without_the_training_packages() -> None:
    code = (
        "import sys\nfor name in ('torch', 'torchvision', 'accelerate', 'sklearn', 'onnx', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from zoo.cli import cli\ncli(['doctor', '--offline'], prog_name='zoo')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "ok   kernels: compiled, running" in result.stdout
    for check in ("CUDA kernels", "threads", "data folder"):
        assert f"note {check}: not checked: torch is not installed" in result.stdout
    assert "-> pip install 'cellzoo[train]'" in result.stdout


def test_doctor_names_the_folder_of_the_own_models_and_what_is_damaged(own_models_folder: Path) -> None:
    assert f"models folder: {own_models_folder}, 0 of your own (change it with ZOO_MODELS)" in doctor()
    shutil.copytree(find_model("bundled:gridnet-digits"), own_models_folder / "shapes")
    (own_models_folder / "broken").mkdir()
    assert "1 of your own (change it with ZOO_MODELS), 1 damaged" in doctor()
    assert "broken: no config.json in it" in doctor()


def test_doctor_notices_that_own_models_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_MODELS", str(tmp_path / "file" / "models"))
    assert "models folder: " + str(tmp_path / "file" / "models") + " cannot be written" in doctor()


def test_doctor_names_missing_files_of_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (raw / name).touch()
    assert f"{tmp_path}, where MNIST/raw lacks t10k-labels-idx1-ubyte" in doctor()


def doctor() -> str:
    """Return what ``zoo doctor`` prints, without the request to the Hub."""
    return run("doctor", "--offline").output


@pytest.mark.parametrize(
    ("record", "torch", "status", "found", "remedy"),
    [
        ({"cause": "no compiler", "detail": ""}, False, "note", "there was no C++ compiler", "install g++ or clang++"),
        ({"cause": "no compiler", "detail": ""}, True, "bad", "zoo train needs them", "install g++ or clang++"),
        ({"cause": "failed", "detail": "a.cpp:1: error: boom"}, False, "bad", "a.cpp:1: error: boom", "with -v, pip"),
        ({"cause": "left out", "detail": "ZOO_COMPILE=OFF"}, False, "note", "ZOO_COMPILE=OFF", "--no-binary cellzoo"),
        ({}, False, "bad", "not compiled", "pip install ."),
        ([], False, "bad", "not compiled", "pip install ."),
    ],
)
def test_doctor_says_why_there_are_no_kernels(
    monkeypatch: pytest.MonkeyPatch, record: object, torch: bool, status: str, found: str, remedy: str
) -> None:
    class Install:
        version = "1"

        def read_text(self, name: str) -> str | None:
            return json.dumps(record) if name == "kernels.json" else None

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Install())
    monkeypatch.setitem(sys.modules, "sdk._kernels", None)
    if not torch:
        monkeypatch.setitem(sys.modules, "torch", None)
    compiled.cache_clear()
    [check] = [check for check in json.loads(run("doctor", "--offline", "--json").output) if check["what"] == "kernels"]
    assert check["status"] == status
    assert found in check["found"]
    assert "models predict through onnx" in check["found"]
    assert remedy in check["remedy"]
    with pytest.raises(KernelsError, match=r"this install has no compiled kernels.*ZOO_KERNELS=reference"):
        compiled()
