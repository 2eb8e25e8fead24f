"""``zoo export``, ``zoo probe`` and ``zoo card``: commands on existing artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdk.places import models_folder
from zoo.cli.console import note, print_table, say, showing_progress
from zoo.cli.options import AS_JSON, DATA_DIR, QUIET, print_json

if TYPE_CHECKING:
    from zoo.artifacts.precision import Precision


@click.command(short_help="Export a model to ONNX or torch, or a finished run as a model.")
@click.argument("model", required=False)
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="RUN_DIR",
    help="Write the model of a finished run, without training, to --out (default: your own models).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "torch"]),
    default="onnx",
    show_default=True,
    help="File format: ONNX, or a torch.export program (with --out).",
)
@click.option(
    "--precision",
    type=click.Choice(["fp16", "int8"]),
    help="Write a smaller file: weights in fp16, or products in int8 and other weights in fp16.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0, max=100),
    metavar="POINTS",
    help="Points of validation accuracy that --precision may cost (default: 0.3).",
)
@click.option("--preprocessing", is_flag=True, help="Take raw inputs and give probabilities (with --out).")
@click.option("--out", type=click.Path(path_type=Path), help="Write a separate file (default: into the artifact).")
@click.option("--overwrite", is_flag=True, help="Replace an existing file at --out.")
@click.option("--member", metavar="NAME", help="Export one network of an ensemble, such as coarse (with --out).")
@DATA_DIR
@QUIET
def export(
    model: str | None,
    run_dir: Path | None,
    form: str,
    precision: Precision | None,
    max_drop: float | None,
    preprocessing: bool,
    out: Path | None,
    overwrite: bool,
    member: str | None,
    data_dir: Path | None,
    quiet: bool,
) -> None:
    """Export MODEL (a name or an artifact's folder), checked against its module, into its artifact or to a file.

    With --run, write the model of a finished run, whose export failed or whose model was deleted.
    """
    if max_drop is not None and precision is None:
        raise click.UsageError("--max-drop is for --precision")
    if form == "torch" and (precision is not None or preprocessing or member is not None or run_dir is not None):
        raise click.UsageError("--format torch takes --out and --overwrite only")
    if precision is not None and (preprocessing or member is not None):
        raise click.UsageError("--precision takes neither --preprocessing nor --member")
    if run_dir is not None:
        if model is not None or preprocessing or member is not None or precision is not None:
            raise click.UsageError("--run RUN_DIR takes --out, --overwrite and --data-dir, and no MODEL")
        _export_run(run_dir, out, overwrite, data_dir, quiet)
        return
    if model is None:
        raise click.UsageError("Missing argument 'MODEL', or --run RUN_DIR")
    if form == "torch":
        _export_program(model, out, overwrite, quiet)
        return
    if precision is not None:
        _export_reduced(model, precision, max_drop, out, overwrite, data_dir, quiet)
        return
    if out is None and preprocessing:
        raise click.UsageError("the artifact's model.onnx takes prepared inputs; give --out FILE for --preprocessing")
    if out is None and member is not None:
        raise click.UsageError("the artifact's model.onnx holds the whole model; give --out FILE for --member")
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.reexport import add_onnx, export_file

        if out is None:
            exported = add_onnx(model, data_dir, progress)
        else:
            exported = export_file(
                model,
                out,
                member=member,
                preprocessing=preprocessing,
                overwrite=overwrite,
                data_dir=data_dir,
                progress=progress,
            )
    if exported.uncompared:
        note(f"not compared with torch on the test split: {exported.uncompared}")
    say(f"{form}: {exported.path} ({exported.path.stat().st_size:,} bytes)")


def _export_program(model: str, out: Path | None, overwrite: bool, quiet: bool) -> None:
    """Write a torch.export program."""
    if out is None:
        raise click.UsageError("the artifact's torch form is its weights; give --out FILE for --format torch")
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.torch_program import export_program

        path = export_program(model, out, overwrite=overwrite, progress=progress)
    say(f"torch: {path} ({path.stat().st_size:,} bytes)")


def _export_reduced(
    model: str,
    precision: Precision,
    max_drop: float | None,
    out: Path | None,
    overwrite: bool,
    data_dir: Path | None,
    quiet: bool,
) -> None:
    """Write a smaller file, and say what it saves and costs."""
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.precision import MAX_DROP, export_reduced

        drop = MAX_DROP if max_drop is None else max_drop
        reduced = export_reduced(model, precision, drop, out, overwrite=overwrite, data_dir=data_dir, progress=progress)
    facts = reduced.facts
    total = facts["validation_total"]
    say(f"{precision}: {reduced.path} ({facts['bytes']:,} bytes, float32 {facts['full_bytes']:,})")
    say(
        f"validation accuracy {facts['validation_correct'] / total:.2%}, "
        f"float32 {facts['full_validation_correct'] / total:.2%}"
    )
    say(f"64 inputs: {facts['milliseconds']:.3g} ms, float32 {facts['full_milliseconds']:.3g} ms")


def _export_run(run_dir: Path, out: Path | None, overwrite: bool, data_dir: Path | None, quiet: bool) -> None:
    """Write the model of a finished run."""
    with showing_progress(f"loading {run_dir}", quiet) as progress:
        from zoo.artifacts.from_run import export_run
        from zoo.artifacts.target import check_writable
        from zoo.training.multi_seed import load_finished
        from zoo.training.resume import recipe_of_run

        target = check_writable(out or models_folder() / recipe_of_run(run_dir).name, overwrite)
        result, results = load_finished(run_dir, data_dir=data_dir)
        progress("writing the model")
        export_run(result, target, overwrite=overwrite, seeds=results)
    say(f"artifact: {target}")


@click.command(short_help="Run a family's probe, or the robustness suite, on a model.")
@click.argument("model")
@click.option(
    "--suite",
    type=click.Choice(["robustness"]),
    help="Run the probes that are the same for all families, instead of the family's own.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --suite: add the findings to a file of results, which zoo compare reads.",
)
@click.option("--figures", is_flag=True, help="Draw the states step by step into the card, and measure nothing.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="With --figures: write the pictures to a new folder; the model stays as it is.",
)
@click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="With --figures: show this input instead of validation samples (repeat for several).",
)
@DATA_DIR
@AS_JSON
@QUIET
def probe(
    model: str,
    suite: str | None,
    results: Path | None,
    figures: bool,
    out: Path | None,
    inputs: tuple[Path, ...],
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the family's probe on MODEL (a name or an artifact's folder) and add figures and findings to its card.

    With --figures, only draw its states step by step: stills and animations. With --suite robustness, measure corrupted
    images, damaged, pruned and quantised weights, calibration, early answers, forgetting and few-shot transfer; the
    model stays as it is.
    """
    if figures:
        if suite is not None or results is not None:
            raise click.UsageError("--figures takes --out, --input and --data-dir; run --suite on its own")
        _draw_figures(model, out, inputs, data_dir, as_json, quiet)
        return
    if out is not None or inputs:
        raise click.UsageError(f"{'--out' if out is not None else '--input'} is for --figures")
    if suite is not None:
        _run_suite(model, results, data_dir, as_json, quiet)
        return
    if results is not None:
        raise click.UsageError("--results is for --suite; a family's own findings go into the model's artifact")
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.probe import probe_model

        folder, findings = probe_model(model, data_dir, progress)
    if as_json:
        print_json(findings.metrics)
        return
    say(findings.text.strip())
    for path in (*(f"figures/{name}" for name in findings.figures), "probe.md", "README.md"):
        say(f"written: {folder / path}")


def _draw_figures(
    model: str, out: Path | None, inputs: tuple[Path, ...], data_dir: Path | None, as_json: bool, quiet: bool
) -> None:
    """Draw the states of a model, and name the files."""
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.artifacts.pictures import draw_pictures

        folder, captions = draw_pictures(model, out, inputs, data_dir, progress)
    if as_json:
        print_json(captions)
        return
    for name, caption in captions.items():
        say(f"written: {folder / name}: {caption}")


def _run_suite(model: str, results: Path | None, data_dir: Path | None, as_json: bool, quiet: bool) -> None:
    """Run the robustness suite, print its findings, and store them if asked."""
    with showing_progress(f"loading {model}", quiet) as progress:
        from zoo.compare.record import read_results, write_results
        from zoo.compare.robustness.suite import run_suite
        from zoo.compare.robustness.summary import rows

        stored = read_results(results) if results is not None else None
        name, findings = run_suite(model, data_dir, progress=progress)
        if stored is not None and results is not None:
            stored.robustness[name] = findings
            write_results(stored, results)
    if as_json:
        print_json({name: findings})
        return
    print_table(rows({name: findings}))
    if results is not None:
        say(f"written: {results}")


@click.command(short_help="Render a model's card again.")
@click.argument("model")
@click.option("--example", is_flag=True, help="Also record again what the training images look like, with a picture.")
@DATA_DIR
@QUIET
def card(model: str, example: bool, data_dir: Path | None, quiet: bool) -> None:
    """Render the model card of MODEL (a name or an artifact's folder) again; notes between its markers stay."""
    with showing_progress(f"rendering the card of {model}", quiet):
        from zoo.artifacts.edit import refresh_example, render_card

        path = refresh_example(model, data_dir) if example else render_card(model)
    say(f"card: {path}")
