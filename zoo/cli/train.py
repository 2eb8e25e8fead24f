"""``zoo train``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from sdk.places import models_folder
from zoo.cli.console import say, showing_progress
from zoo.cli.options import DATA_DIR, OVERRIDES
from zoo.cli.stops import explaining_stops, resume_command
from zoo.utils.errors import IncompleteArtifactError

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import nn

    from zoo.data.split import Data
    from zoo.recipe import Recipe
    from zoo.training.result import SeedResult, TrainResult
    from zoo.training.setup import Check
    from zoo.utils.progress import Progress


@click.command(short_help="Train a recipe and write its artifact.")
@click.argument("recipe", required=False)
@OVERRIDES
@click.option(
    "--data",
    metavar="PATH",
    help="Train on your data: a folder of images, a CSV, JSON or Parquet file, a folder of these, or a Hub id.",
)
@click.option("--target", metavar="COLUMN", help="With --data: the column of the classes.")
@click.option("--name", help="Name of the model (default: the recipe's name; with --data, and that of the data).")
@click.option(
    "--from",
    "start_from",
    metavar="MODEL",
    help="Start from the weights of a trained model of the same family: a name, a folder or a Hub id.",
)
@click.option("--device", help="cpu, cuda or mps (default: the best available).")
@DATA_DIR
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the artifact (default: NAME in the folder of your models, which zoo doctor shows).",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing artifact.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of seeds to train, from the recipe's seed on; the first becomes the artifact.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="Folder of logs and checkpoints, with a subfolder per seed for several (default: runs/NAME-TIME).",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="RUN_DIR",
    help="Continue an earlier run with its own recipe; finished seeds are not trained again.",
)
@click.option("--check-data", is_flag=True, help="Decode every image of all parts before the first step.")
@click.option(
    "--track",
    multiple=True,
    metavar="TRACKER",
    help="Also log to tensorboard, wandb, mlflow, trackio or another tracker of accelerate (repeatable).",
)
@click.option("--tensorboard", is_flag=True, hidden=True, help="The same as --track tensorboard.")
@click.option("--quiet", is_flag=True, help="Print the result and the artifact's path only.")
def train(
    recipe: str | None,
    overrides: tuple[str, ...],
    data: str | None,
    target: str | None,
    name: str | None,
    start_from: str | None,
    device: str | None,
    data_dir: Path | None,
    out: Path | None,
    overwrite: bool,
    seeds: int,
    run_dir: Path | None,
    resume: Path | None,
    check_data: bool,
    track: tuple[str, ...],
    tensorboard: bool,
    quiet: bool,
) -> None:
    """Train RECIPE (a shipped name or a .yaml file), test the model once and write its artifact.

    With --resume, RECIPE, -o and --from may be left out; if given, they must agree with the run.
    """
    _check_usage(recipe, data, target, name, run_dir, resume)
    if start_from is not None:
        overrides = (*overrides, f"train.start_from={json.dumps(start_from)}")
    track = tuple(dict.fromkeys((*track, *(["tensorboard"] if tensorboard else []))))
    command = partial(
        resume_command,
        options={"--seeds": seeds if seeds > 1 else None, "--device": device, "--data-dir": data_dir, "--out": out},
        flags={"--overwrite": overwrite},
        track=track,
    )
    with ExitStack() as held, explaining_stops() as stop:
        stop.command = partial(command, resume or run_dir)
        with ExitStack() as preparing:
            worker = os.environ.get("RANK", "0") != "0"  # one of several processes shows progress
            progress = preparing.enter_context(showing_progress("preparing the training", quiet or worker))
            from accelerate import PartialState

            from zoo.artifacts.target import check_writable
            from zoo.training.multi_seed import train_seeds
            from zoo.training.run_folder import new_run_folder

            if data is None:
                loaded, notes = _recipe(recipe, overrides, resume, name), list[str]()
            else:
                loaded, notes = _on_data(cast(str, recipe), data, target, name, overrides, data_dir)
            target_folder = check_writable(out or models_folder() / loaded.name, overwrite)
            folder = resume or run_dir or held.enter_context(new_run_folder(loaded.name))
            stop.command = partial(command, folder)
            result, results = train_seeds(
                loaded,
                seeds,
                run_dir=folder,
                data_dir=data_dir,
                device=device,
                resume=resume is not None,
                track=track,
                progress=not quiet,
                check=_checks(preparing, progress, check_data, target_folder, overwrite),
                notes=notes,
                fit_batch=data is not None and not any(one.startswith("train.batch_size=") for one in overrides),
            )
        if not _ends_processes_as_first(PartialState()):
            return
        stop.trained = True
        missing = _write(result, results, target_folder, overwrite, quiet)
    _report(result, results, target_folder, None if quiet else folder, data_dir)
    if missing is not None:
        raise missing


def _checks(preparing: ExitStack, progress: Progress, check_data: bool, target: Path, overwrite: bool) -> Check:
    """Return the check before the first step: all images on request, and a rehearsal of the artifact.

    It closes ``preparing`` at its end, because the training shows its own progress.
    """
    from zoo.artifacts.preflight import check_exportable

    def check(recipe: Recipe, data: Data, module: nn.Module) -> None:
        if check_data:
            progress("decoding all images")
            data.check()
        progress("trying to write the artifact")
        check_exportable(recipe, data, module, target, overwrite=overwrite)
        preparing.close()

    return check


def _ends_processes_as_first(processes: PartialState) -> bool:
    """Leave the group of processes, which may abort at the end of the process; return True in the first of them."""
    main = processes.is_main_process
    processes.destroy_process_group()
    return bool(main)


def _write(
    result: TrainResult, results: Sequence[SeedResult], target: Path, overwrite: bool, quiet: bool
) -> IncompleteArtifactError | None:
    """Write the artifact; return the error to raise once the result has been printed, None without one."""
    from zoo.artifacts.from_run import export_run

    with showing_progress("writing the artifact", quiet):
        try:
            export_run(result, target, overwrite=overwrite, seeds=results)
        except IncompleteArtifactError as error:
            return error
    return None


def _report(
    result: TrainResult, results: Sequence[SeedResult], target: Path, folder: Path | None, data_dir: Path | None
) -> None:
    """Print the result and the artifact's path; with the run's folder, also what is next."""
    from zoo.cli.next_steps import seed_lines, summary_line

    for line in (*seed_lines(results), summary_line(result)):
        say(line)
    say(f"artifact: {target}")
    if folder is not None:
        _say_what_is_next(result, target, folder, data_dir)


def _check_usage(
    recipe: str | None,
    data: str | None,
    target: str | None,
    name: str | None,
    run_dir: Path | None,
    resume: Path | None,
) -> None:
    """Raise UsageError for arguments that exclude or need each other."""
    if resume and run_dir:
        raise click.UsageError("--resume already names the run folder; leave out --run-dir")
    if resume is None and recipe is None:
        raise click.UsageError("Missing argument 'RECIPE', or --resume RUN_DIR")
    if resume is not None and (data or target or name):
        raise click.UsageError(
            "--resume continues with the run's own data and name; leave out --data, --target, --name"
        )
    if target is not None and data is None:
        raise click.UsageError("--target needs --data PATH; a recipe's own column is -o data.target=COLUMN")


def _on_data(*arguments: Any) -> tuple[Recipe, list[str]]:
    """Load the recipe on the user's data; see :func:`zoo.recipe.own_data.recipe_on_data`."""
    from zoo.recipe.own_data import recipe_on_data

    return recipe_on_data(*arguments)


def _recipe(recipe: str | None, overrides: Sequence[str], resume: Path | None, name: str | None) -> Recipe:
    """Load the recipe that is named, or that of the run to resume."""
    from zoo.recipe import load_recipe
    from zoo.recipe.files import check_name
    from zoo.training.resume import check_same_name, recipe_of_run

    if recipe is None:
        return recipe_of_run(cast(Path, resume), overrides)
    loaded = load_recipe(recipe, overrides)
    if resume is not None:
        check_same_name(loaded, resume)
    return loaded if name is None else loaded.model_copy(update={"name": check_name(name)})


def _say_what_is_next(result: TrainResult, target: Path, folder: Path, data_dir: Path | None) -> None:
    """Print where the logs are and the commands that use the new model."""
    from zoo.cli.next_steps import next_commands

    say(f"logs and checkpoint: {folder}")
    commands = next_commands(result, target, folder, data_dir)
    say("next:")
    for command in commands:
        say(f"  {command}")
