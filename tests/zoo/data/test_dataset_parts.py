from __future__ import annotations

from itertools import permutations

import datasets
import pytest

from zoo.config.data import DatasetConfig
from zoo.data.dataset_parts import _sort_key, name_classes, split_samples, without_unlabelled_test
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


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"train": ["a", "b"], "test": ["a", "c", "d"]}, "split test has classes that train lacks: c, d"),
        ({"train": ["a", "a"]}, "found one class in label, a, expected at least two"),
        ({"train": ["a", "b"], "test": []}, "split test has no rows"),
    ],
)
def test_classes_that_no_model_could_learn_are_refused(found: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        name_classes(opened(**found), "label")


def test_a_split_without_the_target_is_refused() -> None:
    parts = {"train": datasets.Dataset.from_dict({"label": ["a", "b"]}), "test": datasets.Dataset.from_dict({"x": [1]})}
    with pytest.raises(DataError, match="here: split test has no column label"):
        name_classes(Opened(parts, {"train": "train", "test": "test"}, "here"), "label")


def sizes(found: Opened, **keys: object) -> dict[str, tuple[str, int]]:
    """Return the source and the number of samples of each part."""
    names, labels = name_classes(found, "label")
    config = DatasetConfig.model_validate({"name": "dataset", "path": "x", **keys})
    parts = split_samples(found, labels, names, config)
    used = [int(index) for part in parts.values() if part.name == "train" for index in part.indices]
    assert sorted(used) == list(range(len(labels["train"])))
    return {role: (part.name, len(part.indices)) for role, part in parts.items()}


def test_parts_that_the_data_set_lacks_are_held_out_of_training() -> None:
    rows: list[object] = ["a", "b"] * 20
    assert sizes(opened(train=rows)) == {"train": ("train", 32), "test": ("train", 4), "validation": ("train", 4)}
    assert sizes(opened(train=rows), validation=6, test=0.25) == {
        "train": ("train", 24), "test": ("train", 10), "validation": ("train", 6)
    }  # fmt: skip
    assert sizes(opened(train=rows, test=rows[:4])) == {
        "train": ("train", 36), "test": ("test", 4), "validation": ("train", 4)
    }  # fmt: skip
    assert sizes(opened(train=rows, validation=rows[:2])) == {
        "train": ("train", 36), "test": ("train", 4), "validation": ("validation", 2)
    }  # fmt: skip


def test_a_size_for_a_test_split_that_exists_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.test 2: the data set has the test split test, .*; leave the key out"):
        sizes(opened(train=["a", "b"] * 5, test=["a"]), test=2)
