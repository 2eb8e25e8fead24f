"""``zoo bench kernels``: gridnet's kernels next to their baselines and the machine's limits, in useful GFLOP/s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from zoo.bench.cases import Case, standard_cases, sweep_cases
from zoo.bench.contenders import COMPILED, EAGER, REFERENCE, Call, choose_isas, make_call, make_calls, ours
from zoo.bench.gpu_timing import GpuLimits, GpuTimer
from zoo.bench.limits import Limits
from zoo.bench.machine import Watch, check_device, machine_facts
from zoo.bench.report import Report, Table
from zoo.bench.sparse import sparse_lines, sparse_rows
from zoo.kernels import runtime
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say
from zoo.utils.stats import Spread
from zoo.utils.timing import interleave

FIRST = "ours, first setting"


class _CpuMeter:
    """Times calls on the CPU, and samples its limits between them."""

    device = "cpu"

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.limits = Limits(runtime.compiled().usable_isas(), quick)

    def time(self, calls: Mapping[str, Call]) -> dict[str, Spread]:
        for _ in range(1 if self.quick else 3):
            self.limits.sample()
        timings = interleave(calls, rounds=3 if self.quick else 9, budget=1 if self.quick else 10)
        self.limits.sample()
        return timings


class _GpuMeter:
    """Times calls on the current CUDA device, and samples its limits between them."""

    device = "cuda"

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self._timer = GpuTimer(torch.device("cuda"))
        self.limits = GpuLimits(self._timer, quick, torch.device("cuda"))

    def time(self, calls: Mapping[str, Call]) -> dict[str, Spread]:
        self.limits.sample()
        timings = self._timer.interleave(calls, rounds=5 if self.quick else 30, budget=1)
        self.limits.sample()
        return timings


_Meter = _CpuMeter | _GpuMeter


def bench_kernels(
    *,
    grid: tuple[int, int, int] | None = None,
    batch: int | None = None,
    outer: int | None = None,
    threads: int | None = None,
    isas: Sequence[str] = (),
    device: str = "cpu",
    quick: bool = False,
    sweep: bool = False,
    compiled: bool = True,
    say: Say = lambda line: None,
) -> Report:
    """Measure step and evolution, forward and training, on a grid of 32x32x32 with 12 outer steps by default.

    The batch is 64 by default, and 512 on ``device`` cuda, where a state then exceeds the L2 cache. ``quick`` uses tiny
    shapes and few samples and skips torch.compile, as ``compiled`` False does; it only shows that everything runs.
    ``sweep`` adds other shapes and variants. The number of threads and the instruction set are restored afterwards.
    Raises BenchError for an unusable device or instruction set and for contenders that disagree.
    """
    check_device(device)
    if device == "cuda" and isas:
        raise BenchError(f"--isa {isas[0]} is an instruction set of the CPU; leave out --isa or --device cuda")
    chosen = choose_isas(isas)
    kernels, threads_before, isa_before = runtime.compiled(), torch.get_num_threads(), runtime.compiled().current_isa()
    runtime.keep_freed_memory()  # as training does; all contenders benefit
    usual_batch = 4 if quick else 64 if device == "cpu" else 512
    cases = standard_cases(grid or ((8, 8, 8) if quick else (32, 32, 32)), batch or usual_batch,
                           outer or (2 if quick else 12))  # fmt: skip
    names = [ours("cuda")] if device == "cuda" else [*map(ours, chosen)]
    try:
        torch.set_num_threads(threads or threads_before)
        kernels.set_isa(chosen[0])
        facts, watch = machine_facts(device), Watch()
        meter: _Meter = _GpuMeter(quick) if device == "cuda" else _CpuMeter(quick)
        compiles = compiled and not quick
        rows, skipped = _measure(cases, [*names, *([COMPILED] if compiles else []), EAGER, REFERENCE], meter, say)
        swept = _sweep(names[0], meter, quick, say) if sweep else []
        sparse = sparse_rows(meter.time, meter.device, quick, say) if device == "cuda" else []
    finally:
        torch.set_num_threads(threads_before)
        kernels.set_isa(isa_before)
    if not compiles:
        skipped[COMPILED] = f"{'--quick' if quick else '--no-compile'} skips torch.compile, which takes minutes"
    peaks, bandwidth = meter.limits.peaks(), meter.limits.bandwidth()
    for table in (rows, swept):
        _relate(table, max(peak.median for peak in peaks.values()), bandwidth.median)
    return Report(
        kind="kernels",
        subject="",
        machine={**facts, "other_processes": watch.others()},
        settings={
            "quick": quick, "grid": list(cases[0].grid), "batch": cases[0].batch, "outer": cases[-1].outer,
            **({} if device == "cpu" else {"device": device}),
        },
        facts={
            "peak_gflops": {name: asdict(peak) for name, peak in peaks.items()},
            "bandwidth_gbytes": asdict(bandwidth),
            "skipped": skipped,
        },
        results={
            "results": rows, **({"sweep": swept} if sweep else {}), **({"sparse": sparse} if sparse else {}),
        },
    )  # fmt: skip


def _measure(
    cases: Sequence[Case], names: Sequence[str], meter: _Meter, say: Say
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for case in cases:
        say(f"{case.name}, {case.setting}")
        calls, missing = make_calls(case, names, meter.device)
        skipped |= missing
        rows += [_row(case, name, seconds, meter.device) for name, seconds in meter.time(calls).items()]
    return rows, skipped


def _sweep(name: str, meter: _Meter, quick: bool, say: Say) -> list[dict[str, Any]]:
    """Measure every case in turn with the first case of its mode, because the machine's speed varies by the minute."""
    rows = []
    firsts: dict[bool, Case] = {}
    for case in sweep_cases(quick):
        say(f"{case.name}, {case.setting}")
        first = firsts.setdefault(case.training, case)
        calls, _ = make_calls(case, [name, EAGER], meter.device)
        timings = meter.time({**calls, FIRST: make_call(first, name, meter.device)})
        baseline = _row(first, FIRST, timings.pop(FIRST), meter.device)
        for contender, seconds in timings.items():
            row = _row(case, contender, seconds, meter.device)
            rows.append({**row, "first_gflops": baseline["gflops"], "of_first": row["gflops"] / baseline["gflops"]})
    return rows


