"""The whole suite on one small model, and its row."""

from __future__ import annotations

import pytest

from zoo.compare.robustness import retraining, suite
from zoo.compare.robustness.settings import BITS, FRACTIONS, REPAIRED, SEVERITIES, SHARES
from zoo.compare.robustness.summary import rows


def test_the_suite_measures_everything_that_an_image_model_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "SEEDS", (0,))
    monkeypatch.setattr(retraining, "STEPS", 30)
    name, found = suite.run_suite("snapshots-digits")
    assert name == "snapshots-digits"
    assert found["accuracy"] == pytest.approx(347 / 360, abs=1e-3)
    assert all(len(values) == len(SEVERITIES) for values in found["corruption"].values())
    assert [len(found[key]) for key in ("pixels", "damage", "pruning", "quantised", "repaired")] == [
        len(values) for values in (SHARES, FRACTIONS, FRACTIONS, BITS, REPAIRED)
    ]
    assert found["pixels"][0] > found["pixels"][-1]
    assert found["damage"][0] > found["damage"][-1]
    assert found["repaired"][-1] > found["damage"][-1]
    assert found["quantised"][0] == pytest.approx(found["accuracy"], abs=0.01)
    assert found["early"][-1]["accuracy"] > found["early"][0]["accuracy"]
    assert found["forgetting"]["a_before"] > 0.9
    assert "transfer" not in found
    [row] = rows({name: found})
    assert row["clean"] == "96.4%"
    assert row["few-shot 100 (new)"] == "-"


def test_a_table_s_model_has_no_corrupted_images_and_a_grown_one_no_further_training() -> None:
    _, found = suite.run_suite("nca-iris")
    assert not {"corruption", "pixels", "forgetting", "repaired"} & found.keys()
    assert found["damage"][-1] < found["accuracy"]
    assert rows({"nca-iris": found})[0]["corrupted"] == "-"
