"""``zoo sweep``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.errors import CellzooError
from sdk.places import models_folder
from zoo.cli.console import note, print_table, say, showing_progress
from zoo.cli.options import AS_JSON, DATA_DIR, print_json
from zoo.utils.errors import NoWinnerError, SweepError, TrainingInterruptedError
from zoo.utils.signals import exit_code, stop_behind

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from zoo.sweep.folder import Keep, Settings

_TRIALS = 20
_FIXABLE = (CellzooError, OSError)
_KEEP = ("all", "finished", "best")


@click.command(short_help="Train a recipe with many values and keep the best.")
@click.argument("recipe", required=False)
@click.option(
    "-o",
    "--override",
    "assignments",
    multiple=True,
    metavar="KEY=VALUES",
    help="Values to combine: train.optimizer.lr=1e-3,3e-3 or log(1e-4..1e-2) or 1..8 (repeatable).",
)
@click.option("--trials", type=click.IntRange(min=1), help=f"With a range: number of trials (default: {_TRIALS}).")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Trials side by side.")
@click.option(
    "--prune/--no-prune", default=None, help="End trials that fall behind (default: with a range, not in a grid)."
)
@click.option("--keep", type=click.Choice(_KEEP), default="all", show_default=True, help="Trials whose folders stay.")
@click.option("--device", help="cpu, cuda or mps (default: the best available).")
@DATA_DIR
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the winner's artifact, as for zoo train.")
@click.option("--overwrite", is_flag=True, help="Replace an existing artifact.")
@click.option(
    "--sweep-dir", type=click.Path(path_type=Path), help="Folder of trials and results (default: runs/sweep-NAME-TIME)."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="SWEEP_DIR",
    help="Continue an earlier sweep with its own recipe and values.",
)
@AS_JSON
@click.option("--quiet", is_flag=True, help="Print the result only.")
def sweep(
    recipe: str | None,
    assignments: tuple[str, ...],
    trials: int | None,
    jobs: int,
    prune: bool | None,
    keep: Keep,
    device: str | None,
    data_dir: Path | None,
    out: Path | None,
    overwrite: bool,
    sweep_dir: Path | None,
    resume: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train RECIPE with every combination of values, or search ranges of them; test the winner once.

    Trials are compared on the validation split alone. The winner is tested and becomes an artifact.
    """
    _check_usage(recipe, assignments, trials, prune, keep, sweep_dir, resume)
    with ExitStack() as entered:
        stop = entered.enter_context(_explaining_stops(out, data_dir, device, jobs))
        with showing_progress("preparing the sweep", quiet):
            from zoo.artifacts.target import check_writable
            from zoo.sweep.study import held, resume_sweep, run_sweep, start_sweep
            from zoo.training.run_folder import new_run_folder

            if resume is not None:
                folder = resume
                entered.enter_context(held(folder))
                study, settings = resume_sweep(folder)
                target = check_writable(out or models_folder() / settings.name, overwrite)
            else:
                settings = _settings(str(recipe), assignments, trials, prune, keep)
                target = check_writable(out or models_folder() / settings.name, overwrite)
                folder = sweep_dir or entered.enter_context(new_run_folder(f"sweep-{settings.name}"))
                entered.enter_context(held(folder))
                study = start_sweep(folder, settings)
            stop.append(folder)

        def tell(line: str) -> None:
            if not quiet and not as_json:
                say(line)

        options: dict[str, Any] = {"data_dir": data_dir, "device": device}
        best = run_sweep(study, folder, settings, jobs=jobs, say=tell, **options)
        result = _test_winner(study, best, folder, settings, target, overwrite, options)
        _report(study, folder, settings, result, target, as_json, quiet)


