"""README's pictures are small, and their script still draws them from the shipped models."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image

from tests.support.paths import DOCS

FOLDER = DOCS / "pictures"
STILLS = ("meta-nca.png", "snapshots.png")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "draw.py"))


def test_the_script_draws_every_picture_of_the_folder(script: dict[str, Any]) -> None:
    pictures = {path.name for path in FOLDER.iterdir() if path.suffix in {".png", ".gif", ".svg"}}
    assert set(script["PICTURES"]) == pictures


def test_pictures_are_small_and_have_twice_the_size_that_readme_shows() -> None:
    for name in STILLS:
        assert (FOLDER / name).stat().st_size < 300_000
        assert Image.open(FOLDER / name).width == 2 * 800
    animation = Image.open(FOLDER / "gridnet.gif")
    assert (FOLDER / "gridnet.gif").stat().st_size < 600_000
    assert animation.n_frames == 3 * 13  # three digits, each before and after every one of twelve outer steps
    assert animation.info["loop"] == 0
    blocks = Image.open(FOLDER / "blocks.gif")
    assert (FOLDER / "blocks.gif").stat().st_size < 600_000
    assert blocks.n_frames == 1 + 2 * (1 + 3 + 1)  # the start; two outer steps of a cut, three inner steps and a join


@pytest.mark.parametrize("name", STILLS)
def test_a_still_picture_is_drawn_again_to_the_same_size(script: dict[str, Any], name: str, tmp_path: Path) -> None:
    with matplotlib.rc_context(script["STYLE"]):
        script["PICTURES"][name](tmp_path / name)
    assert Image.open(tmp_path / name).size == Image.open(FOLDER / name).size
