"""Draw the README's pictures from the shipped models: ``python docs/pictures/draw.py [PICTURE ...]``.

Needs the training side and MNIST (in ``ZOO_DATA``, or it is downloaded). The same models give the same pictures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

import sdk
import sdk.plot
from sdk.plot.files import save_gif, save_png
from sdk.plot.gridnet import draw_faces
from sdk.plot.style import BLUE, INK, ORANGE, SEQUENTIAL, STYLE, draw_answer
from zoo.config.data import IrisConfig, MnistConfig
from zoo.data import load_data
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split

FOLDER = Path(__file__).resolve().parent
DPI = 200  # README shows 8 inches as 800 pixels, so pictures have twice the size
ANIMATION_DPI = 150
WIDTH = 8.0  # inches
Floats = NDArray[np.floating]


# A gridnet reads digits: an animation.

DIGITS = (0, 1, 8)  # test images: a 7, a 2, and a 5 that the model takes for a 6 until the last steps
BACKGROUND = 1000  # test images whose mean activity is subtracted
BRIGHTEST = 3.0


def draw_gridnet(path: Path) -> None:
    """Animate gridnet-mnist: how each outer step carries a digit through the grid, and the answer it gives."""
    activity, answers, images = _run_gridnet()
    steps = len(activity) - 1
    frames, durations = [], []
    for digit in range(len(DIGITS)):
        for step in range(steps + 1):
            frames.append(_draw_frame(images[digit], activity[step, digit], answers[step, digit], step, steps))
            durations.append(360)
        durations[-1] = 2400
    save_gif(frames, durations, path, ANIMATION_DPI)


def _run_gridnet() -> tuple[Floats, Floats, Floats]:
    """Activity ``[steps, digits, M, N, K]``, class probabilities ``[steps, digits, 10]`` and images ``[digits, H, W]``.

    Activity is the distance of a cell's value from its mean over many images.
    """
    module = sdk.load("gridnet-mnist", backend="torch").module
    inputs, _ = _first(load_data(MnistConfig(name="mnist")).test, BACKGROUND)
    grids, chosen = [module.embed(inputs)], list(DIGITS)
    with torch.inference_mode():
        for step in range(module.config.outer_steps):
            grids.append(module.outer_step(grids[-1], step))
        activity = torch.stack([(grid - grid.mean(0))[chosen].abs() for grid in grids])
        answers = torch.stack([module.read(grid[chosen]).softmax(-1) for grid in grids])
    return activity.numpy(), answers.numpy(), inputs[chosen, 0].numpy()


def _draw_frame(image: Floats, activity: Floats, answer: Floats, step: int, steps: int) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.45))
    picture = figure.add_axes((0.012, 0.315, 0.125, 0.408))
    picture.imshow(image, cmap="gray_r", interpolation="nearest")
    picture.set(xticks=[], yticks=[])
    picture.spines[:].set_visible(True)
    picture.set_title("image", pad=5)
    faces = figure.add_axes((0.15, 0.17, 0.675, 0.7))
    drawn = draw_faces(faces, activity, range(activity.shape[-1]), Normalize(0, BRIGHTEST), SEQUENTIAL)
    scale = figure.colorbar(drawn, cax=figure.add_axes((0.58, 0.075, 0.2, 0.035)), orientation="horizontal")
    scale.set_ticks([0, BRIGHTEST], labels=["0", f"{BRIGHTEST:g}"], fontsize=7)
    scale.ax.tick_params(length=0, pad=2)
    scale.outline.set_visible(False)
    figure.text(0.57, 0.0925, "distance of a cell's value from its mean over 1,000 digits", ha="right", va="center",
                fontsize=7)  # fmt: skip
    bars = figure.add_axes((0.86, 0.17, 0.105, 0.645))
    draw_answer(bars, answer, (), range(10), final=step == steps)
    figure.text(0.4875, 0.94, f"outer step {step} of {steps}", ha="center", va="center", fontsize=11, weight="bold")
    return figure


# A gridnet's blocks: an animation without a model.


def draw_blocks(path: Path) -> None:
    """Animate two outer steps of three inner steps each on a grid of 8 x 8 x 16 cells in blocks of 4."""
    sdk.plot.animate_blocks(path, (8, 8, 16), 4, inner_steps=3, outer_steps=2)


# Networks that grow: some states on top, the accuracy over time below.

EPOCHS = (0, 3, 5, 8, 20)  # of Meta-NCA's evolution
WIDEST = 1.2  # a weight of this size or more gets the widest line


def draw_meta_nca(path: Path) -> None:
    """Draw the task network that nca-iris-deep's rule grows, and its test accuracy after every epoch of the rule."""
    module = sdk.load("nca-iris-deep", backend="torch").module
    history = module.grow_one(None, None, module.architecture()).history
    inputs, labels = load_data(IrisConfig(name="iris")).test.everything()
    accuracy = [float((_logits(weights, inputs).argmax(1) == labels).float().mean()) for weights in history]
    figure, states, strip = _growth_figure(len(EPOCHS))
    for axes, epoch in zip(states, EPOCHS, strict=True):
        _draw_network(axes, [weight.numpy() for weight in history[epoch]])
        axes.set_title(f"epoch {epoch}", pad=4)
    handles = [Line2D([], [], color=color, linewidth=2) for color in (ORANGE, BLUE)]
    figure.legend(
        handles,
        ["above zero", "below zero"],
        title="weights",
        title_fontsize=7,
        fontsize=7,
        loc="center left",
        bbox_to_anchor=(0.855, 0.69),
        alignment="left",
        handlelength=1.4,
        frameon=False,
    )
    _draw_curve(strip, list(range(len(accuracy))), accuracy, EPOCHS)
    strip.set(xlabel="epochs of the rule", xlim=(-0.4, len(accuracy) - 0.6), xticks=range(0, len(accuracy), 2))
    strip.set_title("accuracy on 30 test flowers", loc="left", pad=6)
    save_png(figure, path, DPI)


