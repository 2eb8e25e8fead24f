from __future__ import annotations

from itertools import permutations

import datasets
import pytest

from zoo.config.data import DatasetConfig
from zoo.data.dataset_parts import _sort_key, name_classes, without_unlabelled_test
from zoo.data.dataset_source import Opened
from zoo.utils.errors import DataError


def opened(**labels: list[object]) -> Opened:
    parts = {role: datasets.Dataset.from_dict({"label": found}) for role, found in labels.items()}
    return Opened(parts, {role: role for role in parts}, "here")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["10", "2", "1", "2"], ["1", "2", "10"]),
        (["dog", "3", "cat"], ["3", "cat", "dog"]),
        ([7, -1, 7], ["-1", "7"]),
        ([2.0, 10.0, -3.0], ["-3", "2", "10"]),
        ([True, False], ["False", "True"]),
        ([" a", "b\n", "a ", "b"], ["a", "b"]),
    ],
)
def test_numbers_come_in_their_order_and_other_text_is_sorted(values: list[object], names: list[str]) -> None:
    found, labels = name_classes(opened(train=values), "label")
    assert found == names
    assert [found[number] for number in labels["train"].tolist()] == [
        str(int(value)) if isinstance(value, float) else str(value).strip() for value in values
    ]


def test_the_order_of_classes_is_that_of_no_set() -> None:
    values = ["1", "01", "1.0", "nan", "NaN", "inf", "b"]
    orders = {tuple(sorted(several, key=_sort_key)) for several in permutations(values)}
    assert orders == {("01", "1", "1.0", "NaN", "b", "inf", "nan")}


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_row_without_a_class_is_an_error(value: object) -> None:
    with pytest.raises(DataError, match="split train: column label has no class in 1 rows, such as 2"):
        name_classes(opened(train=["a", "b", value]), "label")


@pytest.mark.parametrize("value", [[1], {"a": 1}, 0.5])
def test_values_that_are_no_classes_are_refused_also_beside_a_test_split(value: object) -> None:
    found = opened(train=[value] * 3, test=[value])
    assert without_unlabelled_test(found, "label", DatasetConfig(name="dataset", path="x")) == (found, "")
    with pytest.raises(DataError, match=r"split train: column label holds .*, allowed as classes: text"):
        name_classes(found, "label")


@pytest.mark.parametrize(
    ("train", "test", "kept"), [([0, 1], [-1, -1], 1), ([-1, 1], [-1, -1], 2), ([0, 1], [1, -1], 2)]
)
def test_minus_one_is_no_class_where_the_training_rows_lack_it(train: list[int], test: list[int], kept: int) -> None:
    found, note = without_unlabelled_test(
        opened(train=train, test=test), "label", DatasetConfig(name="dataset", path="x")
    )
    assert (len(found.parts), bool(note)) == (kept, kept == 1)
