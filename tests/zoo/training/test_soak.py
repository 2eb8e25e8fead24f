"""A short form of ``make soak``, and what counts as a loss in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the soak forks")


def _soak(*arguments: str) -> None:
    command = [sys.executable, "-m", "tests.support.soak", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost" in done.stdout


def test_killed_runs_end_with_the_weights_of_uninterrupted_ones() -> None:
    _soak("--kills", "6", "--scenarios", "1")


@pytest.mark.slow
def test_killed_runs_of_every_family_seed_and_target_end_alike() -> None:
    _soak("--kills", "60", "--seed", "1")


@pytest.fixture
def ended(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal finished runs."""
    from tests.support.soak import SCENARIOS

    place, reference = tmp_path / "place", tmp_path / "reference"
    overrides = [part for override in SCENARIOS[0].overrides for part in ("-o", override)]
    folders = ["--run-dir", str(reference / "folder"), "--out", str(reference / "model")]
    assert run("train", SCENARIOS[0].recipe, *overrides, *folders).exit_code == 0
    shutil.copytree(reference, place)
    return place, reference


def test_any_difference_from_the_uninterrupted_run_is_a_loss(ended: tuple[Path, Path]) -> None:
    from tests.support.soak import SCENARIOS, _compare

    place, reference = ended
    _compare(SCENARIOS[0], place, reference)
    for file in ("model/model.safetensors", "model/model.onnx", "folder/metrics.jsonl"):
        content = (place / file).read_bytes()
        (place / file).write_bytes(content[:-3] + b'"\n}')
        with pytest.raises((AssertionError, ValueError)):
            _compare(SCENARIOS[0], place, reference)
        (place / file).write_bytes(content)
    for leftover in ("folder/.tmp1a2b", ".model.0123456789ab.tmp"):
        (place / leftover).touch()
        with pytest.raises(AssertionError, match=r"leftovers|the run folder holds"):
            _compare(SCENARIOS[0], place, reference)
        (place / leftover).unlink()


@pytest.mark.parametrize(
    ("code", "number", "output"),
    [(1, None, "zoo: error: any"), (1, signal.SIGINT, "\nAborted!\n"), (130, signal.SIGINT, "zoo: error: a\nb\n"),
     (143, signal.SIGTERM, "zoo: error: interrupted at step 1; no checkpoint; continue with: zoo\n")],
)  # fmt: skip
def test_an_end_that_says_too_much_or_too_little_is_a_loss(
    tmp_path: Path, code: int, number: int | None, output: str
) -> None:
    from tests.support.soak import Soak

    soak = Soak(tmp_path, 0)
    soak.moment = "a test"
    (tmp_path / "output").write_text(output)
    with pytest.raises(AssertionError):
        soak._check_end(code, number, tmp_path)
    (tmp_path / "output").write_text("zoo: error: interrupted at step 1; no checkpoint\n")
    soak._check_end(143, signal.SIGTERM, tmp_path)
    assert soak.tally.kills == {"SIGTERM": 1}
