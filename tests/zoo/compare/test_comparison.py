"""Stored results are used as long as they are about the model; others are measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sdk.catalog import bundled_models
from zoo.compare.comparison import compare_models
from zoo.compare.record import read_results, write_results
from zoo.utils.errors import CompareError, DataError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "results.json"
    found = compare_models(["normnet-digits", "logistic-digits"], measure=True, store=path, save=True)
    assert found.measured == ["normnet-digits", "logistic-digits"]
    return path


def test_a_measurement_is_stored_and_used_again(store: Path) -> None:
    found = compare_models(["logistic-digits", "normnet-digits"], store=store)
    assert not found.measured
    logistic, normnet = found.records
    assert (normnet.correct, normnet.total, normnet.edges) == (357, 360, 25_856)
    assert logistic.edges == logistic.multiply_adds == 640
    assert logistic.baseline
    assert logistic.test_hash == normnet.test_hash
    assert normnet.latency_ms.keys() == {"1", "64"}


def test_results_of_other_weights_are_not_taken_for_this_model_s(store: Path, tmp_path: Path) -> None:
    results = read_results(store)
    old = results.models["normnet-digits"]
    results.models["normnet-digits"] = type(old)(**{**old.__dict__, "model_hash": "other", "correct": 1})
    write_results(results, tmp_path / "old.json")
    found = compare_models(["normnet-digits"], store=tmp_path / "old.json")
    assert found.measured == ["normnet-digits"]
    assert found.records[0].correct == 357
    assert read_results(tmp_path / "old.json").models["normnet-digits"].correct == 1  # not asked to save


def test_a_data_set_selects_its_models_and_a_wrong_one_is_refused(store: Path) -> None:
    names = ["normnet-digits", "logistic-digits"]
    assert len(compare_models(names, data="digits", store=store).records) == 2
    with pytest.raises(CompareError, match=r"--data: found 'digit' \(did you mean digits\?\), allowed are a path"):
        compare_models(names, data="digit", store=store)


def test_the_user_s_own_data_are_measured_and_do_not_replace_stored_results(store: Path, tmp_path: Path) -> None:
    bunch = load_digits()
    for number in range(300):
        folder = tmp_path / "scans" / str(bunch.target[number])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((bunch.images[number] * 255 / 16).astype(np.uint8)).save(folder / f"{number}.png")
    before = store.read_bytes()
    found = compare_models(["normnet-digits", "snapshots-digits"], data=str(tmp_path / "scans"), store=store, save=True)
    assert {(record.data, record.total, record.accuracy_mean) for record in found.records} == {("scans", 30, None)}
    assert all(record.accuracy > 0.9 for record in found.records)
    assert store.read_bytes() == before


def test_data_of_other_classes_and_classic_learners_on_own_data_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text("a,b,class\n" + "1,2,x\n3,4,y\n" * 20)
    with pytest.raises((CompareError, DataError)) as info:
        compare_models(["nca-iris"], data=str(tmp_path / "flowers.csv"), store=store)
    assert "\n" not in str(info.value)
    with pytest.raises(CompareError, match="logistic-digits: a classic learner has no trained model"):
        compare_models(["logistic-digits"], data=str(tmp_path / "flowers.csv"), store=store)


def test_two_models_of_one_name_are_refused(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundled_models()["normnet-digits"], tmp_path / "copy")
    with pytest.raises(CompareError, match="found several models called normnet-digits"):
        compare_models(["normnet-digits", str(copy)], store=store)
