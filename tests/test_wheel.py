"""The wheel in a clean virtual environment: nothing of the checkout on the path, any working directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree without CUDA and without torch at hand for the build."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "tree" / name)
    pip = [sys.executable, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "-C", "cmake.define.ZOO_CUDA=OFF", "--wheel-dir", folder, cwd=folder / "tree")
    (built,) = folder.glob("cellzoo-*.whl")
    return built


@pytest.fixture(scope="session")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment with the wheel and its base dependencies: no torch."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert run(python, "-c", "import torch", cwd=folder, check=False).returncode == 1
    return python


@pytest.fixture
def python_with_torch(clean_python: Path) -> Path:
    """The same with this test run's packages behind its own, so that the torch backend has its torch."""
    site = clean_python.parents[1] / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (site / "test-run.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return clean_python


def test_the_sdk_lists_models_without_torch(clean_python: Path, tmp_path: Path) -> None:
    code = "import sdk, sys; print([m.name for m in sdk.list_models()], 'torch' in sys.modules, sdk.__file__)"
    output = run(clean_python, "-c", code, cwd=tmp_path).stdout
    assert "gridnet-mnist" in output
    assert "False" in output
    assert str(ROOT) not in output


def test_the_zoo_command_says_what_to_install(clean_python: Path, tmp_path: Path) -> None:
    result = run(clean_python.parent / "zoo", "list", cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "pip install 'cellzoo[train]'" in result.stderr


def test_a_bundled_model_predicts_from_any_folder(python_with_torch: Path, tmp_path: Path) -> None:
    code = (
        "import numpy as np, sdk, zoo\n"
        "model = sdk.load('gridnet-mnist', backend='torch')\n"
        "print(zoo.__file__)\n"
        "print(model.predict(np.zeros((3, 28, 28), np.uint8)))\n"
    )
    output = run(python_with_torch, "-c", code, cwd=tmp_path).stdout.splitlines()
    assert str(ROOT) not in output[0]
    assert output[1].count("'") == 6  # three labels


def test_the_zoo_command_runs_from_the_wheel(python_with_torch: Path, tmp_path: Path) -> None:
    output = run(python_with_torch.parent / "zoo", "list", cwd=tmp_path).stdout
    assert "gridnet-imagenet" in output
