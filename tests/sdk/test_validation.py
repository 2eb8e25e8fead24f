from __future__ import annotations

import math

import numpy as np
import pytest

from sdk import CellzooError, InputError
from sdk.validation import check_keys, check_list, check_positive, check_type, describe, hint


def test_an_input_error_is_both_an_error_of_cellzoo_and_a_value_error() -> None:
    for base in (CellzooError, ValueError):
        with pytest.raises(base, match="steps must be a positive integer, found 0"):
            check_positive(0, "steps")


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_only_positive_integers_are_positive(value: object) -> None:
    with pytest.raises(InputError, match=f"steps must be a positive integer, found {value!r}"):
        check_positive(value, "steps")
    assert check_positive(3, "steps") == 3
    assert type(check_positive(np.uint8(3), "steps")) is int


def test_missing_and_unknown_keys_are_named() -> None:
    assert check_keys({"a": 1, "b": 2}, {"a"}, frozenset({"b"}), "thing") == {"a": 1, "b": 2}
    assert check_keys({"a": 1}, {"a"}, frozenset({"b"}), "thing") == {"a": 1}
    for data, message in (
        ([], r"thing must be an object, found \[\]"),
        ({}, "thing lacks 'a'"),
        ({"a": 1, "c": 2}, "thing has unknown 'c'; allowed: a, b"),
    ):
        with pytest.raises(InputError, match=message):
            check_keys(data, {"a"}, frozenset({"b"}), "thing")


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (1, str, "x must be a string, found 1"),
        (1.0, int, "x must be an integer, found 1.0"),
        (True, int, "x must be an integer, found True"),
        (True, float, "x must be a number, found True"),
        (math.nan, float, "x must be a finite number, found nan"),
        (10**400, float, "x must be a finite number, found 1000"),
        ({}, list, "x must be a list, found {}"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(value: object, kind: type, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_type(value, kind, "x")


def test_an_integer_is_a_number_and_becomes_a_float() -> None:
    number = check_type(3, float, "x")
    assert (number, type(number)) == (3.0, float)


def test_the_wrong_element_of_a_list_is_named() -> None:
    assert check_list(["a", "b"], str, "labels") == ("a", "b")
    with pytest.raises(InputError, match=r"labels\[1\] must be a string, found 2"):
        check_list(["a", 2], str, "labels")


@pytest.mark.parametrize("value", ["x" * 1000, "a\nb", np.zeros((3, 3)), list(range(100))])
def test_a_value_is_described_on_one_short_line(value: object) -> None:
    text = describe(value)
    assert len(text) <= 60
    assert "\n" not in text


def test_a_misspelt_word_is_answered_with_the_closest_known_one() -> None:
    assert hint("gridnet-minst", ["gridnet-mnist", "gridnet-digits"]) == " (did you mean gridnet-mnist?)"
    assert hint("resnet", ["gridnet-mnist"]) == hint("resnet", []) == ""
