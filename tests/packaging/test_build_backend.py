"""An install without kernels: where there is no compiler, where the compiler fails, and where nobody wants them."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import nanobind
import pytest

from tests.support.install import PIP, PREDICT, build_wheel, copy_source, make_venv, path_without_compilers, run
from tests.support.paths import ROOT

BROKEN_COMPILER = """#!/bin/sh
case "$*" in
  *csrc/*|*nanobind/src/*) echo "csrc/core/peak.cpp:3:1: error: 'boom' does not name a type" >&2; exit 1;;
esac
exec {compiler} "$@"
"""


@pytest.fixture(scope="module")
def backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_backend", ROOT / "csrc" / "build_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(tmp_path_factory.mktemp("source"), exports="gridnet-digits")


@pytest.fixture
def source(copied: Path) -> Path:
    """A copy of the working tree with one model, which is quick to pack, and without remains of an earlier build."""
    shutil.rmtree(copied / "build", ignore_errors=True)
    return copied


@pytest.fixture(scope="module")
def no_compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose PATH leads to no compiler."""
    return {"PATH": path_without_compilers(tmp_path_factory.mktemp("path"))}


def record(wheel: Path) -> dict[str, str]:
    [name] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/kernels.json")]
    found: dict[str, str] = json.loads(zipfile.ZipFile(wheel).read(name))
    return found


def test_a_build_without_a_compiler_gives_a_wheel_for_every_platform(
    source: Path, no_compiler: dict[str, str], tmp_path: Path
) -> None:
    wheel = build_wheel(source, tmp_path, environment=no_compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert record(wheel)["cause"] == "no compiler"
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd"))]


def test_the_record_of_a_wheel_lists_the_reason_with_its_hash(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(source, tmp_path, environment={"ZOO_COMPILE": "OFF"})) as wheel:
        [record_name] = [name for name in wheel.namelist() if name.endswith(".dist-info/RECORD")]
        rows = dict(row.split(",", 1) for row in wheel.read(record_name).decode().splitlines())
        assert set(rows) == set(wheel.namelist())
        [name] = [name for name in rows if name.endswith("kernels.json")]
        data = wheel.read(name)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    assert rows[name] == f"sha256={digest},{len(data)}"
    assert json.loads(data) == {"cause": "left out", "detail": "ZOO_COMPILE=OFF"}


def test_a_compiler_that_fails_is_named_in_the_wheel(source: Path, tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++ to stand behind the one that fails")
    broken = tmp_path / "bin" / "g++"
    broken.parent.mkdir()
    broken.write_text(BROKEN_COMPILER.format(compiler=compiler))
    broken.chmod(0o755)
    path = os.pathsep.join((str(broken.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    wheel = build_wheel(source, tmp_path / "out", environment={"PATH": path, "CXX": str(broken), "ZOO_CUDA": "OFF"})
    assert wheel.name.endswith("-py3-none-any.whl")
    assert record(wheel) == {
        "cause": "failed",
        "detail": "csrc/core/peak.cpp:3:1: error: 'boom' does not name a type",
    }


def test_a_compiler_that_failed_is_forgotten_with_the_variable_that_named_it(
    source: Path, no_compiler: dict[str, str], tmp_path: Path
) -> None:
    """CMake keeps the compiler of a build folder, so another CXX, or none, needs another folder."""
    found = []
    for number, variables in enumerate(({"CXX": "/bin/false"}, {})):
        wheel = build_wheel(source, tmp_path / str(number), environment={**no_compiler, **variables})
        found.append(record(wheel))
    assert "/bin/false" in found[0]["detail"]
    assert found[1] == {"cause": "no compiler", "detail": "CMake found no C++ compiler"}


def test_nvcc_is_looked_for_again_in_a_folder_that_was_built_without_it(tmp_path: Path) -> None:
    """CMake would keep the answer of the first time, and an nvcc that was installed since would not be found."""
    path = Path(path_without_compilers(tmp_path / "path"))
    for tool in ("g++", "as", "ld", "ar", "ranlib"):
        found = shutil.which(tool)
        if found is None:
            pytest.skip(f"there is no {tool}")
        (path / tool).symlink_to(found)
    command = ("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path / "build", f"-DPython_EXECUTABLE={sys.executable}")
    options = (f"-Dnanobind_DIR={nanobind.cmake_dir()}", "-DZOO_CUDA=AUTO")
    environment = {"PATH": str(path), "CXX": "g++", "CUDACXX": ""}
    for _ in range(2):
        printed = run(*command, *options, cwd=tmp_path, environment=environment).stdout
        assert "Looking for a CUDA compiler - NOTFOUND" in printed


@pytest.mark.parametrize("wanted", ["ZOO_COMPILE", "ZOO_CUDA"])
def test_a_build_that_has_to_compile_fails_without_a_compiler(
    source: Path, no_compiler: dict[str, str], tmp_path: Path, wanted: str
) -> None:
    command = (*PIP, "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    result = run(*command, cwd=source, check=False, environment={**no_compiler, wanted: "ON"})
    assert result.returncode != 0
    assert "CMake configuration failed" in result.stdout + result.stderr
    assert not list(tmp_path.glob("*.whl"))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ZOO_COMPILE": "yes"}, "ZOO_COMPILE: found 'yes', allowed AUTO, ON, OFF"),
        ({"ZOO_COMPILE": ""}, "ZOO_COMPILE: found '', allowed AUTO, ON, OFF"),
        ({"ZOO_CUDA": "on"}, "ZOO_CUDA: found 'on', allowed AUTO, ON, OFF"),
        ({"ZOO_COMPILE": "OFF", "ZOO_CUDA": "ON"}, "ZOO_CUDA: found 'ON' with ZOO_COMPILE=OFF, which compiles nothing"),
    ],
)
def test_an_unknown_way_to_compile_is_refused(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name in ("ZOO_COMPILE", "ZOO_CUDA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for hook in (backend.build_wheel, backend.build_editable):
        with pytest.raises(SystemExit, match=message):
            hook("anywhere")
    with pytest.raises(SystemExit, match=message):
        backend.get_requires_for_build_wheel()


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "CMake Error at CMakeLists.txt:2 (project):\n  No CMAKE_CXX_COMPILER could be found.\n\n  Tell CMake\n",
            ("no compiler", "CMake found no C++ compiler"),
        ),
        (
            "CMake Error at b.cmake:4:\n  Could not find compiler set in environment variable CXX:\n\n  g++.\n",
            ("no compiler", "CMake found no C++ compiler"),
        ),
        (
            "CMake Error at CMakeLists.txt:20 (find_package):\n  Could not find nanobind\n\n\n-- Configuring",
            ("failed", "Could not find nanobind"),
        ),
        (
            "[1/9] Building\n/a/b.cpp:1:2: warning: x\n/a/b.cpp:9:9: fatal error: omp.h: No such file\nninja: stopped",
            ("failed", "/a/b.cpp:9:9: fatal error: omp.h: No such file"),
        ),
        (
            "[2/9] Building\ng++: fatal error: Killed signal terminated program cc1plus\n",
            ("failed", "g++: fatal error: Killed signal terminated program cc1plus"),
        ),
        ("C:\\b.cpp(3): error C2065: 'x': undeclared", ("failed", "C:\\b.cpp(3): error C2065: 'x': undeclared")),
        ("FAILED: [code=1] a.o \nninja: build stopped\n", ("failed", "FAILED: [code=1] a.o")),
        ("", ("failed", "the log names no error")),
    ],
)  # fmt: skip
def test_the_log_of_a_failed_build_is_reduced_to_one_line(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, log: str, expected: tuple[str, str]
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    assert backend.explain(log, SystemExit(1)) == expected


def test_a_build_that_ends_without_a_word_is_named_by_its_exception(backend: ModuleType) -> None:
    error = PermissionError(13, "Permission denied", "build")
    expected = ("failed", "PermissionError: [Errno 13] Permission denied: 'build'")
    assert backend.explain("*** scikit-build-core 0.11 using CMake\n", error) == expected


def test_a_build_without_kernels_asks_for_no_cmake(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))  # a CMake of the machine would do
    hooks = (backend.get_requires_for_build_wheel, backend.get_requires_for_build_editable)
    monkeypatch.setenv("ZOO_COMPILE", "ON")
    assert ["cmake" in " ".join(hook()) for hook in hooks] == [True, True]
    monkeypatch.setenv("ZOO_COMPILE", "OFF")
    assert [hook() for hook in hooks] == [[], []]


def test_a_source_folder_that_takes_no_build_folder_gives_a_wheel_without_kernels(source: Path, tmp_path: Path) -> None:
    (source / "build").touch()
    try:
        wheel = build_wheel(source, tmp_path)
    finally:
        (source / "build").unlink()
    found = record(wheel)
    assert found["cause"] == "failed"
    assert "Error: " in found["detail"]
    assert "build" in found["detail"]


@pytest.mark.slow
def test_pip_installs_without_a_compiler_and_the_install_predicts(
    source: Path, no_compiler: dict[str, str], tmp_path: Path
) -> None:
    python = make_venv(tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", ".", cwd=source, environment=no_compiler)
    found = json.loads(run(python, "-c", PREDICT.format(options=""), cwd=tmp_path).stdout)
    assert found[:3] == ["onnx", True, False]
    report = run(python.parent / "zoo", "doctor", "--offline", cwd=tmp_path).stdout
    assert "note kernels: not compiled: there was no C++ compiler when cellzoo was installed" in report
