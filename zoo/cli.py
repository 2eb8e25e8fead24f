"""The command line: parses, calls, prints. What the commands do is in the modules they call."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

import sdk
from zoo.bench_cli import bench
from zoo.report import print_table, progress_console

# What a user can cause and mend: one line each. Anything else is a bug, and says so.
USER_ERRORS = (ValueError, OSError, ImportError)


class _Commands(click.Group):
    """Turns errors into one line on stderr and an exit code; ``--debug`` lets the traceback through."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
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


def _fail(message: str, code: int) -> None:
    for line in message.splitlines() or [""]:
        click.echo(f"zoo: error: {line}", err=True)
    sys.exit(code)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder that holds the data sets (default: $ZOO_DATA, else the user's cache).",
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks instead of one-line errors.")
@click.version_option(sdk.__version__, prog_name="zoo")
def cli(debug: bool) -> None:
    """Train, measure and use networks that organise themselves from local rules."""


cli.add_command(bench)


@cli.command("list")
@click.option("--family", help="Only models of this family.")
@_JSON
def list_command(family: str | None, as_json: bool) -> None:
    """List the recipes and the trained models, with measured accuracy, parameters and size."""
    from zoo.overview import list_rows

    rows = list_rows(family)
    if as_json:
        _print_json(rows)
    else:
        print_table(rows)


@cli.command()
@click.argument("name")
@_JSON
def info(name: str, as_json: bool) -> None:
    """Show a recipe and, where there is one, the trained model of that NAME (or folder)."""
    from zoo.overview import describe

    facts = describe(name)
    if as_json:
        _print_json(facts)
        return
    for section, lines in facts.items():
        click.secho(section, bold=True)
        for line in lines:
            click.echo(f"  {line}")


@cli.command()
@click.argument("recipe")
@click.option(
    "-o",
    "--override",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a recipe key, such as train.epochs=5 (repeatable).",
)
@click.option("--device", help="cpu, cuda or mps (default: the best there is).")
@_DATA_DIR
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


@cli.command()
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="What to write.")
@click.option("--preprocessing", is_flag=True, help="Raw inputs in, probabilities out (with --out).")
@click.option("--out", type=click.Path(path_type=Path), help="A file of its own (default: into the artifact).")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out if it is there.")
@click.option("--member", metavar="NAME", help="One network of an ensemble alone, such as coarse (with --out).")
@_DATA_DIR
def export(
    model: str,
    form: str,
    preprocessing: bool,
    out: Path | None,
    overwrite: bool,
    member: str | None,
    data_dir: Path | None,
) -> None:
    """Write MODEL (a name or an artifact's folder) as ONNX, checked against torch, into its artifact or to a file."""
    from zoo.reexport import add_onnx, export_file

    if out is None and preprocessing:
        raise click.UsageError("an artifact's file takes prepared inputs; give --out FILE for --preprocessing")
    if out is None and member is not None:
        raise click.UsageError("an artifact's file holds the whole model; give --out FILE for --member")
    if out is None:
        exported = add_onnx(model, data_dir)
    else:
        exported = export_file(model, out, preprocessing, overwrite, data_dir, member)
    if exported.uncompared:
        click.echo(f"zoo: note: not compared with torch on the test set: {exported.uncompared}", err=True)
    click.echo(f"{form}: {exported.path} ({exported.path.stat().st_size:,} bytes)")


@cli.command()
@click.argument("model")
@_DATA_DIR
@_JSON
def probe(model: str, data_dir: Path | None, as_json: bool) -> None:
    """Look inside MODEL (a name or an artifact's folder) as its family does; figures and findings go to its card."""
    from zoo.probe import probe_model

    folder, findings = probe_model(model, data_dir)
    if as_json:
        _print_json(findings.metrics)
        return
    click.echo(findings.text.strip())
    for path in (*(f"figures/{name}" for name in findings.figures), "probe.md", "README.md"):
        click.echo(f"written: {folder / path}")


@cli.command()
@click.argument("model")
def card(model: str) -> None:
    """Render the model card of MODEL (a name or an artifact's folder) anew; notes between its markers stay."""
    from zoo.stored import render_card

    click.echo(f"card: {render_card(model)}")


