"""Each example in examples/ that trains in a loop of its own is short, learns, and ends in a model for the SDK."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

import sdk
from tests.support.paths import DOCS, ROOT

EXAMPLES = sorted((ROOT / "examples").glob("own_loop_*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_own_loop_learns_and_its_model_is_loaded(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "mine"])
    runpy.run_path(str(example), run_name="__main__")
    right, total = map(int, re.findall(r"\d+", capsys.readouterr().out)[:2])
    assert right / total > 0.85
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert sdk.load("./mine").name == "mine"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_under_40_lines_and_named_in_the_guide(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 40
    assert f"examples/{example.name}" in (DOCS / "guides" / "own-loop.md").read_text()


def test_the_guide_shows_the_normnet_example_as_it_is() -> None:
    [code] = re.findall(
        r"^```python\n(import sys\n.*?)^```$", (DOCS / "guides" / "own-loop.md").read_text(), re.M | re.S
    )
    shown = (ROOT / "examples" / "own_loop_normnet.py").read_text().split('"""\n\n')[1]
    assert code == shown
