"""``zoo find-lr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.console import say, showing_progress
from zoo.cli.options import AS_JSON, DATA_DIR, OVERRIDES, print_json

if TYPE_CHECKING:
    from zoo.training.lr_finder import LrCurve


@click.command("find-lr", short_help="Suggest a learning rate for a recipe.")
@click.argument("recipe")
@OVERRIDES
@click.option("--low", type=float, default=1e-6, show_default=True, help="Lowest rate.")
@click.option("--high", type=float, default=10.0, show_default=True, help="Highest rate.")
@click.option("--steps", type=click.IntRange(min=5), default=100, show_default=True, help="Most batches to train on.")
@click.option("--device", help="cpu, cuda or mps (default: the best available).")
@DATA_DIR
@click.option("--out", type=click.Path(path_type=Path), help="Draw the losses into this PNG file.")
@AS_JSON
def find_lr(
    recipe: str,
    overrides: tuple[str, ...],
    low: float,
    high: float,
    steps: int,
    device: str | None,
    data_dir: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train RECIPE with a growing learning rate, and suggest the one at which the loss falls fastest."""
    if out is not None and (out.suffix.lower() != ".png" or not out.absolute().parent.is_dir()):
        raise click.UsageError(f"--out {out}: should be a .png file in a folder that exists")
    with showing_progress("trying learning rates", as_json):
        from zoo.recipe import load_recipe
        from zoo.training.lr_finder import find_lr as find

        curve = find(load_recipe(recipe, overrides), low, high, steps, device=device, data_dir=data_dir)
        if out is not None:
            _draw(curve, out)
    if as_json:
        print_json({"suggestion": curve.suggestion, "rates": curve.rates, "losses": curve.losses})
        return
    say(f"learning rate: {curve.suggestion:.2g} (the loss falls fastest; {len(curve.rates)} batches)")
    say(f"try: -o train.optimizer.lr={curve.suggestion:.2g}")


def _draw(curve: LrCurve, out: Path) -> None:
    from matplotlib.figure import Figure

    from zoo.utils.figures import save_png

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses)
    axes.axvline(curve.suggestion, linestyle="--", color="gray", label=f"suggestion: {curve.suggestion:.2g}")
    axes.set(xlabel="learning rate", ylabel="training loss, smoothed")
    axes.legend()
    save_png(figure, out)
