"""The registered ops refuse every wrong argument, and take tensors of any strides."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.paths import DOCS, ROOT


def test_every_wrong_argument_of_every_op_is_refused_and_strides_change_no_result() -> None:
    command = [sys.executable, "-m", "tests.support.hostile_ops"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]  # the last label is that of the call that crashed
    assert done.stdout.split("\n")[-2:] == ["finished", ""]
    assert done.stdout.strip() == "finished", done.stdout
    [said] = re.findall(r"([0-9,]+) calls in a process of its own", (DOCS / "reliability.md").read_text())
    assert done.stderr.count("\n") == int(said.replace(",", ""))  # a line per call
