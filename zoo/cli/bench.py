"""``zoo bench``: run a benchmark, print its tables and write its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.console import print_table, say
from zoo.cli.groups import SuggestingGroup
from zoo.cli.options import AS_JSON, DATA_DIR, OVERRIDES, QUIET, print_json
from zoo.utils.progress import say_nothing

if TYPE_CHECKING:
    from zoo.bench.report import Report, Table


def _say(line: str) -> None:
    """Show what is measured next on stderr."""
    say(f"measuring {line}", err=True)


def _whole_numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Parse ``1,64`` to (1, 64)."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"found {value!r}, expected positive whole numbers separated by commas")
    return tuple(int(part) for part in parts)


def _grid(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Parse ``32,32,8`` to (32, 32, 8)."""
    sizes = _whole_numbers(context, parameter, value)
    if sizes is not None and len(sizes) != 3:
        raise click.BadParameter(f"found {value!r}, expected three sizes M,N,K")
    return sizes


def _measures(kind: str, subject: str | None = None) -> Callable[..., Any]:
    """Wrap a function ``(...) -> (report, tables)`` with the options and the output that all benchmarks share.

    ``subject`` is the name of the argument that completes the report's title; one that takes several values does so
    only if there is a single one.
    """

    def decorate(measure: Callable[..., tuple[Report, list[Table]]]) -> Callable[..., None]:
        @click.option(
            "--out",
            type=click.Path(path_type=Path),
            help="Folder for bench.json, bench.csv and bench.png (default: runs/bench-KIND-TIME).",
        )
        @click.option(
            "--write-docs",
            "docs",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Also write the tables into their block of this document.",
        )
        @AS_JSON
        @QUIET
        @wraps(measure)
        def command(*, out: Path | None, docs: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
            from zoo.bench.docs import check_docs
            from zoo.bench.report import check_folder

            folder = out or Path("runs") / f"bench-{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
            check_folder(folder)
            if docs is not None:
                check_docs(docs, f"bench {kind} {_name(options[subject]) if subject else ''}".strip())
            report, tables = measure(**options, say=say_nothing if quiet else _say)
            _publish(report, tables, folder, docs, as_json)

        return command

    return decorate


def _name(subject: str | tuple[str, ...]) -> str:
    """Return the name of a recipe, also of a file, of a model or a family; empty for any number of them but one."""
    if isinstance(subject, tuple):
        return _name(subject[0]) if len(subject) == 1 else ""
    return Path(subject).name.removesuffix(".yaml")


def _publish(report: Report, tables: list[Table], folder: Path, docs: Path | None, as_json: bool) -> None:
    from zoo.bench.docs import write_docs
    from zoo.bench.machine import busy_warning, facts_line
    from zoo.bench.plot import draw
    from zoo.bench.report import save

    save(report, folder, draw)
    if docs is not None:
        write_docs(docs, report, tables)
    if as_json:
        print_json(report.to_json())
        return
    say(facts_line(report.machine))
    for table in tables:
        say(f"\n{table.title}", bold=True)
        print_table(table.rows)
        for line in table.notes:
            say(f"note: {line}")
    warning = busy_warning(report.machine)
    if warning:
        say(f"\nnote: {warning}")
    say(f"\nwritten: {folder}")


_QUICK = click.option("--quick", is_flag=True, help="Take seconds instead of minutes; the figures are meaningless.")
_DEVICE = click.option(
    "--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True, help="Where the contenders run."
)
_THREADS = click.option("--threads", type=click.IntRange(1, 256), help="Threads (default: torch's).")


@click.group(cls=SuggestingGroup, short_help="Measure speed and memory on this machine.")
def bench() -> None:
    """Measure speed and memory on this machine, next to named baselines and the machine's limits."""


@bench.command(short_help="Measure gridnet's kernels.")
@_THREADS
@click.option("--grid", callback=_grid, metavar="M,N,K", help="Grid (default: 32,32,32).")
@click.option("--batch", type=click.IntRange(min=1), help="Samples per call (default: 64; cuda: 512).")
@click.option("--outer", type=click.IntRange(min=1), help="Outer steps of the evolution (default: 12).")
@click.option(
    "--isa", "isas", multiple=True, help="Measure only this instruction set (repeatable; default: all usable)."
)
@_DEVICE
@click.option("--sweep", is_flag=True, help="Also measure other shapes, batch sizes and variants.")
@click.option("--no-compile", "compiled", is_flag=True, flag_value=False, default=True, help="Skip torch.compile.")
@_QUICK
@_measures("kernels")
def kernels(**options: Any) -> tuple[Report, list[Table]]:
    """Measure gridnet's kernels: useful GFLOP/s, ratios to baselines, percent of peak and of the roofline."""
    from zoo.bench.kernels import bench_kernels, tables

    report = bench_kernels(**options)
    return report, tables(report)


@bench.command(short_help="Measure training steps of recipes.")
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@click.option("--all", "bundled", is_flag=True, help="Measure every recipe whose trained model is bundled.")
@OVERRIDES
@click.option(
    "--steps", type=click.IntRange(min=1), help="Number of timed steps (default: as many as take 4 s, 10 to 200)."
)
@click.option(
    "--reference-steps",
    type=click.IntRange(min=0),
    help="Number of timed steps with ZOO_KERNELS=reference; 0 skips them (default: 2, of several recipes 0).",
)
@DATA_DIR
@_DEVICE
@_measures("train", subject="recipes")
def train(recipes: tuple[str, ...], bundled: bool, **options: Any) -> tuple[Report, list[Table]]:
    """Measure training steps of RECIPE: samples per second, time per phase, and over the step's own products.

    Several recipes, or --all, give one table with a row for each.
    """
    if bundled == bool(recipes):
        raise click.UsageError("give RECIPE, or --all for every recipe whose trained model is bundled")
    from zoo.bench.training import bench_train, bundled_recipes, tables

    report = bench_train(bundled_recipes() if bundled else recipes, **options)
    return report, tables(report)


@bench.command(short_help="Measure a model through the SDK.")
@click.argument("model")
@click.option(
    "--batch",
    "batches",
    callback=_whole_numbers,
    default="1,64",
    show_default=True,
    metavar="N,N...",
    help="Batch sizes.",
)
@_DEVICE
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Time for each contender and batch size (default: 10).",
)
@_QUICK
@_measures("predict", subject="model")
def predict(model: str, **options: Any) -> tuple[Report, list[Table]]:
    """Measure MODEL (a name or an artifact's folder) through the SDK: latency, memory, cold start."""
    from zoo.bench.prediction import bench_predict, tables

    report = bench_predict(model, **options)
    return report, tables(report)


@bench.command(short_help="Run a family's own benchmark.")
@click.argument("name")
@_THREADS
@_QUICK
@_measures("family", subject="name")
def family(name: str, **options: Any) -> tuple[Report, list[Table]]:
    """Run the benchmark of family NAME: times, and ratios to a baseline."""
    from zoo.bench.families import bench_family, tables

    report = bench_family(name, **options)
    return report, tables(report)
