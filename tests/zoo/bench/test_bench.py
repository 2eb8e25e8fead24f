"""`zoo bench`: what it counts, that contenders agree, what it writes. Never how fast anything is."""

from __future__ import annotations

import csv
import io
import json
import math
import runpy
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import sdk
from tests.support.paths import DOCS
from zoo.bench import contenders as bench_contenders
from zoo.bench import prediction as bench_predict
from zoo.bench.cases import Case, default_block, standard_cases, sweep_cases
from zoo.bench.contenders import COMPILED, EAGER, REFERENCE, check_same, choose_isas, make_calls, ours
from zoo.bench.kernels import bench_kernels
from zoo.bench.limits import Limits
from zoo.bench.machine import Watch, machine_facts
from zoo.bench.report import Report, Table, check_folder, write_docs
from zoo.cli import cli
from zoo.kernels import runtime as backend
from zoo.utils import timing
from zoo.utils.errors import BenchError
from zoo.utils.stats import Spread
from zoo.utils.timing import interleave, settle

SMALL = Case((6, 4, 8), batch=3, block=2)
ISAS = backend.compiled().usable_isas()
VARIANTS = {
    "step": SMALL,
    "blocks": replace(SMALL, inner=3),
    "normalised": replace(SMALL, inner=2, normalize=True),
    "gated": replace(SMALL, gated=True),
    "gated blocks": replace(SMALL, inner=2, gated=True),
    "evolution": replace(SMALL, outer=3),
    "gated evolution": replace(SMALL, outer=3, inner=2, gated=True),
    "normalised evolution": replace(SMALL, outer=2, normalize=True),
}


