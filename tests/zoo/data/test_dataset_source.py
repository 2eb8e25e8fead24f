"""Data sets as files and folders: which are found, which are refused, and the roles of their splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from zoo.config.data import DatasetConfig
from zoo.data.dataset_source import Opened, locate, open_dataset
from zoo.utils.errors import DataError

ROWS = {"x": [1, 2, 3], "label": ["a", "b", "a"]}


def config(path: object, **keys: Any) -> DatasetConfig:
    return DatasetConfig.model_validate({"name": "dataset", "path": str(path), **keys})


def opened(path: Path, **keys: Any) -> Opened:
    given = config(path, **keys)
    return open_dataset(given, locate(given, path))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path / "d"


def write(folder: Path, *splits: str) -> Path:
    """Write the same three rows as each of the splits, which the card names."""
    for split in splits:
        datasets.Dataset.from_dict(ROWS).to_parquet(folder / f"{split}.parquet")
    files = "".join(f"  - {{split: {split}, path: {split}.parquet}}\n" for split in splits)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n")
    return folder


def test_a_path_that_is_nothing_here_and_no_id_of_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file or folder ./gone.csv; set it to a file, a folder, or"):
        locate(config("./gone.csv"), tmp_path)


def test_a_local_copy_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "user" / "rows").mkdir(parents=True)
    assert locate(config("user/rows"), tmp_path).path == tmp_path / "user" / "rows"
    with pytest.raises(DataError, match=r"data\.revision v2: found the local copy .*, whose revision is not known"):
        locate(config("user/rows", revision="v2"), tmp_path)


def test_the_copy_under_the_full_id_comes_before_that_under_the_name(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    assert locate(config("user/rows"), tmp_path).path == tmp_path / "rows"
    (tmp_path / "user" / "rows").mkdir(parents=True)
    assert locate(config("user/rows"), tmp_path).path == tmp_path / "user" / "rows"


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("rows.txt", {}, r"rows\.txt: found a \.txt file, allowed: \.parquet, \.csv, \.tsv, \.json, \.jsonl"),
        ("rows", {}, "rows: found a nameless file, allowed"),
        ("rows.json", {"config": "all"}, r"data\.config all: .*rows\.json is a file, which has no configurations"),
        ("rows.parquet", {}, r"rows\.parquet: cannot be read: \S"),
    ],
)
def test_files_that_are_not_read_are_refused(tmp_path: Path, name: str, keys: dict[str, Any], message: str) -> None:
    (tmp_path / name).write_text("1")
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path / name, **keys)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("d.py", r"found the loading script d\.py, which is never executed"),
        ("state.json", r"found a data set saved as Arrow files, allowed: \.parquet.*; write it with to_parquet"),
        ("dataset_dict.json", "found a data set saved as Arrow files"),
        ("rows.txt", r"found data in the format text, allowed: \.parquet"),
    ],
)
def test_folders_that_are_not_read_are_refused(folder: Path, name: str, message: str) -> None:
    (folder / name).write_text("{}")
    with pytest.raises(DataError, match=message):
        opened(folder)


def test_of_several_configurations_one_has_to_be_named(folder: Path) -> None:
    datasets.Dataset.from_dict(ROWS).to_parquet(folder / "a.parquet")
    datasets.Dataset.from_dict({**ROWS, "x": [7, 8, 9]}).to_parquet(folder / "b.parquet")
    configs = "- {config_name: one, data_files: a.parquet}\n- {config_name: two, data_files: b.parquet}\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    with pytest.raises(DataError, match=r"found the configurations one, two; set data\.config to one of them"):
        opened(folder)
    with pytest.raises(DataError, match=r"data\.config: found twoo \(did you mean two\?\), allowed: one, two"):
        opened(folder, config="twoo")
    assert opened(folder, config="two").parts["train"]["x"][:] == [7, 8, 9]


@pytest.mark.parametrize(
    ("splits", "roles", "unused"),
    [
        (("train", "validation", "test"), {"train": "train", "validation": "validation", "test": "test"}, ()),
        (("training", "dev", "testing"), {"train": "training", "validation": "dev", "test": "testing"}, ()),
        (("train", "val"), {"train": "train", "validation": "val"}, ()),
        (("whole",), {"train": "whole"}, ()),
        (("whole", "test"), {}, None),
        (("train", "unsupervised"), {"train": "train"}, ("unsupervised",)),
        (("test",), {}, None),
    ],
)
def test_splits_have_roles_by_their_usual_names(
    folder: Path, splits: tuple[str, ...], roles: dict[str, str], unused: tuple[str, ...] | None
) -> None:
    write(folder, *splits)
    if unused is None:
        with pytest.raises(DataError, match=rf"found the splits {', '.join(splits)}, none to train on; set"):
            opened(folder)
    else:
        found = opened(folder)
        assert (found.names, found.unused) == (roles, unused)


def test_the_config_gives_splits_other_roles(folder: Path) -> None:
    write(folder, "train", "test", "extra")
    found = opened(folder, splits={"train": "extra", "validation": "train"})
    assert found.names == {"train": "extra", "validation": "train", "test": "test"}
    assert found.unused == ()
    with pytest.raises(DataError, match=r"data\.splits\.test: found tests \(did you mean test\?\), allowed:"):
        opened(folder, splits={"test": "tests"})
    with pytest.raises(DataError, match=r"data\.splits: found train, train, allowed one role for each split"):
        opened(folder, splits={"train": "train", "test": "train"})


def test_a_data_file_outside_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    write(folder, "train")
    datasets.Dataset.from_dict(ROWS).to_parquet(tmp_path / "other.parquet")
    (folder / "README.md").write_text("---\nconfigs: [{config_name: default, data_files: ../other.parquet}]\n---\n")
    with pytest.raises(DataError, match="allowed are files inside the data set"):
        opened(folder)


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    write(folder, "train")
    assert opened(folder).parts["train"]["x"][:] == [1, 2, 3]
    datasets.Dataset.from_dict({**ROWS, "x": [4, 5, 6]}).to_parquet(folder / "train.parquet")
    assert opened(folder).parts["train"]["x"][:] == [4, 5, 6]
