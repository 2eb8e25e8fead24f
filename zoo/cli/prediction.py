"""``zoo predict`` and ``zoo eval``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import sdk
from sdk.answers import columns_of, row_of
from sdk.appearance import Invert
from sdk.echo import EchoModel
from sdk.errors import InputError
from sdk.table_files import is_table_file
from sdk.text import printable
from zoo.cli.console import say, showing_progress
from zoo.cli.echoes import check_echo_options, measure_copies, write_copy
from zoo.cli.images import predict_images
from zoo.cli.inputs import Prediction, find_files, is_image_file
from zoo.cli.options import AS_JSON, BACKEND, DATA_DIR, QUIET, print_json
from zoo.cli.results import check_results_file, writing_results
from zoo.cli.rows import predict_rows
from zoo.utils.signals import exit_code, stop_signals

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
            f"({measured['correct']}/{measured['total']}), {measured['loss_name']} {measured['loss']:.4f}, "
            f"recorded {measured['recorded_correct']}/{measured['recorded_total']}: "
            f"{'the same' if measured['reproduced'] else 'DIFFERENT'}"
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
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write a row per input to FILE, which ends with .csv, .jsonl or .parquet.",
    metavar="FILE",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing FILE of --out.")
@click.option("--recursive", is_flag=True, help="Take the files in the subfolders of folders as well.")
@click.option("--column", metavar="NAME", help="Column of the images in tables (default: image, bytes, path, ...).")
@BACKEND
@AS_JSON
@QUIET
def predict(
    model: str,
    inputs: tuple[str, ...],
    top: int,
    invert: str,
    out: Path | None,
    overwrite: bool,
    recursive: bool,
    column: str | None,
    backend: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Predict the labels of INPUT files with MODEL (a name or an artifact's folder).

    INPUT is an image, a folder of images, a pattern such as 'scans/*.png', or a CSV, JSON or Parquet file with a column
    of images. For a model of a table, it is such a file, each row of which is predicted. A file or row that cannot be
    read gets an error in its place, and the exit code is 1; with --out, it is 1 only if no input could be predicted.

    Of a model that copies its input, it prints the error of each copy; --out FILE.png writes the copy of one image.
    """
    copies = out is not None and out.suffix.lower() == ".png"  # which only a model that copies its input can write
    if out is not None and not copies:
        check_results_file(out, overwrite, inputs)
    loaded = sdk.load(model, backend=backend)
    if isinstance(loaded, EchoModel):
        sys.exit(_echo(loaded, inputs, _INVERT[invert], out, overwrite, recursive, as_json))
    if out is not None and copies:
        check_results_file(out, overwrite, inputs)
    table = loaded.input_spec.kind == "table"
    if table:
        _check_no_image_options(loaded.name, column, invert)
    wanted, what = (is_table_file, "tables") if table else (is_image_file, "images")
    files = find_files(inputs, wanted, what, recursive)
    from_tables = any(file.error is None and is_table_file(file.name) for file in files)
    if column is not None and not from_tables:
        raise InputError(f"--column {column}: found no table among the inputs; leave it out")
    with showing_progress("predicting", quiet) as progress:
        found = (
            predict_rows(loaded, files, top, progress)
            if table
            else predict_images(loaded, files, top, progress, _INVERT[invert], column)
        )
        if out is None:
            # All at once, so that the note about inverted images comes first.
            failed = _show(list(found), as_json)
        else:
            check_results_file(out, overwrite, [file.name for file in files])
            failed = _write(found, out, overwrite, table or from_tables, min(top, len(loaded.labels)), as_json)
    if failed:
        sys.exit(1)


def _check_no_image_options(name: str, column: str | None, invert: str) -> None:
    """Raise InputError for options that mean nothing to a model of a table."""
    if column is not None:
        raise InputError(f"--column: {name} takes tables and finds its columns by name; leave it out")
    if invert == "yes":
        raise InputError(f"--invert yes: {name} takes tables, and only images can be inverted; leave it out")


def _echo(
    model: EchoModel,
    inputs: Sequence[str],
    invert: Invert,
    out: Path | None,
    overwrite: bool,
    recursive: bool,
    as_json: bool,
) -> int:
    """Print the mean squared error of the copies, and write one; return the exit code."""
    check_echo_options(model, inputs, out, overwrite)
    files = find_files(inputs, is_image_file, "images", recursive)
    found = list(measure_copies(model, files, invert))
    if as_json:
        print_json(
            {name: {"error": str(e)} if isinstance(e, InputError) else {"squared_error": e} for name, e in found}
        )
    for name, error in found if not as_json else ():
        if isinstance(error, InputError):
            say(f"zoo: error: {error}", err=True)
        else:
            say(printable(f"{name}: copied with a mean squared error of {error:.4f}"))
    failed = any(isinstance(error, InputError) for _, error in found)
    if out is not None and not failed:
        write_copy(model, files[0].name, out, overwrite, invert)
        say(printable(f"{out}: the copy"), err=as_json)
    return int(failed)


def _show(found: Sequence[Prediction], as_json: bool) -> bool:
    """Print predictions; return True if there was an error."""
    answers: dict[str, Any] = {}
    for _, _, place, answer in found:
        if as_json:
            answers[place] = {"error": str(answer)} if isinstance(answer, InputError) else dict(answer)
        elif isinstance(answer, InputError):
            say(f"zoo: error: {answer}", err=True)
        else:
            labels = ", ".join(f"{label} ({probability:.1%})" for label, probability in answer)
            say(printable(f"{place}: {labels}"))
    if as_json:
        print_json(answers)
    return any(isinstance(prediction.answer, InputError) for prediction in found)


def _write(found: Iterable[Prediction], out: Path, overwrite: bool, rows: bool, top: int, as_json: bool) -> bool:
    """Write predictions to a file and print a summary; return True if there was nothing but errors."""
    predicted, errors = 0, 0
    first = ""
    columns = {"input": str, **({"row": int} if rows else {}), **columns_of(top)}
    with _without_leftovers(out), writing_results(out, columns, overwrite) as write:
        for file, row, place, answer in found:
            if isinstance(answer, InputError):
                errors, first = errors + 1, first or str(answer)
                answer = InputError(str(answer).removeprefix(f"{place}: "))
            else:
                predicted += 1
            write(file, *([row] if rows else []), *row_of(answer, top))
    if as_json:
        print_json({"out": str(out), "predicted": predicted, "errors": errors})
        return not predicted and errors > 0
    trouble = f"; {errors:,} without, see column error; the first: {first}" if errors else ""
    say(printable(f"{out}: labels of {predicted:,} of {predicted + errors:,} inputs{trouble}"))
    return not predicted and errors > 0


@contextmanager
def _without_leftovers(out: Path) -> Iterator[None]:
    """End in order, without a partial file, when a signal asks for it, and say so."""
    try:
        with stop_signals():
            yield
    except KeyboardInterrupt as stop:
        say(f"zoo: error: interrupted; {printable(str(out))} was not written", err=True)
        sys.exit(exit_code(stop))
