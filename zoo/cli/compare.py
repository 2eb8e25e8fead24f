"""``zoo compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdk.errors import InputError
from zoo.cli.console import note, print_table, say, showing_progress
from zoo.cli.options import AS_JSON, DATA_DIR, QUIET, print_json

if TYPE_CHECKING:
    from zoo.compare.comparison import Comparison


@click.command(short_help="Compare models, or runs, in one table and figure.")
@click.argument("subjects", nargs=-1, metavar="[MODEL|RUN_DIR]...")
@click.option(
    "--data",
    metavar="NAME|PATH",
    help="Compare the models of one data set, such as mnist; or measure all of them on data of your own.",
)
@click.option("--measure", is_flag=True, help="Measure again instead of using stored results.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Read stored results from FILE and add new ones to it (default: those that ship, which do not change).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write compare.json, .csv, .md, .png and .svg to a folder.",
)
@DATA_DIR
@AS_JSON
@QUIET
def compare(
    subjects: tuple[str, ...],
    data: str | None,
    measure: bool,
    results: Path | None,
    out: Path | None,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare models by accuracy, size, cost and speed; without MODEL, all bundled ones and the classic learners.

    For run folders, compare their learning curves instead. Results are stored; models whose results are not, such as
    your own, are measured on the test split of their data.
    """
    from zoo.compare.runs import is_run

    runs = [name for name in subjects if is_run(name)]
    if runs and len(runs) < len(subjects):
        others = ", ".join(name for name in subjects if name not in runs)
        raise InputError(f"{', '.join(runs)}: run folders are compared with run folders alone, found also {others}")
    if out is not None:
        from zoo.compare.report import check_folder

        check_folder(out)
    if runs:
        if data is not None or measure or results is not None:
            raise click.UsageError("--data, --measure and --results are for models, not for run folders")
        _compare_runs(runs, out, as_json)
        return
    with showing_progress("comparing", quiet) as progress:
        from zoo.compare.comparison import compare_models
        from zoo.compare.record import STORED
        from zoo.compare.report import models_json, save_models

        found = compare_models(
            subjects,
            data=data,
            measure=measure,
            store=results or STORED,
            save=results is not None,
            data_dir=data_dir,
            progress=progress,
        )
        if out is not None:
            progress("drawing")
            save_models(found.records, found.results.machine, out)
    if as_json:
        print_json(models_json(found.records, found.results.machine))
        return
    _print_models(found, data)
    if out is not None:
        say(f"written: {out}")


def _compare_runs(runs: list[str], out: Path | None, as_json: bool) -> None:
    from zoo.compare.runs import read_curves, summary

    curves = read_curves(runs)
    table = summary(curves)
    if out is not None:
        from zoo.compare.report import save_runs

        save_runs(curves, table, out)
    if as_json:
        print_json({"runs": table, "curves": curves})
        return
    percent = ("validation_last", "validation_best", "test_accuracy")
    print_table(
        [
            {
                key.replace("_", " "): f"{value:.2%}" if key in percent and value is not None else value
                for key, value in row.items()
            }
            for row in table
        ]
    )
    if out is not None:
        say(f"written: {out}")


def _print_models(found: Comparison, data: str | None) -> None:
    """Print a table for each data set, what is known of the models' robustness, and what was measured now."""
    from zoo.compare.robustness import summary as robustness
    from zoo.compare.table import NOTES, groups, rows

    for number, (name, members) in enumerate(groups(found.records).items()):
        say(("\n" if number else "") + name, bold=True)
        print_table(rows(members))
    tested = {record.name: record.model_hash for record in found.records}
    known = {
        name: one
        for name, one in found.results.robustness.items()
        if tested.get(name) == one["model_hash"] and data in (None, one["data"])
    }
    if known:
        say("\nrobustness", bold=True)
        print_table(robustness.rows(known))
    say(f"\n{NOTES}")
    if known:
        say(f"\n{robustness.NOTES}")
    if found.measured:
        note(f"measured now: {', '.join(found.measured)}")
