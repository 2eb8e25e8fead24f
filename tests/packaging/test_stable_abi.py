"""One wheel for Python 3.12 and all later ones: checked as a release is, and installed without a compiler."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.install import copy_source, find_python, make_venv, path_without_compilers, run
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


def python_or_skip(minor: int) -> str:
    found = find_python(minor)
    return found or pytest.skip(f"there is no Python 3.{minor} on this machine")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that Python 3.12 builds from a copy of the working tree, with one model."""
    source = copy_source(tmp_path_factory.mktemp("source"), exports="gridnet-digits")
    python = make_venv(tmp_path_factory.mktemp("builder") / "venv", python_or_skip(12))
    out = tmp_path_factory.mktemp("wheel")
    command = (python, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--wheel-dir", out)
    run(*command, cwd=source, environment={"ZOO_COMPILE": "ON", "ZOO_CUDA": "OFF"})
    [built] = out.glob("*.whl")
    return built


def test_the_wheel_is_for_the_stable_abi_of_python_3_12(wheel: Path) -> None:
    assert "-cp312-abi3-" in wheel.name


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel reads ELF files")
def test_the_module_keeps_to_the_stable_abi_and_to_manylinux(wheel: Path, tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    run(tools / "abi3audit", "--strict", wheel, cwd=tmp_path)
    shown = run(tools / "auditwheel", "show", wheel, cwd=tmp_path).stdout
    assert re.search(r'platform\s+tag:\s+"manylinux_2_\d+_', shown), shown


@pytest.mark.parametrize("minor", [12, 13])
def test_later_pythons_install_it_from_a_folder_without_a_compiler_and_predict(
    wheel: Path, tmp_path: Path, minor: int
) -> None:
    python = make_venv(tmp_path / "venv", python_or_skip(minor))
    wheelhouse = tmp_path / "wheelhouse"
    run(python, "-m", "pip", "download", "--quiet", wheel, "--only-binary", ":all:", "--dest", wheelhouse, cwd=tmp_path)
    shutil.copy(wheel, wheelhouse)
    offline = {"PATH": path_without_compilers(tmp_path / "path"), "PIP_EXTRA_INDEX_URL": ""}
    install = (python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheelhouse, "cellzoo")
    run(*install, cwd=tmp_path, environment=offline)
    script = ROOT / "tests" / "packaging" / "predicts.py"
    shown = run(python, script, "kernels", "native", "onnx", cwd=tmp_path).stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["kernels", "native", "onnx"]
    assert "_kernels.abi3.so" in shown[0]
