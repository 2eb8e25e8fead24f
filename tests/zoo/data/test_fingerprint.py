from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig, ImageFolderConfig
from zoo.data import hashing, load_data
from zoo.data.fingerprint import PARTS, describe_difference, fingerprint
from zoo.data.split import ArraySplit, Data, Split
from zoo.utils.errors import DataError

SPEC = InputSpec(kind="table", shape=(2,), mean=(0.0, 0.0), std=(1.0, 1.0))


def table(count: int, offset: float = 0) -> ArraySplit:
    inputs = torch.arange(2.0 * count).view(count, 2) + offset
    return ArraySplit(inputs, torch.arange(count) % 2, SPEC, AugmentConfig(), 0)


def tables(**changes: Any) -> Data:
    base = Data(table(10), table(4, 0.5), table(6, 0.25), input_spec=SPEC, labels=["no", "yes"])
    return replace(base, **changes)


def pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 10, form: str = "png") -> Path:
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name / f"{i}.{form}")
    return folder


def load_pictures(folder: Path, **changes: Any) -> Data:
    values = {"name": "image_folder", "image_size": 8, "validation": 4, **changes}
    return load_data(ImageFolderConfig.model_validate(values), folder)


def difference(old: Data, new: Data) -> list[str]:
    return describe_difference(fingerprint(old), fingerprint(new))


def test_a_fingerprint_survives_json() -> None:
    found = fingerprint(tables())
    assert json.loads(json.dumps(found)) == found
    assert found["labels"] == ["no", "yes"]
    assert [found[part]["count"] for part in PARTS] == [10, 4, 6]
    assert found["test"]["classes"] == [3, 3]


def test_the_same_data_has_the_same_fingerprint() -> None:
    assert fingerprint(tables()) == fingerprint(tables())
    assert difference(tables(), tables()) == []


@pytest.mark.parametrize("part", PARTS)
def test_one_changed_value_is_noticed_in_every_part(part: str) -> None:
    old, new = tables(), tables()
    getattr(new, part).inputs[3, 1] += 1e-3
    assert difference(old, new) == [f"{part} has samples with other content, or in another order"]


def test_a_changed_label_and_another_order_are_noticed() -> None:
    new = tables()
    new.train.labels[:2] = new.train.labels[:2].flip(0)
    assert difference(tables(), new) == ["train has samples with other content, or in another order"]
    new = tables()
    assert isinstance(new.test, ArraySplit)
    new.test.inputs = new.test.inputs.flip(0)
    new.test.labels = new.test.labels.flip(0)
    assert difference(tables(), new) == ["test has samples with other content, or in another order"]


def test_values_of_another_type_are_other_content() -> None:
    new = tables()
    assert isinstance(new.test, ArraySplit)
    new.test.inputs = new.test.inputs.double()
    assert len(difference(tables(), new)) == 1


def test_counts_are_named() -> None:
    assert difference(tables(), tables(test=table(8))) == ["test had 6 samples and has 8"]
    new = tables()
    new.train.labels[0] = 1
    assert difference(tables(), new) == [
        "train has other numbers of samples per class: no had 5 and has 4, yes had 5 and has 6"
    ]


def test_renamed_and_exchanged_classes_are_named() -> None:
    assert difference(tables(), tables(labels=["no", "maybe"])) == ["the classes differ: yes gone, maybe new"]
    assert difference(tables(), tables(labels=["yes", "no"])) == [
        "the classes have another order: it was no, yes and is yes, no"
    ]


def test_only_the_asked_parts_are_compared() -> None:
    old, new = fingerprint(tables()), fingerprint(tables(train=table(12)))
    assert describe_difference(old, new, parts=("test",)) == []


def test_fingerprints_of_another_format_are_compared_by_counts_alone() -> None:
    new = tables()
    new.train.inputs += 1  # type: ignore[attr-defined]
    old = {**fingerprint(tables()), "format": 0}
    assert describe_difference(old, fingerprint(new)) == []
    assert describe_difference(old, fingerprint(tables(train=table(12)))) == ["train had 10 samples and has 12"]


def test_a_moved_folder_has_the_same_fingerprint(tmp_path: Path) -> None:
    old = fingerprint(load_pictures(pictures(tmp_path / "a")))
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert fingerprint(load_pictures(tmp_path / "b", workers=2, augment={"flip": True})) == old


def test_a_renamed_class_folder_is_named(tmp_path: Path) -> None:
    old = fingerprint(load_pictures(pictures(tmp_path)))
    os.rename(tmp_path / "cat", tmp_path / "zebra")
    found = describe_difference(old, fingerprint(load_pictures(tmp_path)))
    assert found[0] == "the classes differ: cat gone, zebra new"


def test_exchanged_class_folders_are_noticed(tmp_path: Path) -> None:
    old = fingerprint(load_pictures(pictures(tmp_path)))
    for source, target in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        os.rename(tmp_path / source, tmp_path / target)
    assert describe_difference(old, fingerprint(load_pictures(tmp_path)))


def test_another_seed_of_the_split_is_noticed(tmp_path: Path) -> None:
    old, new = (load_pictures(pictures(tmp_path) if seed == 0 else tmp_path, seed=seed) for seed in (0, 1))
    assert "train consists of other files, or has them in another order" in difference(old, new)


@pytest.mark.parametrize("limit", [hashing.READ_LIMIT, 0])
def test_one_changed_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(hashing, "READ_LIMIT", limit)
    old = fingerprint(load_pictures(pictures(tmp_path, form="bmp")))
    path = tmp_path / "dog" / "3.bmp"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # the size stays
    path.write_bytes(content)
    found = describe_difference(old, fingerprint(load_pictures(tmp_path)))
    assert len(found) == 1
    assert found[0].endswith("has samples with other content, or in another order")


def test_a_large_collection_is_sampled_evenly_and_compared_by_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for i in range(10):
        paths.append(tmp_path / str(i))
        paths[-1].write_bytes(bytes(100))
    monkeypatch.setattr(hashing, "READ_LIMIT", 999)
    monkeypatch.setattr(hashing, "SAMPLED", 5)
    labels = torch.zeros(10)
    first = hashing.hash_files(paths, labels)
    paths[1].write_bytes(b"\1" * 100)
    assert hashing.hash_files(paths, labels) == first  # between two samples: not read
    paths[2].write_bytes(b"\1" * 100)
    second = hashing.hash_files(paths, labels)
    assert second != first
    paths[3].write_bytes(bytes(101))
    assert hashing.hash_files(paths, labels) != second


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    data = load_pictures(pictures(tmp_path))
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(DataError, match=r"cat.*cannot be read"):
        fingerprint(data)


def test_splits_without_a_hash_of_their_own_are_read_in_batches() -> None:
    class Lazy(Split):
        def __getitem__(self, batch: Any) -> Any:
            return torch.stack([batch.indices.float(), batch.indices.float() + self.offset], -1), self.labels

        offset = 0.0

    labels = torch.arange(3000) % 2
    first, second = Lazy(SPEC, labels, 0), Lazy(SPEC, labels, 0)
    assert first.hashes() == second.hashes()
    third = Lazy(SPEC, labels, 0)
    third.offset = 1.0
    assert third.hashes() != first.hashes()
