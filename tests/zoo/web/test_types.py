"""The page's JavaScript has the types that its comments declare."""

from __future__ import annotations

import json
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
    leave_out_runtime(folder)
    installed = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=folder, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm cannot fetch the compiler: {installed.stderr[-300:]}")
    checked = subprocess.run([npm, "run", "check"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def leave_out_runtime(folder: Path) -> None:
    """Leave onnxruntime-web out of what npm installs: its many files have no part in the types."""
    for name in ("package.json", "package-lock.json"):
        data = json.loads((folder / name).read_text())
        data.get("packages", {}).get("", data).pop("dependencies")
        if "packages" in data:
            data["packages"] = {path: one for path, one in data["packages"].items() if not path or one.get("dev")}
        (folder / name).write_text(json.dumps(data))
