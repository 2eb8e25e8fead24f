"""README's Python block and its commands, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_wine

from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
[PYTHON] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^(zoo .*?) +# ", README, re.MULTILINE)
SHORT = {
    "zoo train gridnet-digits": "zoo train gridnet-digits -o train.epochs=5",
    "zoo bench kernels": "zoo bench kernels --quick",
}
"""Commands that take long, and what is run instead."""
REFUSED = {"zoo push gridnet-digits --repo-id alice/gridnet-digits": "needs a token: "}
"""Commands that need the Hub, and their error without a token; tests/zoo/artifacts/test_push.py pushes to a server."""
SLOW = ("zoo probe", "zoo train nca-iris", "zoo bench")


def _run(*command: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a new user: no models of their own, no token."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ZOO_"))}
    data = {"ZOO_DATA": os.environ["ZOO_DATA"]} if "ZOO_DATA" in os.environ else {}
    return {**kept, **data, "HOME": str(home), "ZOO_MODELS": str(home / "models"), "PYTHONPATH": str(ROOT)}


def _write_own_data(folder: Path) -> None:
    """Write ``photos`` and ``wine.csv``, which README's reader has."""
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.jpg")
    wine = load_wine(as_frame=True)
    wine.frame.rename(columns={"target": "class"}).to_csv(folder / "wine.csv", index=False)


def _check(commands: list[str], environment: dict[str, str], folder: Path) -> None:
    block = _run(sys.executable, "-c", PYTHON, cwd=folder, environment=environment)
    assert block.returncode == 0, block.stderr
    assert block.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", PYTHON, re.MULTILINE)
    _write_own_data(folder)
    for command in commands:
        _, *arguments = shlex.split(SHORT.get(command, command))
        result = _run(sys.executable, "-m", "zoo", *arguments, cwd=folder, environment=environment)
        if command in REFUSED:
            assert (result.returncode, REFUSED[command] in result.stderr) == (1, True), result.stderr
            continue
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert (Path(environment["ZOO_MODELS"]) / "gridnet-digits" / "config.json").is_file()
    assert (folder / "digits.onnx").is_file()


def test_the_python_block_and_the_quick_commands_do_what_readme_shows(
    environment: dict[str, str], tmp_path: Path
) -> None:
    quick = [command for command in COMMANDS if not command.startswith(SLOW)]
    assert len(quick) > 5
    _check(quick, environment, tmp_path)


@pytest.mark.slow
def test_all_commands_do_what_readme_shows(environment: dict[str, str], tmp_path: Path) -> None:
    _check(COMMANDS, environment, tmp_path)
