"""The page's JavaScript has the types that its comments declare."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import zoo.web


def test_the_javascript_of_the_page_type_checks(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm")
    folder = tmp_path / "web"
    shutil.copytree(Path(zoo.web.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    installed = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=folder, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm cannot fetch the compiler: {installed.stderr[-300:]}")
    checked = subprocess.run([npm, "run", "check"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
