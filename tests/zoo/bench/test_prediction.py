from __future__ import annotations

from pathlib import Path

import pytest

import sdk
from tests.support.bench import read, run
from tests.support.pretended_gpu import pretended_gpu
from zoo.bench.contenders import EAGER


@pytest.mark.usefixtures("brisk")
def test_bench_predict_measures_every_backend_the_baseline_and_the_cold_start(tmp_path: Path) -> None:
    result = run("predict", "gridnet-digits", "--quick", "--batch", "1,64", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    backends = list(sdk.list_models(family="gridnet")[0].backends)
    rows, cold = report["results"]["results"], report["results"]["cold_start"]
    assert [(row["contender"], row["batch"]) for row in rows] == [
        (name, batch) for batch in (1, 64) for name in (*backends, EAGER)
    ]
    for row in rows:
        assert 0 < row["min_seconds"] <= row["p50_seconds"] <= row["p90_seconds"] <= row["p99_seconds"]
        assert row["p99_seconds"] <= row["max_seconds"]
        assert row["samples_per_second"] > 0
        assert row["calls"] >= 10
        assert (row["peak_bytes"] is None) == (row["contender"] == EAGER)
    assert [start["backend"] for start in cold] == backends
    parts = ("import_seconds", "load_seconds", "first_predict_seconds")
    for start in cold:
        assert sum(start[part] for part in parts) == pytest.approx(start["total_seconds"])
        assert start["peak_bytes"] > 20e6
    assert "Cold start" in result.output
    assert "inverted" not in result.output + result.stderr, "random images that look inverted are no news"


@pytest.mark.usefixtures("brisk")
def test_on_a_gpu_bench_predict_adds_what_runs_there_and_leaves_cold_starts_out(tmp_path: Path) -> None:
    with pretended_gpu():
        result = run(
            "predict", "gridnet-digits", "--seconds", "0.01", "--batch", "2", "--device", "cuda",
            "--out", str(tmp_path / "out"),
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    assert [row["contender"] for row in report["results"]["results"]][-2:] == ["torch on cuda", f"{EAGER} on cuda"]
    assert {row["calls"] for row in report["results"]["results"]} == {10}
    assert report["settings"]["seconds"] == 0.01
    assert "cold_start" not in report["results"]
    assert "Cold start" not in result.output
