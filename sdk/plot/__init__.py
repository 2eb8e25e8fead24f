"""Pictures of the states of models, one's own or shipped.

>>> import sdk, sdk.plot
>>> model = sdk.load("gridnet-mnist", backend="torch")  # doctest: +SKIP
>>> trace = model.trace("seven.png")  # doctest: +SKIP
>>> sdk.plot.draw(trace).savefig("states.png")  # doctest: +SKIP
>>> sdk.plot.animate(trace, "states.gif", model.labels)  # doctest: +SKIP
>>> sdk.plot.pictures(model, images, "figures")  # doctest: +SKIP

``zoo probe NAME --figures`` calls :func:`pictures`. Drawing needs matplotlib, which is imported by the first call: it
comes with the extras ``plot`` and ``train``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdk.appearance import Invert
from sdk.errors import CellzooError, InputError
from sdk.families.cellnet import CellnetTrace
from sdk.families.gridnet import GridnetTrace
from sdk.families.nca import NcaTrace
from sdk.families.normnet import NormnetTrace
from sdk.families.snapshots_trace import SnapshotsTrace
from sdk.model import Model
from sdk.validation import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PlotError", "animate", "animate_blocks", "draw", "pictures"]
_TRACES = (GridnetTrace, CellnetTrace, NcaTrace, SnapshotsTrace, NormnetTrace)
_FAMILIES = ("gridnet", "cellnet", "nca", "snapshots", "normnet")


class PlotError(CellzooError):
    """A picture that cannot be drawn: matplotlib is missing, or the trace has no such picture."""


def draw(trace: Any, labels: Sequence[str] = ()) -> Figure:
    """Return a matplotlib figure of a trace, as returned by ``model.trace``: the states over the steps.

    Of a batch it shows the first input; gridnets and NormNets also show what all inputs have in common. ``labels`` are
    the names of the classes. Raises InputError for anything but a trace, and PlotError without matplotlib.
    """
    kind, batch = _kind(trace), _batched(trace)
    labels = _names(labels, batch)
    module = _drawing(kind)
    figure: Figure
    if kind == "gridnet":
        figure = module.draw_activity(batch.grids)
    elif kind == "cellnet":
        figure = module.draw_cores(batch.cores)
    elif kind == "nca":
        figure = module.draw_evolution(batch.weights)
    elif kind == "snapshots":
        figure = module.draw_answers(batch.members, batch.logits, labels)
    else:
        figure = module.draw_layers(batch.layers)
    return figure


def animate(trace: Any, path: str | PathLike[str], labels: Sequence[str] = ()) -> Path:
    """Write a trace as an endless GIF, a frame per step, and return its path.

    For gridnets, CellNets and Meta-NCAs; the states of a NormNet and of snapshots are one picture. Raises InputError
    for anything but a trace and a path that does not end in .gif, and PlotError for those two and without matplotlib.
    """
    kind, batch = _kind(trace), _batched(trace)
    if kind in ("snapshots", "normnet"):
        raise PlotError(f"animate: found a trace of {kind}, whose states are one picture; use sdk.plot.draw")
    labels = _names(labels, batch)
    module, target = _drawing(kind), _gif(path)
    if kind == "gridnet":
        module.animate_front(batch.grids, batch.logits, target, labels)
    elif kind == "cellnet":
        module.animate_cores(batch.cores, batch.logits, target, labels)
    else:
        module.animate_evolution(batch.weights, target)
    return target


def animate_blocks(
    path: str | PathLike[str], grid: Sequence[int], block: int, inner_steps: int = 1, outer_steps: int = 2
) -> Path:
    """Write how a gridnet updates its blocks beside stale shells as an endless GIF, and return its path.

    ``grid`` is M, N, K, each a multiple of ``block``. Raises InputError for a grid that cannot be cut so, for more than
    512,000 cells or 200 frames, and PlotError without matplotlib.
    """
    target = _gif(path)
    _drawing("blocks").animate_blocks(target, grid, block, inner_steps, outer_steps)
    return target


def pictures(model: Any, inputs: Any, folder: str | PathLike[str], *, invert: Invert = "auto") -> dict[str, str]:
    """Draw all pictures of a model's states for a batch of inputs or one; return captions by file name.

    ``model`` is on the torch backend, ``inputs`` and ``invert`` are as for ``model.predict``; the first input is the
    one that most pictures show. Writes PNG and GIF files into ``folder``, which is created. A Meta-NCA whose rule
    senses data has none, because the examples that its network grew from are not stored; draw
    ``model.trace(x, examples=(X, y))``. Raises InputError for anything but a model, PlotError for one of a family
    without states, and without matplotlib; LoadError on another backend.
    """
    if not isinstance(model, Model):
        raise InputError(f"model: found {describe(model)}, expected what sdk.load returns")
    if model.config.family not in _FAMILIES:
        raise PlotError(
            f"{model.name}: found a model of family {model.config.family!r}, whose states are not known; families that "
            f"have pictures: {', '.join(_FAMILIES)}"
        )
    return dict(_drawing("models").draw_all(model, inputs, Path(folder), invert, _batched))


def _kind(trace: Any) -> str:
    """Return the name of the module that draws a trace."""
    if not isinstance(trace, _TRACES):
        raise InputError(f"trace: found {describe(trace)}, expected what model.trace returns")
    return next(name for name, kind in zip(_FAMILIES, _TRACES, strict=True) if isinstance(trace, kind))


def _batched(trace: Any) -> Any:
    """Return the trace with the axis B, which that of one input lacks; raises InputError for one of no inputs."""
    if trace.logits.ndim == 3:
        if not trace.logits.shape[1]:
            raise InputError("trace: found no inputs, expected at least one")
        return trace
    if isinstance(trace, NcaTrace):
        return trace._replace(logits=trace.logits[:, None])
    if isinstance(trace, NormnetTrace):
        return NormnetTrace(tuple(layer[None] for layer in trace.layers), trace.logits[:, None])
    return type(trace)(*(np.expand_dims(part, 1) for part in trace))


def _names(labels: Sequence[str], trace: Any) -> list[str]:
    """Return the names of a trace's classes, or none; raises InputError for another number of them."""
    names, classes = list(labels), trace.logits.shape[-1]
    if names and len(names) != classes:
        raise InputError(f"labels: found {len(names)} names, expected {classes}, one for each class")
    return names


def _gif(path: str | PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise InputError(f"path: found {str(path)!r}, expected a name that ends in .gif")
    return target


def _drawing(name: str) -> Any:
    """Import a module of this package, which needs matplotlib."""
    try:
        return importlib.import_module(f"sdk.plot.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise PlotError("sdk.plot: found no matplotlib; install it with pip install 'cellzoo[plot]'") from error
