"""README's Python block and its commands, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
[PYTHON] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^(zoo .*?) +# ", README, re.MULTILINE)
# Shortened: the benchmark takes minutes, and a push needs the Hub (tests/zoo/artifacts/test_push.py has one).
SHORT = {"zoo bench kernels": "zoo bench kernels --quick"}
NOT_RUN = {"zoo push gridnet-digits --repo-id alice/gridnet-digits": "needs a token: "}


def _run(*command: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a new user: no models of their own, no token."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ZOO_"))}
    data = {"ZOO_DATA": os.environ["ZOO_DATA"]} if "ZOO_DATA" in os.environ else {}
    return {**kept, **data, "HOME": str(home), "ZOO_MODELS": str(home / "models"), "PYTHONPATH": str(ROOT)}


def test_the_python_block_and_the_commands_print_what_readme_shows(environment: dict[str, str], tmp_path: Path) -> None:
    block = _run(sys.executable, "-c", PYTHON, cwd=tmp_path, environment=environment)
    assert block.returncode == 0, block.stderr
    assert block.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", PYTHON, re.MULTILINE)
    assert len(COMMANDS) > 8
    for command in COMMANDS:
        _, *arguments = shlex.split(SHORT.get(command, command))
        result = _run(sys.executable, "-m", "zoo", *arguments, cwd=tmp_path, environment=environment)
        if command in NOT_RUN:
            assert (result.returncode, NOT_RUN[command] in result.stderr) == (1, True), result.stderr
            continue
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert (Path(environment["ZOO_MODELS"]) / "gridnet-digits" / "config.json").is_file()
    assert (tmp_path / "digits.onnx").is_file()
