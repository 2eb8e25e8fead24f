"""The command line: parses, calls, prints. What the commands do is in the modules they call."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

import sdk
from zoo.artifact_cli import COMMANDS
from zoo.bench_cli import bench
from zoo.cli_options import AS_JSON, BACKEND, DATA_DIR, OVERRIDES, print_json
from zoo.report import print_table, progress_console

# What a user can cause and mend: one line each. Anything else is a bug, and says so.
USER_ERRORS = (ValueError, OSError, ImportError)


class _Commands(click.Group):
    """Turns errors into one line on stderr and an exit code; ``--debug`` lets the traceback through."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _usage_on_one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_on_one_line():
                return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):  # click ends quietly
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            from zoo.run import TrainingError, TrainingInterruptedError

            if isinstance(error, TrainingInterruptedError):
                _fail(str(error), 130)
            if isinstance(error, (*USER_ERRORS, TrainingError)):
                _fail(str(error), 1)
            _fail(f"unexpected {type(error).__name__}: {error} (a bug: zoo --debug shows where)", 70)


@contextmanager
def _usage_on_one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "zoo"
        _fail(f"{error.format_message().rstrip('.')} (see {command} --help)", error.exit_code)


def _fail(message: str, code: int) -> None:
    for line in message.splitlines() or [""]:
        click.echo(f"zoo: error: {line}", err=True)
    sys.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks instead of one-line errors.")
@click.version_option(sdk.__version__, prog_name="zoo")
def cli(debug: bool) -> None:
    """Train, measure and use networks that organise themselves from local rules."""


for command in (*COMMANDS, bench):
    cli.add_command(command)


@cli.command("list")
@click.option("--family", help="Only models of this family.")
@AS_JSON
def list_command(family: str | None, as_json: bool) -> None:
    """List the recipes and the trained models, with measured accuracy, parameters and size."""
    from zoo.overview import list_rows

    rows = list_rows(family)
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


@cli.command()
@click.argument("name")
@AS_JSON
def info(name: str, as_json: bool) -> None:
    """Show the recipe and the trained model of that NAME, a recipe file or an artifact's folder."""
    from zoo.overview import describe

    facts = describe(name)
    if as_json:
        print_json(facts)
        return
    for section, lines in facts.items():
        click.secho(section, bold=True)
        for line in lines:
            click.echo(f"  {line}")


@cli.command()
@click.argument("recipe")
@OVERRIDES
@click.option("--device", help="cpu, cuda or mps (default: the best there is).")
@DATA_DIR
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the artifact (default: exports/NAME).")
@click.option("--overwrite", is_flag=True, help="Replace an artifact that is already there.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train so many times, with the recipe's seed and those after it; the first becomes the artifact.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="Folder of logs and checkpoints, of several seeds seed-N in it (default: runs/NAME-TIME).",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="RUN_DIR",
    help="Go on from the checkpoints of an earlier run; finished seeds are not trained again.",
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs to the run's folder.")
@click.option("--quiet", is_flag=True, help="No progress display.")
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
    """Train RECIPE (a shipped name or a .yaml file), test it once and write the artifact."""
    from accelerate import PartialState

    from zoo.export import check_writable, export_run
    from zoo.recipe import load_recipe
    from zoo.seeds import seed_lines, summary_line, train_seeds

    if resume and run_dir:
        raise click.UsageError("--resume names the run's folder already; leave --run-dir out")
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
    for line in (*seed_lines(results), summary_line(result)):
        click.echo(line)
    click.echo(f"artifact: {target}")
    click.echo(f"logs and checkpoint: {folder}")


@cli.command("eval")
@click.argument("model")
@BACKEND
@click.option("--device", help="For the torch backend: cpu, cuda or mps (default: cpu).")
@DATA_DIR
@AS_JSON
def eval_command(model: str, backend: str, device: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Measure MODEL (a name or an artifact's folder) on its test data, beside the recorded accuracy."""
    from zoo.overview import evaluate_artifact

    measured = evaluate_artifact(model, backend, device, data_dir)
    if as_json:
        print_json(measured)
    else:
        click.echo(
            f"{measured['name']}: test accuracy {measured['accuracy']:.2%} "
            f"({measured['correct']}/{measured['total']}), recorded {measured['recorded_correct']}"
            f"/{measured['recorded_total']}: {'the same' if measured['reproduced'] else 'DIFFERENT'}"
        )
    if not measured["reproduced"]:
        sys.exit(1)


@cli.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="How many labels to show.")
@BACKEND
@AS_JSON
def predict(model: str, inputs: tuple[str, ...], top: int, backend: str, as_json: bool) -> None:
    """Label INPUT files (images) with MODEL (a name or an artifact's folder)."""
    loaded = sdk.load(model, backend=backend)
    probabilities = loaded.predict_proba(list(inputs))
    best = {
        source: [(loaded.labels[i], float(row[i])) for i in row.argsort()[::-1][:top]]
        for source, row in zip(inputs, probabilities, strict=True)
    }
    if as_json:
        print_json({source: dict(labels) for source, labels in best.items()})
        return
    for source, labels in best.items():
        click.echo(f"{source}: {', '.join(f'{label} ({probability:.1%})' for label, probability in labels)}")


@cli.command()
@click.option("--offline", is_flag=True, help="Do not try to reach the Hub.")
@AS_JSON
def doctor(offline: bool, as_json: bool) -> None:
    """Say what this install can do, and what to do about what is missing."""
    from zoo.doctor import examine

    checks = examine(offline)
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        console = progress_console()
        for check in checks:
            mark = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[check.status]
            console.print(f"{mark} {check.what}: {escape(check.found)}", highlight=False)
            if check.remedy:
                console.print(f"     -> {escape(check.remedy)}", highlight=False)
    if any(check.status == "bad" for check in checks):
        sys.exit(1)
