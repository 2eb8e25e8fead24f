"""The source distribution and the workflows that build releases."""

from __future__ import annotations

import os
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

import sdk
from tests.support.install import copy_source, run
from tests.support.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_exists(path: Path) -> None:
    commands = " ".join(step.get("run", "") for step in steps(path))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", commands)) <= targets
    scripts = re.findall(r"\S+\.py\b|\.ci/\w+", commands)
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_only_a_published_release_of_its_tags_version_is_uploaded_and_without_a_stored_token(tmp_path: Path) -> None:
    [path] = [path for path in WORKFLOWS if path.name == "release.yml"]
    publish = yaml.safe_load(path.read_text())["jobs"]["publish"]
    assert publish["if"] == "github.event_name == 'release'"
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in path.read_text()
    *_, check, upload = publish["steps"]
    assert upload["uses"].startswith("pypa/gh-action-pypi-publish@")
    for tag, expected in ((f"v{sdk.__version__}", 0), ("v99.0", 1)):
        (tmp_path / "dist").mkdir(exist_ok=True)
        (tmp_path / "dist" / f"cellzoo-{sdk.__version__}.tar.gz").touch()
        environment = {"GITHUB_REF_NAME": tag}
        assert (
            run("bash", "-c", check["run"], cwd=tmp_path, check=False, environment=environment).returncode == expected
        )


def test_only_the_wheel_of_the_stable_abi_is_audited_for_it() -> None:
    """abi3audit --strict fails on a wheel for one version of Python, and the release with it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    for_all = {key: value for key, value in settings.items() if key != "overrides"}
    assert "abi3audit" not in str(for_all)
    [override] = [each for each in settings["overrides"] if "abi3audit" in str(each)]
    wheels = [build.partition("-")[0] for build in settings["build"].split()]
    assert [wheel for wheel in wheels if fnmatch(f"{wheel}-manylinux_x86_64", override["select"])] == ["cp312"]
    assert override["inherit"] == {"repair-wheel-command": "append"}


def test_the_source_distribution_builds_a_wheel(tmp_path: Path) -> None:
    source = copy_source(tmp_path / "source", exports="gridnet-digits")
    build = "import build_backend, sys; build_backend.build_{}(sys.argv[1])"
    run_backend(source, build.format("sdist"), tmp_path)
    [archive] = tmp_path.glob("cellzoo-*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "csrc" / "gridnet" / "cpu" / "kernels.cpp").is_file()
    run_backend(unpacked, build.format("wheel"), tmp_path)
    assert len(list(tmp_path.glob("cellzoo-*-py3-none-any.whl"))) == 1


def run_backend(source: Path, code: str, out: Path) -> None:
    """Call a hook of the build backend as pip does, without compiling."""
    script = f"import sys; sys.path.insert(0, {os.fspath(source / 'csrc')!r}); {code}"
    run(sys.executable, "-c", script, out, cwd=source, environment={"ZOO_COMPILE": "OFF"})
