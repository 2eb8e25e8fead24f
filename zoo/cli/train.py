"""``zoo train``."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from sdk.places import models_folder
from zoo.cli.console import say, showing_progress
from zoo.cli.options import DATA_DIR, OVERRIDES

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.split import Data
    from zoo.recipe import Recipe
    from zoo.training.result import SeedResult, TrainResult


@click.command(short_help="Train a recipe and write its artifact.")
@click.argument("recipe", required=False)
@OVERRIDES
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
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs to the run folder.")
@click.option("--quiet", is_flag=True, help="Print the result and the artifact's path only.")
def train(
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str | None,
    data_dir: Path | None,
    out: Path | None,
    overwrite: bool,
    seeds: int,
    run_dir: Path | None,
    resume: Path | None,
    tensorboard: bool,
    quiet: bool,
) -> None:
    """Train RECIPE (a shipped name or a .yaml file), test the model once and write its artifact.

    With --resume, RECIPE and -o may be left out; if given, they must agree with the run.
    """
    if resume and run_dir:
        raise click.UsageError("--resume already names the run folder; leave out --run-dir")
    if resume is None and recipe is None:
        raise click.UsageError("Missing argument 'RECIPE', or --resume RUN_DIR")
    with ExitStack() as preparing:
        worker = os.environ.get("RANK", "0") != "0"  # one of several processes shows progress
        progress = preparing.enter_context(showing_progress("preparing the training", quiet or worker))
        from accelerate import PartialState

        from zoo.artifacts.from_run import export_run
        from zoo.artifacts.preflight import check_exportable
        from zoo.artifacts.target import check_writable
        from zoo.training.multi_seed import train_seeds
        from zoo.utils.errors import TrainingInterruptedError

        loaded = _recipe(recipe, overrides, resume)
        target = check_writable(out or models_folder() / loaded.name, overwrite)
        folder = resume or run_dir or Path("runs") / f"{loaded.name}-{time.strftime('%Y%m%d-%H%M%S')}"

        def check(recipe: Recipe, data: Data, module: nn.Module) -> None:
            progress("trying to write the artifact")
            check_exportable(recipe, data, module, target, overwrite)
            preparing.close()  # the training shows its own progress

        try:
            result, results = train_seeds(
                loaded,
                seeds,
                run_dir=folder,
                data_dir=data_dir,
                device=device,
                resume=resume is not None,
                tensorboard=tensorboard,
                progress=not quiet,
                check=check,
            )
        except TrainingInterruptedError as error:
            command = _resume_command(
                folder,
                {"--seeds": seeds if seeds > 1 else None, "--device": device, "--data-dir": data_dir, "--out": out},
                {"--overwrite": overwrite, "--tensorboard": tensorboard},
            )
            raise TrainingInterruptedError(f"{error}; continue with: {command}" if command else str(error)) from None
    if not PartialState().is_main_process:
        return
    with showing_progress("writing the artifact", quiet):
        export_run(result, target, overwrite, results)
    for line in (*_seed_lines(results), _summary_line(result)):
        say(line)
    say(f"artifact: {target}")
    if not quiet:
        _say_what_is_next(result, target, folder, data_dir)


def _recipe(recipe: str | None, overrides: Sequence[str], resume: Path | None) -> Recipe:
    """Load the recipe that is named, or that of the run to resume."""
    from zoo.recipe import load_recipe
    from zoo.training.run_folder import check_same_name, recipe_of_run

    if recipe is None:
        return recipe_of_run(cast(Path, resume), overrides)
    loaded = load_recipe(recipe, overrides)
    if resume is not None:
        check_same_name(loaded, resume)
    return loaded


def _resume_command(folder: Path, options: dict[str, object], flags: dict[str, bool]) -> str | None:
    """Return the command that continues an interrupted run; None if it has no checkpoint yet.

    Options that are None and flags that are False are left out.
    """
    from zoo.cli.next_steps import programs
    from zoo.training.checkpoint import CHECKPOINT_FILE

    if not any(folder.rglob(CHECKPOINT_FILE)):
        return None
    given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
    set_flags = [flag for flag, value in flags.items() if value]
    return shlex.join([*programs()[1], "train", "--resume", str(folder), *given, *set_flags])


def _say_what_is_next(result: TrainResult, target: Path, folder: Path, data_dir: Path | None) -> None:
    """Print where the logs are and the commands that use the new model."""
    from zoo.cli.next_steps import next_commands

    say(f"logs and checkpoint: {folder}")
    commands = next_commands(result, target, folder, data_dir)
    say("next:")
    for command in commands:
        say(f"  {command}")


def _seed_lines(results: Sequence[SeedResult]) -> list[str]:
    """Return a line for each of several seeds and one for their mean."""
    if len(results) < 2:
        return []
    from zoo.artifacts.from_run import seed_metrics

    metrics = seed_metrics(results)
    return [
        *(f"seed {one.seed}: test accuracy {one.accuracy:.2%} ({one.correct}/{one.total})" for one in results),
        f"mean of {len(results)} seeds {metrics['test_accuracy_mean']:.2%}, "
        f"sample standard deviation {metrics['test_accuracy_std']:.2%}",
    ]


def _summary_line(result: TrainResult) -> str:
    """Return the line about the run whose model becomes the artifact."""
    low, high = result.test.interval
    return (
        f"{result.recipe.name}: test accuracy {result.test.accuracy:.2%} ({result.test.correct}/{result.test.total}, "
        f"95% interval {low:.2%} to {high:.2%}) after {result.steps} steps in {result.seconds:.0f} s"
    )