def _logits(weights: Sequence[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Answers of a task network without biases: inputs ``[B, features]`` -> ``[B, classes]``."""
    for weight in weights[:-1]:
        inputs = (inputs @ weight).relu()
    return inputs @ weights[-1]


def _draw_network(axes: Axes, weights: Sequence[Floats]) -> None:
    """A layered network from left to right; the larger a weight ``[inputs, outputs]``, the stronger its line."""
    places = [np.linspace(0, 1, units + 2)[1:-1] for units in (len(weights[0]), *(w.shape[1] for w in weights))]
    for layer, ((left, right), weight) in enumerate(zip(pairwise(places), weights, strict=True)):
        values = weight.ravel()
        sizes = np.clip(np.abs(values) / WIDEST, 0, 1)
        order = sizes.argsort()  # the largest on top
        lines = np.array([[(layer, y), (layer + 1, z)] for y in left for z in right])
        colors = [to_rgba(ORANGE if values[i] > 0 else BLUE, sizes[i]) for i in order]
        axes.add_collection(LineCollection(lines[order], colors=colors, linewidths=2 * sizes[order]))
    for layer, heights in enumerate(places):
        axes.plot([layer] * len(heights), heights, "o", color=INK, markersize=2.4, zorder=3)
    axes.set(xlim=(-0.1, len(weights) + 0.1), ylim=(0, 1))
    axes.axis("off")


EDGES = (24, 353, 1642, 8188, 11737)  # of snapshots-mnist: the start, the first growth, the end of each phase


def draw_snapshots(path: Path) -> None:
    """Draw where in the image snapshots-mnist's edges start as it grows, and its validation accuracy."""
    model = sdk.load("snapshots-mnist", backend="torch")
    source, _, _ = model.module.laid()
    records = json.loads((Path(model.origin) / "history.json").read_text(encoding="utf-8"))
    epochs = [round(record["epoch"]) for record in records]
    last = [max(i for i, record in enumerate(records) if record["train_edges"] == edges) for edges in EDGES]
    maps = [np.bincount(source[:edges][source[:edges] < 784], minlength=784).reshape(28, 28) for edges in EDGES]
    colors = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad="#eef1f4")
    figure, states, strip = _growth_figure(len(EDGES))
    for axes, edges, pixels in zip(states, EDGES, maps, strict=True):
        drawn = axes.imshow(np.ma.masked_equal(pixels, 0), cmap=colors, norm=LogNorm(1, 45), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{edges:,} edges", pad=4)
    scale = figure.colorbar(drawn, cax=figure.add_axes((0.87, 0.49, 0.012, 0.43)))
    scale.set_ticks([1, 3, 10, 30], labels=["1", "3", "10", "30"], minor=False)
    scale.ax.tick_params(which="both", length=0, labelsize=7)
    scale.outline.set_visible(False)
    scale.set_label("edges per pixel", fontsize=7)
    accuracy = [record["validation_accuracy"] for record in records]
    _draw_curve(strip, epochs, accuracy, [epochs[i] for i in last])
    strip.set(xlabel="epochs of training", xlim=(-4, 204))
    strip.set_title("accuracy on 5,000 validation digits", loc="left", pad=6)
    save_png(figure, path, DPI)


def _growth_figure(states: int) -> tuple[Figure, list[Axes], Axes]:
    """A figure with room for so many states in a row, a legend beside them, and a curve below."""
    figure = Figure(figsize=(WIDTH, 2.9))
    left, width = 0.06, 0.79 / states
    row = [figure.add_axes((left + i * width, 0.49, 0.93 * width, 0.43)) for i in range(states)]
    return figure, row, figure.add_axes((left, 0.15, 0.915, 0.2))


def _draw_curve(axes: Axes, times: Sequence[int], accuracy: Sequence[float], shown: Sequence[int]) -> None:
    """The accuracy over time, with dots at the states above."""
    axes.plot(times, accuracy, color=BLUE, linewidth=1.4, zorder=2)
    for time in shown:
        value = accuracy[list(times).index(time)]
        axes.plot(time, value, "o", color=BLUE, markersize=4)
        place, side = ((6, -2), "left") if value < 0.3 else ((0, -11), "center")
        axes.annotate(f"{value:.0%}", (time, value), place, textcoords="offset points", ha=side, fontsize=7)
    axes.set(ylim=(0, 1.08))
    axes.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.tick_params(length=2, labelsize=7)


# Files.


def _first(split: Split, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first prepared inputs and labels of a split."""
    return next(split.stream(evaluation_batches(count, count), torch.device("cpu")))


PICTURES: dict[str, Callable[[Path], None]] = {
    "gridnet.gif": draw_gridnet,
    "blocks.gif": draw_blocks,
    "meta-nca.png": draw_meta_nca,
    "snapshots.png": draw_snapshots,
}


def main(names: Sequence[str]) -> None:
    """Draw the named pictures, or all of them."""
    for name in names or PICTURES:
        with matplotlib.rc_context(STYLE):
            PICTURES[name](FOLDER / name)
        print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
