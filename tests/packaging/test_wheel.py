"""The wheel as a user gets it: built from the working tree, installed without torch, used from another folder."""

from __future__ import annotations

import json
import re
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from sdk import _kernels
from tests.support.install import PIP, PREDICT, build_wheel, copy_source, make_venv, run
from tests.support.paths import ROOT


@pytest.fixture(
    scope="session", params=["kernels of these tests", pytest.param("freshly compiled kernels", marks=pytest.mark.slow)]
)
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the files that git knows, so that the working tree stays clean.

    Compiling takes minutes and gives the module that the tests already run, so that module is packed by default.
    """
    source = copy_source(tmp_path_factory.mktemp("source"))
    settings = ["cmake.define.ZOO_CUDA=OFF"]
    if request.param == "kernels of these tests":
        kernels = Path(_kernels.__file__)
        shutil.copy(kernels, source / "sdk")
        settings = ["wheel.cmake=false", "wheel.platlib=true", f"sdist.include=sdk/{kernels.name}"]
    return build_wheel(source, tmp_path_factory.mktemp("wheel"), *settings, environment={"ZOO_COMPILE": "ON"})


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with its base dependencies into a new environment and return its python."""
    python = make_venv(tmp_path_factory.mktemp("venv"))
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", wheel, cwd=python.parent)
    return python


def test_the_wheel_holds_the_files_that_zoo_and_sdk_read(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert f"sdk/{Path(_kernels.__file__).name}" in names
    assert {
        "zoo/artifacts/card.md.j2",
        "zoo/recipes/gridnet-mnist.yaml",
        "zoo/web/page/index.html",
        "zoo/web/page/networks/gridnet-wgsl.js",
        "zoo/web/package-lock.json",
        "sdk/exports/gridnet-mnist/README.md",
    } <= names


def test_a_base_install_has_no_torch_and_predicts_from_any_folder(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run(installed, "-c", PREDICT.format(options=""), cwd=tmp_path).stdout)
    assert found[:3] == ["native", True, False]
    assert not Path(found[3]).is_relative_to(ROOT)


def test_readmes_python_block_works_in_a_base_install(installed: Path, tmp_path: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    printed = run(installed, "-c", block, cwd=tmp_path).stdout.splitlines()
    assert printed == re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)


def test_a_base_install_lists_models_and_names_the_extra_for_training(installed: Path, tmp_path: Path) -> None:
    zoo = installed.parent / "zoo"
    assert "gridnet-mnist" in run(zoo, "list", cwd=tmp_path).stdout
    assert "outer_steps: 8" in run(zoo, "info", "gridnet-digits", cwd=tmp_path).stdout
    assert "note torch: not installed; training needs it" in run(zoo, "doctor", "--offline", cwd=tmp_path).stdout
    for command in (("train", "gridnet-digits"), ("bench", "kernels"), ("eval", "gridnet-digits")):
        result = run(zoo, *command, cwd=tmp_path, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert "pip install 'cellzoo[train]'" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_the_torch_backend_of_a_base_install_names_the_extra(installed: Path, tmp_path: Path) -> None:
    code = PREDICT.format(options=", backend='torch'")
    result = run(installed, "-c", code, cwd=tmp_path, check=False)
    assert "pip install 'cellzoo[train]'" in result.stderr.splitlines()[-1]


def test_the_wheel_runs_the_torch_backend_when_torch_is_installed(installed: Path, wheel: Path, tmp_path: Path) -> None:
    """The environment holds the wheel, and sees the packages of this environment through a .pth file."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / installed.parent.name / installed.name
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).stdout
    site = Path(purelib.strip())
    run(*PIP, "install", "--quiet", "--no-compile", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    (site / "training.pth").write_text(sysconfig.get_path("purelib") + "\n")
    code = PREDICT.format(options=", backend='torch'")
    found = json.loads(run(python, "-c", code, cwd=tmp_path).stdout)
    assert found[:3] == ["torch", True, True]
    assert Path(found[3]).is_relative_to(site)
