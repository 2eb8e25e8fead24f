"""Timing on a GPU, with a clock that stands for torch.cuda."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.bench import read, run
from zoo.bench import kernels, sparse
from zoo.bench.cases import Case
from zoo.bench.contenders import EAGER, REFERENCE
from zoo.bench.gpu_timing import GpuLimits, GpuTimer
from zoo.bench.products import ProductRecorder
from zoo.bench.training_worker import Clock
from zoo.utils.stats import Spread

CPU = torch.device("cpu")


class FakeCuda:
    """torch.cuda with a device that does nothing but advance a clock, in milliseconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def get_device_properties(self, device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(L2_cache_size=2**20)

    def _sleep(self, cycles: int) -> None:
        self.calls.append("sleep")
        self.now += cycles / 2e6

    def Event(self, enable_timing: bool) -> FakeEvent:  # noqa: N802
        assert enable_timing
        return FakeEvent(self)

    def work(self, name: str, milliseconds: float) -> None:
        self.calls.append(name)
        self.now += milliseconds


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.at = cuda, -1.0

    def record(self) -> None:
        self.cuda.now += 1e-6  # recording takes time
        self.at = self.cuda.now

    def synchronize(self) -> None:
        assert self.at >= 0

    def elapsed_time(self, other: FakeEvent) -> float:
        return other.at - self.at


def test_calls_are_timed_in_turn_after_a_warm_up_and_without_the_sleep_before_them() -> None:
    cuda = FakeCuda()
    timer = GpuTimer(CPU, cuda)
    spreads = timer.interleave({"a": lambda: cuda.work("a", 3.0), "b": lambda: cuda.work("b", 5.0)}, 4, budget=1)
    assert (spreads["a"].median, spreads["b"].median) == (pytest.approx(0.003), pytest.approx(0.005))
    assert spreads["a"].samples == 4
    assert cuda.calls[:6] == ["a"] * 3 + ["b"] * 3
    assert cuda.calls[6:10] == ["sleep", "a", "sleep", "b"]


def test_a_contender_beyond_its_budget_has_three_samples() -> None:
    cuda = FakeCuda()
    spreads = GpuTimer(CPU, cuda).interleave({"slow": lambda: cuda.work("slow", 900.0)}, 30, budget=1)
    assert spreads["slow"].samples == 3


def test_the_limits_count_a_copy_twice_and_two_operations_per_multiply_add() -> None:
    cuda = FakeCuda()
    timer = GpuTimer(CPU, cuda)
    timer.seconds = lambda call: (call(), 1e-3)[1]  # type: ignore[method-assign, func-returns-value]
    limits = GpuLimits(timer, quick=True, device=CPU)
    limits.sample()
    assert limits.bandwidth().median == pytest.approx(2 * 4 * 2**16 / 1e-3 / 1e9)
    (peak,) = limits.peaks().values()
    assert peak.median == pytest.approx(2 * 64**3 / 1e-3 / 1e9)


def test_the_phases_of_a_step_on_a_gpu_are_the_times_between_events() -> None:
    cuda = FakeCuda()
    clock = Clock(cuda)

    def batches() -> object:
        for _ in range(10):
            cuda.work("data", 1.0)
            yield torch.zeros(1), torch.zeros(1)

    def losses() -> object:
        for _ in range(2):
            cuda.work("forward", 4.0)
            yield 0

    products = ProductRecorder()
    products.repeat = lambda: cuda.work("products", 7.0)  # type: ignore[method-assign]
    backward = clock.timed("backward", lambda: cuda.work("backward", 2.0))
    stream = clock.stream(batches(), 3, products)  # type: ignore[arg-type]
    for _ in stream:
        for _ in clock.each("forward", losses()):  # type: ignore[call-overload]
            backward()
            cuda.work("optimizer", 0.5)
    steps = clock.steps()
    assert len(steps) == 3  # without the recorded one
    for step in steps:
        assert {name: round(1e3 * seconds, 3) for name, seconds in step.items()} == {
            "step": 14.0, "data": 1.0, "forward": 8.0, "backward": 4.0, "optimizer": 1.0,
        }  # fmt: skip
    assert [round(1e3 * seconds, 3) for seconds in clock.alone()] == [7.0]
    assert [name for name in cuda.calls if name in ("data", "products")] == [
        "data", "products", "data", "data", "data",
    ]  # fmt: skip


class OnTheCpu:
    """The meter of a GPU whose device is the CPU: every call takes as long as the clock says."""

    device = "cpu"

    def __init__(self, quick: bool) -> None:
        self.cuda = FakeCuda()
        self.timer = GpuTimer(CPU, self.cuda)
        self.limits = GpuLimits(self.timer, quick, CPU)

    def time(self, calls: dict[str, Any]) -> dict[str, Spread]:
        self.limits.sample()
        return self.timer.interleave(calls, 3, 1)


def test_the_report_of_a_gpu_names_its_limits_and_compares_every_contender(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts = kernels.machine_facts()
    monkeypatch.setattr(kernels, "check_device", lambda device: None)
    monkeypatch.setattr(kernels, "machine_facts", lambda device: {**facts, "gpu": "a GPU, 50 MB of L2"})
    monkeypatch.setattr(kernels, "_GpuMeter", OnTheCpu)
    result = run("kernels", "--quick", "--sweep", "--device", "cuda", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    assert {row["contender"] for row in report["results"]["results"]} == {"ours cuda", EAGER, REFERENCE}
    assert {row["contender"] for row in report["results"]["sparse"]} == {sparse.OURS, sparse.CSR, sparse.DENSE}
    assert report["settings"]["device"] == "cuda"
    for text in ("a GPU, 50 MB of L2", "float32 matrix product", "the L2 cache is flushed", "The sparse layer"):
        assert text in result.output
    refused = run("kernels", "--quick", "--isa", "avx2", "--device", "cuda", "--out", str(tmp_path / "other"))
    assert "--isa avx2 is an instruction set of the CPU" in refused.stderr


def test_on_a_gpu_every_outer_step_moves_the_states() -> None:
    case = Case((4, 4, 4), batch=2, block=4, outer=3)
    cell = case.cells * 4
    assert case.bytes(between_steps=True) - case.bytes() == 2 * (3 - 1) * 2 * cell
    training = replace(case, training=True)
    assert training.bytes(between_steps=True) - training.bytes() == (5 * 3 - (5 + 2 * 2)) * 2 * cell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", "--quick"], "torch sees no CUDA device"),
        (["train", "gridnet-digits"], "torch sees no CUDA device"),
        (["predict", "gridnet-mnist", "--quick"], "torch sees no CUDA device"),
    ],
)
def test_a_benchmark_on_a_gpu_that_is_not_there_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(*arguments, "--device", "cuda", "--out", f"{tmp_path}/out")
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith("zoo: error: device 'cuda' cannot be used here")
    assert message in result.stderr


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_every_contender_is_measured_and_agrees(tmp_path: Path) -> None:
    result = run("kernels", "--quick", "--sweep", "--device", "cuda", "--out", f"{tmp_path}/out")
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    assert {row["contender"] for row in report["results"]["results"]} >= {"ours cuda", "eager shifts"}
    assert "gpu" in report["machine"]


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_training_and_prediction_are_measured(tmp_path: Path) -> None:
    small = ["-o", "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "-o", "train.batch_size=8"]
    arguments = ["train", "gridnet-digits", *small, "--steps", "3", "--device", "cuda", "--out", f"{tmp_path}/train"]
    assert run(*arguments).exit_code == 0
    row = read(tmp_path / "train")["results"]["results"][0]
    assert row["gpu_peak_bytes"] > 0
    arguments = ["predict", "gridnet-mnist", "--quick", "--device", "cuda", "--out", f"{tmp_path}/predict"]
    assert run(*arguments).exit_code == 0