def _row(case: Case, contender: str, seconds: Spread, device: str) -> dict[str, Any]:
    flops = case.flops()
    return {
        "case": case.name,
        "setting": case.setting,
        **asdict(case),
        "grid": "x".join(map(str, case.grid)),
        "contender": contender,
        "seconds": seconds.median,
        "seconds_min": seconds.low,
        "seconds_max": seconds.high,
        "samples": seconds.samples,
        "flops": flops,
        "bytes": case.bytes(between_steps=device == "cuda"),
        "gflops": flops / seconds.median / 1e9,
        "gflops_min": flops / seconds.high / 1e9,
        "gflops_max": flops / seconds.low / 1e9,
    }


def _relate(rows: list[dict[str, Any]], peak: float, bandwidth: float) -> None:
    """Add to every row its ratios to the baselines on the same case, to the peak and to the roofline."""
    rates = {(row["case"], row["setting"], row["contender"]): row["gflops"] for row in rows}
    for row in rows:
        rate, roofline = row["gflops"], min(peak, bandwidth * row["flops"] / row["bytes"])
        reference = rates.get((row["case"], row["setting"], REFERENCE))
        eager = rates.get((row["case"], row["setting"], EAGER))
        row["times_eager_shifts"] = None if eager is None else rate / eager
        row["times_reference"] = None if reference is None else rate / reference
        row["percent_of_peak"] = 100 * rate / peak
        row["roofline_gflops"] = roofline
        row["percent_of_roofline"] = 100 * rate / roofline


def tables(report: Report) -> list[Table]:
    """Return the report as tables to print."""
    on_gpu = "gpu" in report.machine
    limits = [
        {"limit": name if on_gpu else f"multiply-adds from registers, {name}", "measured": _spread(peak, "GFLOP/s")}
        for name, peak in report.facts["peak_gflops"].items()
    ]
    memory = "device memory (copy; the L2 cache is flushed before every call)" if on_gpu else "memory (triad)"
    limits.append({"limit": memory, "measured": _spread(report.facts["bandwidth_gbytes"], "GB/s")})
    shown = [Table("The machine's limits", limits)]
    for case in dict.fromkeys(row["case"] for row in report.results["results"]):
        rows = [row for row in report.results["results"] if row["case"] == case]
        lines = [{"contender": row["contender"], **_figures(row)} for row in rows]
        missing = report.facts["skipped"].items()
        lines += [{**dict.fromkeys(lines[0], "-"), "contender": f"{name} (skipped: {why})"} for name, why in missing]
        shown.append(Table(f"{case}, {rows[0]['setting']}".capitalize(), lines))
    if "sweep" in report.results:
        shown.append(Table("Other shapes and variants, evolution of 4", _sweep_lines(report.results["sweep"])))
    if "sparse" in report.results:
        shown.append(Table("The sparse layer, float32, batch 256", sparse_lines(report.results["sparse"])))
    return shown


def _sweep_lines(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the lines of our kernels; the last column is the rate relative to the first setting, sampled in turn."""
    lines = []
    for row in rows:
        if row["contender"] != EAGER:
            mode = "forward + backward" if row["training"] else "forward"
            figures = _figures(row)
            del figures["x reference"]
            lines.append({"setting": row["setting"], "mode": mode, **figures, "of first": f"{row['of_first']:.2f}"})
    return lines


def _figures(row: dict[str, Any]) -> dict[str, str]:
    eager, reference = row["times_eager_shifts"], row["times_reference"]
    return {
        "ms": f"{1e3 * row['seconds']:.3g}",
        "min to max": f"{1e3 * row['seconds_min']:.3g} to {1e3 * row['seconds_max']:.3g}",
        "GFLOP/s": f"{row['gflops']:.3g}",
        "x eager shifts": "-" if eager is None else f"{eager:.2f}",
        "x reference": "-" if reference is None else f"{reference:.1f}",
        "% of peak": f"{row['percent_of_peak']:.1f}",
        "roofline": f"{row['roofline_gflops']:.3g}",
        "% of roofline": f"{row['percent_of_roofline']:.0f}",
    }


def _spread(spread: dict[str, Any], unit: str) -> str:
    return f"{spread['median']:.3g} {unit} ({spread['low']:.3g} to {spread['high']:.3g})"
