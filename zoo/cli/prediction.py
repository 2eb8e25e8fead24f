"""``zoo predict`` and ``zoo eval``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import sdk
from sdk.appearance import Invert
from sdk.errors import InputError
from sdk.text import printable
from zoo.cli.console import say, showing_progress
from zoo.cli.inputs import find_inputs, predict_files
from zoo.cli.options import AS_JSON, BACKEND, DATA_DIR, QUIET, print_json

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


@click.command(short_help="Predict the labels of images.")
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

    INPUT is an image, a folder of images or a pattern such as 'scans/*.png'. A file that cannot be read gets an error
    in its place, and the exit code is 1.
    """
    loaded = sdk.load(model, backend=backend)
    if loaded.input_spec.kind != "image":
        raise InputError(
            f"{loaded.name} takes {loaded.input_spec.shape[0]} numbers, and `zoo predict` images; in Python: "
            f"sdk.load({model!r}).predict([...])"
        )
    files = find_inputs(inputs)
    with showing_progress("predicting", quiet) as progress:
        found = predict_files(loaded, files, top, progress, _INVERT[invert])
    if as_json:
        print_json({file: {"error": str(row)} if isinstance(row, InputError) else dict(row) for file, row in found})
    else:
        for file, row in found:
            if isinstance(row, InputError):
                say(f"zoo: error: {row}", err=True)
            else:
                answers = ", ".join(f"{label} ({probability:.1%})" for label, probability in row)
                say(printable(f"{file}: {answers}"))
    if any(isinstance(row, InputError) for _, row in found):
        sys.exit(1)