@cli.command("eval")
@click.argument("model")
@click.option("--backend", default="auto", show_default=True, help="What runs the model.")
@click.option("--device", help="For the torch backend: cpu, cuda or mps (default: cpu).")
@_DATA_DIR
@_JSON
def eval_command(model: str, backend: str, device: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Measure MODEL (a name or an artifact's folder) on its test data, beside the recorded accuracy."""
    from zoo.overview import evaluate_artifact

    measured = evaluate_artifact(model, backend, device, data_dir)
    if as_json:
        _print_json(measured)
    else:
        click.echo(
            f"{measured['name']}: test accuracy {measured['accuracy']:.2%} "
            f"({measured['correct']}/{measured['total']}), recorded {measured['recorded_correct']}"
            f"/{measured['recorded_total']}: {'the same' if measured['reproduced'] else 'DIFFERENT'}"
        )
    if not measured["reproduced"]:
        sys.exit(1)


@cli.command()
@click.argument("name")
@click.option("--repo-id", required=True, metavar="USER/NAME", help="The repo on the Hub; made if it is not there.")
@click.option("--private", is_flag=True, help="Make the new repo private.")
@click.option("--revision", default="main", show_default=True, help="Branch to push to; made if it is not there.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of changing the branch.")
@click.option("--message", help="The commit's message.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done; write nothing.")
def push(
    name: str, repo_id: str, private: bool, revision: str, create_pr: bool, message: str | None, dry_run: bool
) -> None:
    """Check the trained model NAME (or an artifact's folder) and upload it to the Hub as one commit."""
    from sdk.catalogue import find_model
    from zoo.hub import push_artifact

    folder = find_model(name)
    done = push_artifact(
        folder, repo_id, private=private, revision=revision, create_pr=create_pr, message=message, dry_run=dry_run
    )
    for line in done.report():
        click.echo(line)


@cli.command()
@click.argument("model", metavar="USER/NAME[@REVISION]")
@click.option("--backend", default="auto", show_default=True, help="The backend whose files are wanted.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all files to this new folder.")
def pull(model: str, backend: str, out: Path | None) -> None:
    """Download a model from the Hub into the cache, verify it, and say which commit it is."""
    from zoo.pull import pull_artifact

    pulled = pull_artifact(model, backend, out)
    click.echo(f"model: {pulled.origin}")
    click.echo(f"files: {', '.join(sorted(pulled.verified))}")
    click.echo(f"folder: {out or pulled.folder}")


@cli.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="How many labels to show.")
@click.option("--backend", default="auto", show_default=True, help="What runs the model.")
@_JSON
def predict(model: str, inputs: tuple[str, ...], top: int, backend: str, as_json: bool) -> None:
    """Label INPUT files (images) with MODEL (a name or an artifact's folder)."""
    loaded = sdk.load(model, backend=backend)
    probabilities = loaded.predict_proba(list(inputs))
    best = {
        source: [(loaded.labels[i], float(row[i])) for i in row.argsort()[::-1][:top]]
        for source, row in zip(inputs, probabilities, strict=True)
    }
    if as_json:
        _print_json({source: dict(labels) for source, labels in best.items()})
        return
    for source, labels in best.items():
        click.echo(f"{source}: {', '.join(f'{label} ({probability:.1%})' for label, probability in labels)}")


@cli.command()
@click.option("--offline", is_flag=True, help="Do not try to reach the Hub.")
@_JSON
def doctor(offline: bool, as_json: bool) -> None:
    """Say what this install can do, and what to do about what is missing."""
    from zoo.doctor import examine

    checks = examine(offline)
    if as_json:
        _print_json([check._asdict() for check in checks])
    else:
        console = progress_console()
        for check in checks:
            mark = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[check.status]
            console.print(f"{mark} {check.what}: {escape(check.found)}", highlight=False)
            if check.remedy:
                console.print(f"     -> {escape(check.remedy)}", highlight=False)
    if any(check.status == "bad" for check in checks):
        sys.exit(1)
