"""``make demo``, as the first thing that a reader of README runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_demo_can_be_repeated(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["make", "--dry-run", "demo", "INSTALLED=", "BIN=$$BIN"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = listed.stdout.replace("$BIN/zoo train", "$BIN/python -m zoo train -o train.epochs=1")
    assert commands.count("$BIN/python") == 2
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BIN": str(Path(sys.executable).parent)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "of 360" in done.stdout