@pytest.fixture(autouse=True)
def _one_thread_and_the_instruction_set_as_before() -> Iterator[None]:
    threads, isa = torch.get_num_threads(), backend.compiled().current_isa()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    backend.compiled().set_isa(isa)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few samples as there may be, with hardly a rest between: for tests of what is reported."""
    measure = bench_predict._measure
    monkeypatch.setattr(timing, "_REST", 1e-4)
    monkeypatch.setattr(timing, "_SHORT", 1e-4)
    monkeypatch.setattr(bench_predict, "_measure", lambda contenders, inputs, budget: measure(contenders, inputs, 0))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", *arguments])


def read(folder: Path) -> dict[str, Any]:
    """A written report, all three files of which must be valid."""
    report: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    for name, rows in report["results"].items():
        file = folder / ("bench.csv" if name == "results" else f"bench-{name}.csv")
        with file.open(newline="") as stream:
            read_back = list(csv.DictReader(stream))
        assert [row.keys() for row in read_back] == [row.keys() for row in rows]
    with Image.open(folder / "bench.png") as picture:
        picture.verify()
        assert picture.format == "PNG"
    return report


def numbers(rows: list[dict[str, Any]], *keys: str) -> list[float]:
    return [row[key] for row in rows for key in keys]


# What is counted


def test_a_step_is_a_multiply_and_an_add_for_each_of_27_weights() -> None:
    case = Case((32, 32, 32), batch=64, block=8)
    assert case.flops() == 2 * 27 * 32768 * 64
    assert replace(case, training=True).flops() == 3 * case.flops()
    assert replace(case, gated=True).flops() == 2 * case.flops()
    assert replace(case, inner=8, outer=12).flops() == 96 * case.flops()
    assert replace(case, normalize=True).flops() == case.flops()


def test_the_bytes_are_those_of_the_tensors_that_must_cross() -> None:
    case = Case((4, 4, 4), batch=10, block=2)
    tensors = sum(tensor.nbytes for tensor in case.tensors())
    grid = 4 * 64 * 10
    assert case.bytes() == tensors + grid  # and the result
    parameters = tensors - grid
    assert replace(case, training=True).bytes() == 5 * grid + 3 * parameters
    gated = replace(case, gated=True, outer=5)
    parameters = sum(tensor.nbytes for tensor in gated.tensors()) - grid
    assert gated.bytes() == 2 * grid + parameters
    assert replace(gated, training=True).bytes() == (5 + 2 * 4) * grid + 3 * parameters


def test_the_default_block_divides_the_grid() -> None:
    assert [default_block(grid) for grid in ((32, 32, 8), (6, 4, 8), (9, 6, 3), (5, 7, 1))] == [8, 2, 3, 1]


@pytest.mark.parametrize("quick", [False, True])
def test_the_sweep_covers_shapes_batches_and_variants(quick: bool) -> None:
    cases = sweep_cases(quick)
    assert len(cases) == len({(case.name, case.setting) for case in cases})
    assert {case.training for case in cases} == {True, False}
    assert any(case.gated for case in cases)
    assert any(case.normalize for case in cases)
    assert any(case.inner == 8 and case.block == 8 for case in cases)
    assert 1 in {case.batch for case in cases}
    if not quick:
        assert {(32, 32, 32), (32, 32, 8), (16, 16, 16), (64, 64, 64)} == {case.grid for case in cases}
        assert max(case.batch for case in cases) == 256


# Who is measured


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_contender_computes_the_same(name: str, training: bool) -> None:
    names = [*map(ours, ISAS), EAGER, REFERENCE]
    calls, skipped = make_calls(replace(VARIANTS[name], training=training), names)
    assert list(calls) == names
    assert not skipped


@pytest.mark.slow
def test_compiled_shifts_compute_the_same() -> None:
    calls, skipped = make_calls(replace(SMALL, outer=2, training=True), [COMPILED, EAGER])
    assert COMPILED in calls or skipped[COMPILED].startswith("torch.compile failed: ")


def test_what_cannot_be_compiled_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Any, **options: Any) -> Any:
        def call(*args: Any) -> Any:
            raise RuntimeError("no working C++ compiler\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    calls, skipped = make_calls(SMALL, [COMPILED, EAGER])
    assert list(calls) == [EAGER]
    assert skipped == {COMPILED: "torch.compile failed: no working C++ compiler"}


@pytest.mark.parametrize("wrong", [1.01, math.nan])
@pytest.mark.parametrize("index", [0, 3])
def test_a_contender_that_disagrees_is_an_error(wrong: float, index: int) -> None:
    case = replace(SMALL, training=True)
    calls, _ = make_calls(case, [EAGER, REFERENCE])
    right = calls[EAGER]

    def cheat() -> list[torch.Tensor]:
        values = right()
        values[index] = values[index] * wrong
        return values

    what = {0: "the result", 3: "the gradient of argument 2"}[index]
    with pytest.raises(BenchError, match=rf"{what} of eager shifts is off by .* from that of reference"):
        check_same(case, {**calls, EAGER: cheat})


def test_unusable_instruction_sets_and_a_forced_reference_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_isas([]) == ISAS
    assert choose_isas(["baseline"]) == ["baseline"]
    with pytest.raises(BenchError, match=r"'sse9' cannot be used here; usable: .*baseline"):
        choose_isas(["sse9"])
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    with pytest.raises(BenchError, match="ZOO_KERNELS=reference is set"):
        choose_isas([])


# How it is timed


def test_contenders_are_called_in_turn_after_a_call_that_is_not_timed() -> None:
    order: list[str] = []
    busy = torch.rand(400, 400)

    def call(name: str) -> None:
        order.append(name)
        for _ in range(5):
            busy @ busy

    spreads = interleave({name: partial(call, name) for name in "AB"}, rounds=4, budget=100)
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns == list("ABABABABAB")
    assert {spread.samples for spread in spreads.values()} == {4}
    assert all(0 < spread.low <= spread.median <= spread.high for spread in spreads.values())


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 1), (0.1, 1), (0.5, 0)])
def test_a_short_call_is_made_once_untimed_after_a_rest(seconds: float, calls: int) -> None:
    made: list[float] = []
    started = time.perf_counter()
    settle(lambda: made.append(time.perf_counter() - started), seconds)
    assert len(made) == calls
    assert all(after >= 0.05 for after in made)


def test_a_contender_out_of_budget_keeps_three_samples() -> None:
    spreads = interleave({"slow": lambda: torch.rand(100_000).sort()}, rounds=9, budget=0)
    assert spreads["slow"].samples == 3


def test_the_limits_are_measured_and_leave_the_instruction_set_alone() -> None:
    before = backend.compiled().current_isa()
    limits = Limits(ISAS, quick=True)
    for _ in range(3):
        limits.sample()
    assert backend.compiled().current_isa() == before
    assert list(limits.peaks()) == ISAS
    for spread in (*limits.peaks().values(), limits.bandwidth()):
        assert spread.samples == 3
        assert 0 < spread.low <= spread.median <= spread.high


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_limits_do_the_work_they_count(isa: str, threads: int) -> None:
    kernels = backend.compiled()
    kernels.set_isa(isa)
    a, b, out = torch.rand(1001), torch.rand(1001), torch.empty(1002)
    out[-1] = 7
    kernels.triad(out.data_ptr(), a.data_ptr(), b.data_ptr(), 1001, threads)
    torch.testing.assert_close(out[:-1], a + 3 * b)
    assert out[-1] == 7
    lanes = {"baseline": 4, "avx2": 8, "avx512": 16}[isa]
    assert kernels.multiply_adds(10, threads) == 2 * 12 * lanes * 10 * threads


# zoo bench kernels


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
def test_the_roofline_is_the_smaller_of_peak_and_memory() -> None:
    report = bench_kernels(quick=True, isas=["baseline"])
    peak = max(spread["median"] for spread in report.facts["peak_gflops"].values())
    bandwidth = report.facts["bandwidth_gbytes"]["median"]
    for row in report.results["results"]:
        assert row["roofline_gflops"] == pytest.approx(min(peak, bandwidth * row["flops"] / row["bytes"]))
        assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / peak)


@pytest.mark.usefixtures("brisk")
def test_threads_and_instruction_set_are_as_before_afterwards() -> None:
    before = backend.compiled().current_isa()
    report = bench_kernels(quick=True, isas=["baseline"], threads=2, grid=(4, 4, 2), batch=2, outer=2)
    assert report.machine["threads"] == 2
    assert report.machine["instruction_set"] == "baseline"
    assert torch.get_num_threads() == 1
    assert backend.compiled().current_isa() == before


@pytest.mark.usefixtures("brisk")
def test_json_is_all_that_stdout_holds(tmp_path: Path) -> None:
    arguments = ["--quick", "--isa", "baseline", "--grid", "4,4,4", "--batch", "2", "--outer", "3"]
    result = run("kernels", *arguments, "--json", "--out", str(tmp_path / "out"))
    printed = json.loads(result.stdout)
    assert printed == read(tmp_path / "out")
    assert printed["settings"] == {"quick": True, "grid": [4, 4, 4], "batch": 2, "outer": 3}
    assert "measuring" in result.stderr


def test_a_contender_that_disagrees_ends_the_benchmark_with_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_contenders, "TOLERANCE", -1.0)
    result = run("kernels", "--quick", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "timing it would mean nothing" in result.stderr
    assert list(tmp_path.iterdir()) == []


# What is asked for wrongly


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", "--isa", "sse9"], "instruction set 'sse9' cannot be used here; usable: "),
        (["kernels", "--grid", "8,8"], "'8,8' should be three sizes M,N,K"),
        (["kernels", "--grid", "8,8,0"], "'8,8,0' should be positive whole numbers with commas between"),
        (["kernels", "--threads", "0"], "0 is not in the range"),
        (["train", "gridnet-mnits"], "unknown recipe 'gridnet-mnits' (did you mean gridnet-mnist"),
        (["train", "gridnet-digits", "-o", "train.lr=1"], "train.lr: unknown key"),
        (["predict", "no-such-model"], "no model named 'no-such-model'; bundled models: "),
        (["predict", "gridnet-digits", "--batch", "1,x"], "'1,x' should be positive whole numbers"),
    ],
)
def test_wrong_requests_get_a_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code != 0
    assert message in result.stderr
    assert "bug" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bench.json").touch()
    check_folder(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BenchError, match=r"holds other files \(thesis.txt\)"):
        check_folder(tmp_path)
    result = run("kernels", "--quick", "--out", str(tmp_path))
    assert "holds other files" in result.stderr
    result = run("kernels", "--quick", "--out", str(tmp_path / "thesis.txt" / "bench"))
    assert f"error: cannot write {tmp_path}/thesis.txt/bench: Not a directory; give --out a new folder" in result.stderr


# Documents


def test_work_of_other_processes_is_noticed() -> None:
    watch = Watch()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])  # not waited for, hence not ours
    time.sleep(1)
    others = watch.others()
    busy.kill()
    busy.wait()
    assert others is None or others > 0.02


def report_of(kind: str, subject: str) -> Report:
    machine = {**machine_facts(), "other_processes": 1.5}
    return Report(kind, subject, machine, {}, {}, {"results": [{"a": 1}]})


def test_tables_replace_only_what_is_in_their_block(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    block = "<!-- begin: bench train x -->{}<!-- end: bench train x -->"
    document.write_text("before\n" + block.format("\nold\n") + "\nafter\n")
    report = report_of("train", "x")
    for value in ("1", "2"):
        write_docs(document, report, [Table("Title", [{"column": value, "other": "a|b"}])])
        text = document.read_text()
        assert text.startswith("before\n<!-- begin: bench train x -->\n")
        assert text.endswith("<!-- end: bench train x -->\nafter\n")
        assert f"**Title**\n\n| column | other |\n| --- | --- |\n| {value} | a/b |\n" in text
        assert text.count("| column |") == 1
        assert "old" not in text
    assert list(tmp_path.iterdir()) == [document]


def test_a_document_without_the_block_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("no place\n")
    result = run("kernels", "--quick", "--write-docs", str(document), "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "write one line <!-- begin: bench kernels -->" in result.stderr
    assert "measuring" not in result.stderr
    assert document.read_text() == "no place\n"


@pytest.mark.usefixtures("brisk")
def test_the_performance_page_has_its_places(tmp_path: Path) -> None:
    page = DOCS / "guides" / "performance.md"
    copy = tmp_path / "performance.md"
    copy.write_text(page.read_text())
    arguments = ["--quick", "--sweep", "--isa", "baseline", "--write-docs", str(copy)]
    result = run("kernels", *arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "**The machine's limits**" in copy.read_text()
    titles = ("train gridnet-mnist", "train gridnet-digits", "predict gridnet-mnist", "predict gridnet-digits")
    for title in titles:
        assert f"<!-- begin: bench {title} -->" in copy.read_text()


# zoo bench train


def test_bench_train_splits_the_step_and_compares_with_the_reference(tmp_path: Path) -> None:
    small = ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "train.batch_size=8"]
    overrides = [part for override in small for part in ("-o", override)]
    result = run("train", "gridnet-digits", *overrides, "--steps", "3", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    rows = report["results"]["results"]
    assert [(row["contender"], row["steps"]) for row in rows] == [("kernels", 3), ("reference", 2)]
    phases = [f"{phase}_seconds" for phase in ("data", "forward", "backward", "optimizer")]
    assert min(numbers(rows, *phases, "samples_per_second", "times_reference")) > 0
    for row in rows:
        assert row["samples_per_second"] == pytest.approx(8 / row["step_seconds"])
        assert all(row[phase] < row["step_seconds_max"] for phase in phases)
        assert row["peak_bytes"] > 50e6
    assert rows[-1]["times_reference"] == 1
    assert "samples/s" in result.output


def test_what_keeps_training_from_starting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        python, option, module, request = command
        assert (python, option) == (sys.executable, "-m")
        answer = io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(answer), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # runpy's, about a module that is imported already
            patch.setattr(sys, "argv", [module, request])
            runpy.run_module(module, run_name="__main__")
        return subprocess.CompletedProcess(command, 0, answer.getvalue(), "")

    monkeypatch.setattr(subprocess, "run", in_this_process)  # another process would only import torch again
    result = run("train", "gridnet-digits", "-o", "train.batch_size=5000", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "zoo: error: train.batch_size 5000 exceeds the 1293 training samples"


# zoo bench predict


@pytest.mark.usefixtures("brisk")
def test_bench_predict_measures_every_backend_the_baseline_and_the_cold_start(tmp_path: Path) -> None:
    result = run("predict", "gridnet-digits", "--quick", "--batch", "1,5", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    backends = list(sdk.list_models(family="gridnet")[0].backends)
    rows, cold = report["results"]["results"], report["results"]["cold_start"]
    assert [(row["contender"], row["batch"]) for row in rows] == [
        (name, batch) for batch in (1, 5) for name in (*backends, EAGER)
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


def test_a_spread_is_median_and_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)


def test_step_and_evolution_are_measured_forward_and_in_training() -> None:
    names = [case.name for case in standard_cases((32, 32, 32), 64, 12)]
    assert names == [
        "step, forward",
        "step, forward + backward",
        "evolution of 12, forward",
        "evolution of 12, forward + backward",
    ]
