from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.support.bench import ISAS, read, run
from zoo.bench import contenders, kernels
from zoo.bench.contenders import COMPILED, EAGER, REFERENCE, ours
from zoo.bench.kernels import bench_kernels
from zoo.kernels import runtime
from zoo.utils.stats import Spread


@pytest.mark.usefixtures("brisk")
def test_bench_kernels_reports_every_contender_on_every_case(tmp_path: Path) -> None:
    result = run("kernels", "--quick", "--sweep", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    names = [*map(ours, ISAS), EAGER, REFERENCE]
    rows = report["results"]["results"]
    assert [row["contender"] for row in rows] == names * 4
    assert len({row["case"] for row in rows}) == 4
    assert {row["contender"] for row in report["results"]["sweep"]} == {ours(ISAS[0]), EAGER}
    for row in report["results"]["sweep"]:
        assert row["of_first"] == pytest.approx(row["gflops"] / row["first_gflops"])
    assert "--quick" in report["facts"]["skipped"][COMPILED]
    for row in (*rows, *report["results"]["sweep"]):
        assert row["gflops"] == pytest.approx(row["flops"] / row["seconds"] / 1e9)
        assert 0 < row["gflops_min"] <= row["gflops"] <= row["gflops_max"]
        assert row["percent_of_roofline"] >= row["percent_of_peak"] > 0
    assert all(row["times_eager_shifts"] == 1 for row in rows if row["contender"] == EAGER)
    assert all(row["times_reference"] == 1 for row in rows if row["contender"] == REFERENCE)
    for text in ("multiply-adds from registers", "Step, forward + backward", "% of roofline", "of first", "skipped"):
        assert text in result.output


@pytest.mark.usefixtures("brisk")
def test_the_roofline_is_the_lower_of_peak_and_memory() -> None:
    report = bench_kernels(quick=True, isas=["baseline"])
    peak = max(spread["median"] for spread in report.facts["peak_gflops"].values())
    bandwidth = report.facts["bandwidth_gbytes"]["median"]
    for row in report.results["results"]:
        assert row["roofline_gflops"] == pytest.approx(min(peak, bandwidth * row["flops"] / row["bytes"]))
        assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / peak)


@pytest.mark.usefixtures("brisk")
def test_threads_and_instruction_set_are_restored() -> None:
    before = runtime.compiled().current_isa()
    report = bench_kernels(quick=True, isas=["baseline"], threads=2, grid=(4, 4, 2), batch=2, outer=2)
    assert report.machine["threads"] == 2
    assert report.machine["instruction_set"] == "baseline"
    assert torch.get_num_threads() == 1
    assert runtime.compiled().current_isa() == before


def test_torch_compile_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Meter:
        device = "cpu"

        def __init__(self, quick: bool) -> None:
            once = Spread(1.0, 1.0, 1.0, 1)
            self.limits = SimpleNamespace(peaks=lambda: {"any": once}, bandwidth=lambda: once)

    asked: list[Sequence[str]] = []
    monkeypatch.setattr(kernels, "_CpuMeter", Meter)
    monkeypatch.setattr(kernels, "_measure", lambda cases, names, meter, say: (asked.append(names), ([], {}))[1])
    reports = [bench_kernels(compiled=compiled) for compiled in (True, False)]
    assert [COMPILED in names for names in asked] == [True, False]
    assert "--no-compile skips" in reports[1].facts["skipped"][COMPILED]


@pytest.mark.usefixtures("brisk")
def test_stdout_holds_only_the_json(tmp_path: Path) -> None:
    arguments = ["--quick", "--isa", "baseline", "--grid", "4,4,4", "--batch", "2", "--outer", "3"]
    result = run("kernels", *arguments, "--json", "--out", str(tmp_path / "out"))
    printed = json.loads(result.stdout)
    assert printed == read(tmp_path / "out")
    assert printed["settings"] == {"quick": True, "grid": [4, 4, 4], "batch": 2, "outer": 3}
    assert "measuring" in result.stderr


def test_a_disagreement_ends_the_benchmark_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "TOLERANCE", -1.0)
    result = run("kernels", "--quick", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "timing it would be meaningless" in result.stderr
    assert list(tmp_path.iterdir()) == []
