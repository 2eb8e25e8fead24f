"""A family in a package of its own: written, installed in an environment, used as a user does, and removed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.command import fails, run
from tests.support.paths import ROOT

NAME = "moving_ring"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that ``zoo new family`` writes."""
    folder = tmp_path_factory.mktemp("new") / "package"
    assert run("new", "family", NAME, "--out", str(folder)).exit_code == 0
    return folder


class Environment:
    """A virtual environment that sees the packages of these tests, and cellzoo of this checkout."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        paths = {"base": str(folder), "platbase": str(folder)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
        (self.packages / "tests.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        self.folder = folder

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ZOO_MODELS": str(self.folder / "models")}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def zoo(self, *arguments: object) -> str:
        result = self.run("-m", "zoo", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def environment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the package is installed."""
    found = Environment(tmp_path_factory.mktemp("venv"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    result = found.run("-m", "pip", "install", *options, package)
    assert result.returncode == 0, result.stdout + result.stderr
    return found


@pytest.mark.slow
def test_an_installed_family_trains_exports_probes_and_predicts_until_it_is_removed(
    environment: Environment, package: Path
) -> None:
    recipe = package / "moving-ring-digits.yaml"
    trained = environment.zoo("train", recipe, "-o", "train.epochs=3", "--device", "cpu", "--quiet")
    model = environment.folder / "models" / "moving-ring-digits"
    assert f"artifact: {model}" in trained
    assert "model: moving_ring" in environment.zoo("recipe", "--keys", NAME)
    assert "hidden units" in environment.zoo("probe", "moving-ring-digits")
    environment.zoo("export", "moving-ring-digits", "--out", environment.folder / "model.onnx")
    assert (
        json.loads((model / "config.json").read_text())["provenance"]["family_package"] == "cellzoo-moving-ring 0.1.0"
    )
    predict = "import numpy as np, sdk; print(sdk.load('moving-ring-digits', backend={!r}).predict(np.eye(8)))"
    labels = [environment.run("-c", predict.format(backend)).stdout.strip() for backend in ("onnx", "torch")]
    assert labels[0] == labels[1]
    assert labels[0] in map(str, range(10))

    removed = environment.run("-m", "pip", "uninstall", "--quiet", "--yes", "cellzoo-moving-ring")
    assert removed.returncode == 0, removed.stderr
    assert environment.run("-c", predict.format("onnx")).stdout.strip() == labels[0]
    for command in (("eval", "moving-ring-digits", "--backend", "torch"), ("probe", model), ("card", model)):
        result = environment.run("-m", "zoo", *command)
        assert result.returncode == 1, result.stdout + result.stderr
        [line] = result.stderr.strip().splitlines()
        assert "cellzoo-moving-ring 0.1.0" in line
        assert "not installed" in line
    result = environment.run("-m", "zoo", "train", recipe)
    assert "unknown family" in result.stderr


def test_the_tests_of_a_new_package_pass(package: Path) -> None:
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    # An editable install, as its README has it, leaves these metadata in the source folder.
    metadata = package / "src" / "cellzoo_moving_ring.egg-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: cellzoo-moving-ring\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[cellzoo.families]\n{NAME} = cellzoo_moving_ring:FAMILY\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)]
    result = subprocess.run(command, cwd=package, env=found, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "name", ["Ring", "2ring", "ring-net", "ring__net", "_ring", "", "class", "gridnet", "module", "../x", "é", "r" * 41]
)
def test_a_name_that_no_family_can_have_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "family name" in fails(1, "new", "family", name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    assert "exists" in fails(1, "new", "family", NAME, "--out", str(tmp_path))
    assert not list(tmp_path.iterdir())
