"""The pages of the API name everything that the packages offer."""

from __future__ import annotations

import re

import pytest

import sdk
import sdk.errors
import sdk.plot
import zoo.layers
from sdk.families import model_class
from tests.support.paths import DOCS
from zoo.families.registry import own_names

MODELS = {model_class(family, task).__name__ for family in own_names() for task in ("classification", "echo")}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("page", "offered"),
    [
        ("sdk", set(sdk.__all__) - set(vars(sdk.errors)) | set(sdk.plot.__all__) | MODELS),
        ("zoo", set(zoo.layers.__all__)),
    ],
)
def test_a_page_names_what_its_packages_offer(page: str, offered: set[str]) -> None:
    text = (DOCS / "api" / f"{page}.md").read_text()
    assert offered <= set(re.findall(r"\w+", text))


def test_whole_modules_stand_on_the_pages() -> None:
    assert "::: sdk.errors\n" in (DOCS / "api" / "sdk.md").read_text()
    assert "::: zoo.estimator\n" in (DOCS / "api" / "zoo.md").read_text()
