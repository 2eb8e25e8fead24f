"""Figures of a CellNet's probe: accuracy by number of steps, predicted moves over training, and the cores' paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet

_PATHS_PER_CLASS, _PATH_CLASSES = 4, 3


def draw_steps(config: CellnetConfig, accuracy: list[float], others: Mapping[str, list[float]]) -> Figure:
    """Draw the model's accuracy after 1, 2, ... steps beside that of other networks by their labels."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = range(1, len(accuracy) + 1)
    axes.plot(steps, [100 * value for value in accuracy], "o-", label="this model")
    for label, values in others.items():
        axes.plot(steps, [100 * value for value in values], ".--", label=label)
    axes.axvspan(0.5, config.input_steps + 0.5, color="0.92", label="steps with input")
    axes.axvline(config.steps + 0.5, color="0.6", linestyle=":", label="end of training sequences")
    axes.set(xlabel="steps", ylabel="test accuracy, %", xticks=list(steps), xlim=(0.5, len(accuracy) + 0.5))
    axes.legend(fontsize="small")
    return figure


def draw_cosine(history: list[dict[str, Any]]) -> Figure:
    """Draw the cosines that the learner logged in training, with and without input, against the epoch."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for kind in ("with", "without"):
        key = f"train_cosine_{kind}_input"
        points = [(record["epoch"], record[key]) for record in history if key in record]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=f"steps {kind} input")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="cosine, mean over samples and steps")
    axes.legend(fontsize="small")
    return figure


def draw_paths(module: Cellnet, split: Split) -> Figure:
    """Draw the cores of some inputs over the steps of a training sequence, on two principal components."""
    cores, labels = _paths(module, split)
    steps = cores.shape[0]
    plane = PCA(2, random_state=0).fit(cores.reshape(-1, cores.shape[-1]))
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for label in sorted(set(labels.tolist()))[:_PATH_CLASSES]:
        colour = f"C{label % 10}"
        for number, sample in enumerate(np.flatnonzero(labels == label)[:_PATHS_PER_CLASS]):
            x, y = plane.transform(cores[:, sample]).T
            axes.plot(x, y, "-", color=colour, linewidth=0.8, label=f"class {label}" if number == 0 else None)
            axes.scatter(x, y, s=6 + 3 * np.arange(steps), color=colour)
    shares = [f"{share:.0%}" for share in plane.explained_variance_ratio_]
    axes.set(xlabel=f"first component ({shares[0]} of the variance)", ylabel=f"second component ({shares[1]})")
    axes.set_title(f"from the start through {steps - 1} steps; later points are larger", fontsize="medium")
    axes.legend(fontsize="small")
    return figure


def _paths(module: Cellnet, split: Split) -> tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]:
    """Cores ``[steps + 1, B, N * C]`` from the start through a training sequence, and labels ``[B]``."""
    batches = evaluation_batches(min(256, len(split)), 256)
    inputs, labels = next(iter(split.stream(batches, torch.device("cpu"))))
    with torch.inference_mode():
        trace = module(inputs, module.config.steps, trace=True)
        cores = torch.stack([module.initial_cores(len(inputs)), *trace.cores]).flatten(2)
    return cores.numpy(), labels.numpy()
