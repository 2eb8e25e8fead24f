"""Values of wrong shapes, lists and sections inside lists among them, are one line with their key path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError

VALUES = ("[{name: x, untill: 5}]", "[[1, 2]]", "[null]", "[a, {b: [c]}]", "{name: [1]}", "{name: {a: 1}}", "[{}]")


def _keys(tree: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")


def _message(recipe: str, override: str) -> str | None:
    """Return the message of the error, or None if the value is allowed."""
    try:
        load_recipe(recipe, [override])
    except RecipeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "recipe", ["gridnet-digits", "cellnet-digits", "normnet-mnist-conv", "nca-iris", "snapshots-digits"]
)
def test_no_value_of_a_wrong_shape_is_a_raw_error(recipe: str) -> None:
    for key in _keys(load_recipe(recipe).to_dict()):
        for value in VALUES:
            message = _message(recipe, f"{key}={value}")
            assert message is None or key.rpartition(".")[2] in message


@pytest.mark.parametrize(
    ("recipe", "override", "line"),
    [
        (
            "snapshots-digits",
            "model.phases=[{name: coarse, untill: 5, structures: 1, snapshots: 1}]",
            r"model\.phases\.0\.untill: unknown key \(did you mean until\?\); allowed keys: name, until,",
        ),
        (
            "normnet-digits",
            "model.convolutions=[{channels: 3}, {chanels: 3}]",
            r"model\.convolutions\.1\.chanels: unknown key \(did you mean channels\?\)",
        ),
        ("normnet-digits", "model.convolutions=[{channels: 3}, 7]", r"model\.convolutions\.1: found 7, should be"),
        ("normnet-digits", "model.hidden=[8, x]", r'model\.hidden\.1: found "x", should be a valid integer'),
        ("snapshots-digits", "model.hidden=[[8]]", r"model\.hidden\.0: found \[8\], should be a valid integer"),
        ("cellnet-digits", "model.core=[8, {a: 1}]", r'model\.core\.1: found \{"a": 1\}, should be a valid integer'),
        ("nca-iris", "model.rule.hidden=[4, null]", r"model\.rule\.hidden\.1: found nothing, should be"),
        (
            "gridnet-digits",
            "train.optimizer={name: adam, betas: [0.9, x]}",
            r'optimizer\.betas\.1: found "x", should be',
        ),
    ],
)
def test_an_entry_of_a_list_is_named_by_its_number(recipe: str, override: str, line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [override])
    assert re.search(line, str(caught.value)), str(caught.value)
