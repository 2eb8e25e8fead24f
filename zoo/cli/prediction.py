"""``zoo predict`` and ``zoo eval``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

import sdk
from sdk.appearance import Invert
from sdk.errors import InputError
from sdk.text import printable
from zoo.cli.console import say, showing_progress
from zoo.cli.inputs import find_inputs, predict_files
from zoo.cli.options import AS_JSON, BACKEND, DATA_DIR, QUIET, print_json
from zoo.cli.rows import find_tables, predict_rows

_INVERT: dict[str, Invert] = {"auto": "auto", "yes": True, "no": False}


@click.command("eval", short_help="Evaluate a model on its test split.")
@click.argument("model")
@BACKEND
@click.option("--device", help="For the torch backend: cpu, cuda or mps (default: cpu).")
@DATA_DIR
@AS_JSON
@QUIET
def eval_command(
    model: str, backend: str, device: str | None, data_dir: Path | None, as_json: bool, quiet: bool
) -> None:
    """Evaluate MODEL (a name or an artifact's folder) on its test split and compare with the recorded accuracy."""
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.evaluate import evaluate_artifact

        measured = evaluate_artifact(model, backend, device, data_dir, progress)
    if as_json:
        print_json(measured)
    else:
        say(
            f"{measured['name']}: test accuracy {measured['accuracy']:.2%} "
            f"({measured['correct']}/{measured['total']}), recorded {measured['recorded_correct']}"
            f"/{measured['recorded_total']}: {'the same' if measured['reproduced'] else 'DIFFERENT'}"
        )
    if not measured["reproduced"]:
        sys.exit(1)


@click.command(short_help="Predict the labels of images, or of the rows of tables.")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of labels to show.")
@click.option(
    "--invert",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Invert images; auto: those that look the opposite way to the training images.",
)
@BACKEND
@AS_JSON
@QUIET
def predict(
    model: str, inputs: tuple[str, ...], top: int, invert: str, backend: str, as_json: bool, quiet: bool
) -> None:
    """Predict the labels of INPUT files with MODEL (a name or an artifact's folder).

    INPUT is an image, a folder of images or a pattern such as 'scans/*.png'. For a model of a table, it is a CSV, JSON
    or Parquet file, each row of which is predicted. A file or row that cannot be read gets an error in its place, and
    the exit code is 1.
    """
    loaded = sdk.load(model, backend=backend)
    table = loaded.input_spec.kind == "table"
    failed = False
    answers: dict[str, Any] = {}
    with showing_progress("predicting", quiet) as progress:
        found: Iterable[tuple[str, Any]] = (
            predict_rows(loaded, find_tables(inputs), top, progress)
            if table
            else predict_files(loaded, find_inputs(inputs), top, progress, _INVERT[invert])
        )
        for place, row in found:
            failed = failed or isinstance(row, InputError)
            if as_json:
                answers[place] = {"error": str(row)} if isinstance(row, InputError) else dict(row)
            elif isinstance(row, InputError):
                say(f"zoo: error: {row}", err=True)
            else:
                labels = ", ".join(f"{label} ({probability:.1%})" for label, probability in row)
                say(printable(f"{place}: {labels}"))
    if as_json:
        print_json(answers)
    if failed:
        sys.exit(1)
