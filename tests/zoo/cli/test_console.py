"""Progress is shown on a terminal, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.paths import ROOT

COMMANDS = [
    ["eval", "bundled:gridnet-digits"],
    ["export", "bundled:gridnet-digits", "--out", "OUT/model.onnx"],
    ["card", "OUT/model"],
]


def on_a_terminal(*arguments: str) -> tuple[str, str]:
    """Run a command whose stderr is a terminal; return stdout and stderr."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "zoo", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the terminal was closed
            break
        if not piece:
            break
        shown += piece
    output = process.communicate()[0]
    os.close(ours)
    assert process.returncode == 0, shown
    return output, shown.decode()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a bundled model, which a command may change."""
    return Path(shutil.copytree(ROOT / "exports" / "normnet-digits", tmp_path / "model"))


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_progress_is_silent_when_it_is_piped(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*(part.replace("OUT", str(tmp_path)) for part in arguments))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""


def test_progress_is_shown_on_a_terminal_and_hidden_by_quiet() -> None:
    output, shown = on_a_terminal("eval", "bundled:gridnet-digits")
    assert "the same" in output
    assert "loading" in shown
    assert on_a_terminal("eval", "bundled:gridnet-digits", "--quiet") == (output, "")
