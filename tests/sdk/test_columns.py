from __future__ import annotations

import json
from typing import Any

import pytest

from sdk import load
from sdk.artifact import ArtifactConfig
from sdk.columns import Columns
from sdk.errors import ArtifactError, InputError
from tests.support.tables import COLUMNS, FILLED, write_table_model

NUMBER = {"name": "age", "kind": "number"}
CATEGORY = {"name": "colour", "kind": "category", "categories": ["blue", "red"]}


@pytest.mark.parametrize("columns", [COLUMNS, FILLED, Columns.of_numbers(["a", "b"])])
def test_columns_survive_the_way_through_json(columns: Columns) -> None:
    assert Columns.from_json(json.loads(json.dumps(columns.to_json())), columns.width) == columns


def test_features_are_named_by_column_and_category() -> None:
    assert COLUMNS.features == (
        "age", "colour=blue", "colour=green", "colour=red", "member=false", "member=true",
    )  # fmt: skip
    assert COLUMNS.width == 6


def test_every_column_has_an_example() -> None:
    assert COLUMNS.example() == {"age": 36.0, "colour": "red", "member": "false"}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({}, "columns must be a list"),
        ([1], r"columns\[0\] must be an object"),
        ([{"kind": "number"}], r"columns\[0\] name must be a string"),
        ([{"name": "a"}], "kind: found None, allowed 'number' or 'category'"),
        ([{**NUMBER, "kind": "date"}], "kind: found 'date'"),
        ([{**NUMBER, "scale": 2}], "unknown 'scale'"),
        ([{**NUMBER, "name": ""}], "1 to 1000 characters"),
        ([{**NUMBER, "name": " a"}], "without spaces around"),
        ([{**NUMBER, "name": "a" * 1001}], "1 to 1000 characters"),
        ([{**NUMBER, "name": "\ud800"}], "Unicode text"),
        ([{**NUMBER, "fill": "3"}], "fill must be a number"),
        ([{**NUMBER, "fill": True}], "fill must be a number"),
        ([{**NUMBER, "fill": 1e39}], "numbers of float32"),
        ([{**NUMBER, "example": 10**400}], "finite number"),
        ([NUMBER, NUMBER], "found 'age' more than once"),
        ([NUMBER], "columns have 1 features, and the input has 2"),
        ([{**CATEGORY, "categories": ["a"]}], "two or more, each once"),
        ([{**CATEGORY, "categories": ["a", "a"]}], "two or more, each once"),
        ([{**CATEGORY, "categories": ["a", 1]}], "must be a string"),
        ([{**CATEGORY, "categories": ["a", " b"]}], "without spaces around"),
        ([{**CATEGORY, "fill": "pink"}], "fill: found 'pink', allowed one of its categories"),
        ([{"name": "a", "kind": "category"}], "lacks 'categories'"),
    ],
)
def test_entries_of_a_stranger_are_checked(entries: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Columns.from_json(entries, 2)


def test_the_artifact_stores_its_columns_where_old_readers_do_not_look(tmp_path: Any) -> None:
    config = json.loads((write_table_model(tmp_path / "table") / "config.json").read_bytes())
    assert set(config["input"]) == {"kind", "shape", "mean", "std", "resize"}
    assert config["provenance"]["data"]["columns"] == COLUMNS.to_json()
    assert ArtifactConfig.from_json(config).input.columns == COLUMNS
    assert ArtifactConfig.from_json(config).to_json() == config


@pytest.mark.parametrize("data", [None, {}, {"columns": None}])
def test_a_table_without_columns_is_read_as_before(tmp_path: Any, data: Any) -> None:
    config = json.loads((write_table_model(tmp_path / "table") / "config.json").read_bytes())
    config["provenance"]["data"] = data
    assert ArtifactConfig.from_json(config).input.columns is None


@pytest.mark.parametrize("data", ["words of its author", [1]])
def test_facts_of_the_data_that_are_no_object_are_refused(tmp_path: Any, data: Any) -> None:
    config = json.loads((write_table_model(tmp_path / "table") / "config.json").read_bytes())
    config["provenance"]["data"] = data
    with pytest.raises(InputError, match="provenance data must be an object, found"):
        ArtifactConfig.from_json(config)


def test_columns_that_do_not_fit_make_the_artifact_unreadable(tmp_path: Any) -> None:
    folder = write_table_model(tmp_path / "table")
    config = json.loads((folder / "config.json").read_bytes())
    config["provenance"]["data"]["columns"].pop()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="columns have 4 features, and the input has 6"):
        load(folder)
