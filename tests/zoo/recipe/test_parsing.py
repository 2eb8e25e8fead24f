from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zoo.recipe.parsing import DEPTH_LIMIT, SIZE_LIMIT, parse_yaml, to_yaml
from zoo.utils.errors import RecipeError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("+5", 5), ("1.", 1.0), (".5", 0.5), ("-1.5", -1.5), ("1e3", 1000.0), ("3.e-4", 3e-4),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None), (".inf", float("inf")),
        ("abc", "abc"), ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3"), ("y", "y"), ("<<", "<<"), ("=", "="),
        ("'010'", "010"), ('"yes"', "yes"), ("12:99", "12:99"), ("e5", "e5"), ("[1, [a]]", [1, ["a"]]),
    ],
)  # fmt: skip
def test_plain_values_are_read(text: str, value: Any) -> None:
    found = parse_yaml(text, "here")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("010", "10"), ("-010", "-10"), ("08", "8"), ("00", "0"), ("0o10", "8"), ("0x1F", "31"), ("0b11", "3"),
        ("1_000", "1000"), ("1_0.5", "10.5"), ("00.5", "0.5"), ("1:30", "90"), ("1:30:00.5", "5400.5"),
        ("-1:30", "-90"),
        ("yes", "true"), ("No", "false"), ("ON", "true"), ("off", "false"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["{}", "[{}]", "a: {}", "- b: {}"])
def test_values_that_readers_of_yaml_take_for_different_ones_are_refused(text: str, plain: str, shape: str) -> None:
    with pytest.raises(RecipeError, match=rf"here: line 1, column \d: found {text}, .*; write {plain}, or '{text}'"):
        parse_yaml(shape.format(text), "here")
    assert parse_yaml(shape.format(f"'{text}'"), "here")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1", "line 1, column 4: anchors"),
        ("a: 1\nb: *a", "line 2, column 4: anchors"),
        ("&a [*a]", "line 1, column 1: anchors"),
        ("&a {b: *a}", "line 1, column 1: anchors"),
        ("a: !!int 3", "line 1, column 4: tags are not allowed"),
        ("a: !!set {x}", "line 1, column 4: tags are not allowed"),
        ("a: !!binary aGk=", "line 1, column 4: tags are not allowed"),
        ("a: !!timestamp 2001-01-01", "line 1, column 4: tags are not allowed"),
        ("a: ! b", "line 1, column 4: tags are not allowed"),
        ("? [a]\n: 1", "line 1, column 3: a list or a mapping cannot be a key"),
        ("1: 2", "line 1, column 1: a key should be a word, found 1"),
        ("true: 2", "line 1, column 1: a key should be a word, found true"),
        ("? ~\n: 2", "line 1, column 3: a key should be a word, found ~"),
        ("no: 2", "line 1, column 1: found no"),
        ("{a: 1, a: 2}", "line 1, column 8: key 'a' is given twice"),
        ("{a: 1, 'a': 2}", "line 1, column 8: key 'a' is given twice"),
        ('a: "\\0"', "line 1, column 4: the character '.x00' is not allowed"),
        ('a: "\\ud800"', "line 1, column 4: the character '.ud800' is not allowed"),
        ("9" * 5000, "line 1, column 1: found a number of 5000 characters, at most 40 are allowed"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
        ("a: \x07", "not valid YAML: unacceptable character"),
    ],
)
def test_what_no_recipe_needs_is_refused_in_its_place(text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=f"here: {problem}") as caught:
        parse_yaml(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_at_once(opening: str) -> None:
    text = opening * 100_000
    started = time.monotonic()
    with pytest.raises(RecipeError, match=r"here: line 1, column \d+: "):
        parse_yaml(text, "here")
    assert time.monotonic() - started < 20


def test_nesting_is_allowed_up_to_the_limit() -> None:
    for depth, fits in ((DEPTH_LIMIT - 1, True), (DEPTH_LIMIT, False)):
        text = "[" * depth + "1" + "]" * depth
        if fits:
            parse_yaml(text, "here")
        else:
            with pytest.raises(RecipeError, match="more than 32 lists and mappings inside each other"):
                parse_yaml(text, "here")


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(RecipeError, match=f"found {SIZE_LIMIT + 1} characters, at most {SIZE_LIMIT} are allowed"):
        parse_yaml("#" * (SIZE_LIMIT + 1), "here")


@given(PLAIN)
def test_what_is_written_is_read_again(value: Any) -> None:
    try:
        text = to_yaml({"k": value})
        found = parse_yaml(text, "here")
    except RecipeError as error:
        assert "is not allowed in text" in str(error) or "unacceptable character" in str(error)  # noqa: PT017
    else:
        assert found == {"k": value}


@given(st.text())
def test_any_text_gives_a_value_or_our_error(text: str) -> None:
    try:
        parse_yaml(text, "here")
    except RecipeError as error:
        assert str(error).startswith("here: ")  # noqa: PT017


def test_shared_values_are_written_twice_instead_of_by_alias() -> None:
    shared = [1, 2]
    assert to_yaml({"a": shared, "b": shared}) == "a: [1, 2]\nb: [1, 2]\n"


def test_ordinary_values_are_written_as_pyyaml_writes_them() -> None:
    tree = {"a": {"b": [1, 2.5, True, None, "text", 1e-05], "c": "010", "d": "yes"}, "e": []}
    assert to_yaml(tree) == yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=110)
