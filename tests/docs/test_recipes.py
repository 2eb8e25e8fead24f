"""The recipes on docs/guides/recipes.md are valid, and its first one is as short as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import DOCS
from zoo.recipe import load_recipe

BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "guides" / "recipes.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_a_recipe_of_the_page_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert load_recipe(tmp_path / "mine.yaml").name == "mine"


def test_the_shortest_recipe_has_five_lines() -> None:
    assert len(BLOCKS) == 3
    assert len(BLOCKS[0].splitlines()) == 5
