"""``zoo predict`` and ``zoo eval``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import sdk
from zoo.cli.options import AS_JSON, BACKEND, DATA_DIR, print_json


@click.command("eval", short_help="Evaluate a model on its test split.")
@click.argument("model")
@BACKEND
@click.option("--device", help="For the torch backend: cpu, cuda or mps (default: cpu).")
@DATA_DIR
@AS_JSON
def eval_command(model: str, backend: str, device: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Evaluate MODEL (a name or an artifact's folder) on its test split and compare with the recorded accuracy."""
    from zoo.artifacts.evaluate import evaluate_artifact

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


@click.command(short_help="Predict the labels of images.")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of labels to show.")
@BACKEND
@AS_JSON
def predict(model: str, inputs: tuple[str, ...], top: int, backend: str, as_json: bool) -> None:
    """Predict the labels of INPUT files (images) with MODEL (a name or an artifact's folder)."""
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
