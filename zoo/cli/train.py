"""``zoo train``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import DATA_DIR, OVERRIDES

if TYPE_CHECKING:
    from zoo.training.result import SeedResult, TrainResult


@click.command(short_help="Train a recipe and write its artifact.")
@click.argument("recipe")
@OVERRIDES
@click.option("--device", help="cpu, cuda or mps (default: the best available).")
@DATA_DIR
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the artifact (default: exports/NAME).")
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
    help="Continue from the checkpoints of an earlier run; finished seeds are not trained again.",
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs to the run folder.")
@click.option("--quiet", is_flag=True, help="Hide the progress bar.")
def train(
    recipe: str,
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
    """Train RECIPE (a shipped name or a .yaml file), test the model once and write its artifact."""
    from accelerate import PartialState

    from zoo.artifacts.from_run import export_run
    from zoo.artifacts.target import check_writable
    from zoo.recipe import load_recipe
    from zoo.training.multi_seed import train_seeds

    if resume and run_dir:
        raise click.UsageError("--resume already names the run folder; leave out --run-dir")
    loaded = load_recipe(recipe, overrides)
    target = check_writable(out or Path("exports") / loaded.name, overwrite)
    folder = resume or run_dir or Path("runs") / f"{loaded.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    result, results = train_seeds(
        loaded,
        seeds,
        run_dir=folder,
        data_dir=data_dir,
        device=device,
        resume=resume is not None,
        tensorboard=tensorboard,
        progress=not quiet,
    )
    if not PartialState().is_main_process:
        return
    export_run(result, target, overwrite, results)
    for line in (*_seed_lines(results), _summary_line(result)):
        click.echo(line)
    click.echo(f"artifact: {target}")
    click.echo(f"logs and checkpoint: {folder}")


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