def _check_usage(
    recipe: str | None,
    assignments: tuple[str, ...],
    trials: int | None,
    prune: bool | None,
    keep: str,
    sweep_dir: Path | None,
    resume: Path | None,
) -> None:
    """Raise UsageError for arguments that exclude or need each other."""
    if resume is None and recipe is None:
        raise click.UsageError("Missing argument 'RECIPE', or --resume SWEEP_DIR")
    given = (recipe, assignments, trials, sweep_dir, prune is not None, keep != "all")
    if resume is not None and any(given):
        raise click.UsageError(
            "--resume continues with the sweep's own settings; leave out RECIPE, -o, --trials, --prune, --keep and "
            "--sweep-dir"
        )


def _settings(
    recipe: str, assignments: tuple[str, ...], trials: int | None, prune: bool | None, keep: Keep
) -> Settings:
    """Read the recipe and its values. Raises RecipeError, SweepError, and UsageError for --trials with a grid."""
    from math import prod

    from zoo.recipe import read_recipe
    from zoo.sweep.folder import Settings
    from zoo.sweep.space import parse_space

    space = parse_space(assignments)
    if not space.ranges and trials is not None:
        raise click.UsageError("--trials is for ranges such as log(1e-4..1e-2); a grid has a trial per combination")
    name, tree = read_recipe(recipe)
    count = (trials or _TRIALS) if space.ranges else prod(map(len, space.choices.values()))
    return Settings(name, tree, space, count, bool(space.ranges) if prune is None else prune, keep)


def _test_winner(
    study: optuna.Study,
    best: FrozenTrial,
    folder: Path,
    settings: Settings,
    target: Path,
    overwrite: bool,
    options: dict[str, Any],
) -> Any:
    """Test the model of the winner's first seed once, and write its artifact."""
    from zoo.artifacts.from_run import export_run
    from zoo.sweep.winner import sweep_facts, test_winner

    result = test_winner(best, folder, settings, **options)
    export_run(result, target, overwrite=overwrite, facts={"sweep": sweep_facts(study, best, settings)})
    return result


def _report(
    study: optuna.Study, folder: Path, settings: Settings, result: Any, target: Path, as_json: bool, quiet: bool
) -> None:
    """Write and print the table, and say where everything is."""
    from zoo.sweep.report import rows, table, write_report

    notes = write_report(study, folder, settings)
    found = rows(study, folder, settings)
    if as_json:
        test = {"accuracy": result.test.accuracy, "correct": result.test.correct, "total": result.test.total}
        print_json({"trials": found, "test": test, "artifact": str(target), "folder": str(folder)})
        return
    if not quiet:
        print_table(table(found))
        for line in notes:
            note(line)
    low, high = result.test.interval
    say(
        f"{settings.name}: test accuracy of the winner {result.test.accuracy:.2%} ({result.test.correct}/"
        f"{result.test.total}, 95% interval {low:.2%} to {high:.2%})"
    )
    say(f"artifact: {target}")
    say(f"trials and figures: {folder}")


@contextmanager
def _explaining_stops(out: Path | None, data_dir: Path | None, device: str | None, jobs: int) -> Iterator[list[Path]]:
    """Say how to continue when a signal or an error ends the sweep; the block adds the sweep's folder to the list."""
    folder: list[Path] = []
    try:
        yield folder
    except (Exception, KeyboardInterrupt) as error:
        found = stop_behind(error)
        stopped = found is not None or isinstance(error, TrainingInterruptedError)
        code = exit_code(found) if found is not None else getattr(error, "exit_code", 130)
        if stopped and not folder:
            raise TrainingInterruptedError("interrupted while the sweep was prepared", code) from None
        if not stopped and (not folder or isinstance(error, NoWinnerError) or not isinstance(error, _FIXABLE)):
            raise
        from zoo.cli.next_steps import programs

        options = {"--out": out, "--data-dir": data_dir, "--device": device, "--jobs": jobs if jobs > 1 else None}
        given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
        command = shlex.join([*programs()[1], "sweep", "--resume", str(folder[0]), *given])
        if stopped:
            raise TrainingInterruptedError(f"the sweep was interrupted; continue with: {command}", code) from None
        raise SweepError(f"{error}; once the cause is removed, continue with: {command}") from error
