"""All pictures of a model's states, for :func:`sdk.plot.pictures`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sdk.appearance import Invert
from sdk.artifact import HISTORY_FILE
from sdk.json_text import parse_json
from sdk.plot import blocks, cellnet, gridnet, nca, normnet, snapshots
from sdk.plot.files import save_png

_BLOCK_STEPS = 3  # outer steps of the animation of blocks, at most
_BLOCK_CELLS = 40_000  # of a grid whose blocks are animated, at most


class Trace(Protocol):
    """Traces the model on the inputs that the pictures show."""

    def __call__(self, **options: Any) -> Any: ...


def draw_all(model: Any, inputs: Any, folder: Path, invert: Invert) -> dict[str, str]:
    """Draw the pictures of the model's family into ``folder``; return captions by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = {
        "gridnet": _gridnet, "cellnet": _cellnet, "nca": _nca, "snapshots": _snapshots, "normnet": _normnet
    }[model.config.family]  # fmt: skip

    def trace(**options: Any) -> Any:
        return model.trace(inputs, batch=True, invert=invert, **options)

    captions: dict[str, str] = draw(model, trace, folder)
    return captions


def _gridnet(model: Any, trace_of: Trace, folder: Path) -> dict[str, str]:
    trace, config = trace_of(), model.module.config
    save_png(gridnet.draw_activity(trace.grids), folder / "activity.png")
    gridnet.animate_front(trace.grids, trace.logits, folder / "front.gif", model.labels)
    faces = config.faces(model.input_spec.shape[0])
    captions = {"front.gif": gridnet.front_caption(*faces), "activity.png": gridnet.activity_caption(*faces)}
    if config.inner_steps > 1 and np.prod(config.grid) <= _BLOCK_CELLS:
        steps = min(config.outer_steps, _BLOCK_STEPS)
        blocks.animate_blocks(folder / "blocks.gif", config.grid, config.block, config.inner_steps, steps)
        captions["blocks.gif"] = blocks.CAPTION
    return captions


def _cellnet(model: Any, trace_of: Trace, folder: Path) -> dict[str, str]:
    config = model.module.config
    trace = trace_of(steps=config.steps)
    cellnet.animate_cores(trace.cores, trace.logits, folder / "cores.gif", model.labels, config.input_steps)
    save_png(cellnet.draw_cores(trace.cores), folder / "cores.png")
    return {"cores.gif": cellnet.ANIMATION_CAPTION, "cores.png": cellnet.CORES_CAPTION}


def _nca(model: Any, trace_of: Trace, folder: Path) -> dict[str, str]:
    if model.config.model["rule"]["senses"] != "none":
        return {}
    trace = trace_of()
    nca.animate_evolution(trace.weights, folder / "evolution.gif")
    return {"evolution.gif": nca.EVOLUTION_CAPTION}


def _snapshots(model: Any, trace_of: Trace, folder: Path) -> dict[str, str]:
    trace = trace_of()
    save_png(snapshots.draw_answers(trace.members, trace.logits, model.labels), folder / "answers.png")
    snapshots.animate_growth(growth_of(model), folder / "growth.gif")
    return {"growth.gif": snapshots.GROWTH_CAPTION, "answers.png": snapshots.ANSWERS_CAPTION}


def _normnet(model: Any, trace_of: Trace, folder: Path) -> dict[str, str]:
    save_png(normnet.draw_layers(trace_of().layers), folder / "layers.png")
    return {"layers.png": normnet.LAYERS_CAPTION}


def growth_of(model: Any) -> snapshots.Growth:
    """Return the growth of a snapshots model: where its edges start after each event, and its record of training."""
    module, shape = model.module, model.input_spec.shape
    source = module.laid()[0].cpu().numpy()
    moments = [(0, module.started), *((epoch, edges) for epoch, _, edges in module.growth)]
    pixels = int(np.prod(shape))
    maps = []
    for _, edges in moments:
        units = source[:edges]
        counts = np.bincount(units[units < pixels], minlength=pixels)
        maps.append(counts.reshape(shape).sum(0) if len(shape) == 3 else counts[None])
    phases = model.config.model["phases"]
    names = [next((p["name"] for p in phases if epoch < p["until"]), phases[-1]["name"]) for epoch, _ in moments]
    history = _history(model)
    return snapshots.Growth(
        epochs=[epoch for epoch, _ in moments],
        edges=[edges for _, edges in moments],
        maps=maps,
        phases=names,
        trained=[round(record["epoch"]) for record in history],
        accuracies=[record["validation_accuracy"] for record in history],
    )


def _history(model: Any) -> list[dict[str, Any]]:
    """Return the records of the rounds of training that measured; none for a model that did not record them."""
    file = Path(model.origin or "") / HISTORY_FILE
    if HISTORY_FILE not in model.config.files or not file.is_file():
        return []
    records = parse_json(file.read_bytes())
    return [record for record in records if record.get("validation_accuracy") is not None]
