"""Smaller ONNX files of a trained model, in fp16 or int8, which are refused when they cost accuracy."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from sdk.artifact import ONNX_FP16_FILE, ONNX_INPUT, ONNX_INT8_FILE, ONNX_OUTPUT
from zoo.artifacts.edit import Stored, changing, open_stored
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.onnx import build_onnx
from zoo.artifacts.quantization import halve_weights, quantize_products
from zoo.artifacts.target import check_new_file, check_writable
from zoo.data.sampling import Batch, evaluation_batches
from zoo.data.split import Data, Split
from zoo.families.objective import OBJECTIVES, Objective
from zoo.utils.errors import ExportError
from zoo.utils.files import new_file
from zoo.utils.progress import Progress, no_progress

Precision = Literal["fp16", "int8"]
FILES: dict[Precision, str] = {"fp16": ONNX_FP16_FILE, "int8": ONNX_INT8_FILE}
MAX_DROP = 0.3
"""Points of validation accuracy that a smaller file may lose by default."""
_CALIBRATION = 256
_BATCH = 64
_ROUNDS = 7


@dataclass(frozen=True)
class Reduced:
    """A written file, and its measurements beside those of the float32 graph."""

    path: Path
    facts: dict[str, Any]
    """As config.json holds them: sizes, counts of correct answers, and CPU time in ms for 64 inputs on one thread."""


def export_reduced(
    name: str,
    precision: Precision,
    max_drop: float = MAX_DROP,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> Reduced:
    """Write a trained model in a smaller precision: into its artifact, whose card then shows it, or to file ``out``.

    Calibrates on training samples, and compares accuracies on the validation part. Raises ExportError, and writes
    nothing, if the accuracy falls by more than ``max_drop`` points, if the file would not be smaller than the float32
    one, or if the model has no torch module, no recipe or no ONNX form; DataError if its data is not available.
    """
    if not 0 <= max_drop <= 100:  # false for NaN, beside which no drop would be too large
        raise ExportError(f"max_drop: found {max_drop}, allowed 0 to 100 points")
    if out is not None:
        check_new_file(out, overwrite)
    stored = open_stored(name)
    if out is None:
        check_writable(stored.artifact.folder, overwrite=True)
    progress(f"loading {stored.recipe.data.name}")
    data = load_matching_data(stored.recipe.data, stored.config, data_dir)
    full = build_onnx(stored.module, stored.config)
    progress(f"converting to {precision}")
    model = halve_weights(full) if precision == "fp16" else quantize_products(full, _calibration(data.train))
    content = model.SerializeToString()
    facts = _measure(stored, precision, full.SerializeToString(), content, data, progress)
    _check_drop(stored, precision, facts, max_drop)
    if out is not None:
        try:
            with new_file(out, overwrite=overwrite) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise ExportError(f"cannot write {out}: {error.strerror or error}") from error
        return Reduced(out, facts)
    metrics = stored.config.metrics
    known = {**metrics, "precisions": {**metrics.get("precisions", {}), precision: facts}}
    with changing(stored, replace(stored.config, metrics=known)) as new:
        (new / FILES[precision]).write_bytes(content)
    return Reduced(stored.artifact.folder / FILES[precision], facts)


def _calibration(train: Split) -> NDArray[np.float32]:
    """Return prepared training samples, not augmented, at equal distances."""
    count = min(_CALIBRATION, len(train))
    indices = np.linspace(0, len(train) - 1, count).round().astype(np.int64)
    return _prepared(train, Batch(torch.from_numpy(indices)))[0]


def _measure(
    stored: Stored, precision: str, full: bytes, reduced: bytes, data: Data, progress: Progress
) -> dict[str, Any]:
    """Return sizes, correct answers and times of both graphs. Raises ExportError for a file that is not smaller."""
    if len(reduced) >= len(full):
        raise ExportError(
            f"{stored.config.name} in {precision}: found {len(reduced):,} bytes, no fewer than the {len(full):,} of "
            "float32; use model.onnx"
        )
    if not len(data.validation):
        raise ExportError(f"{stored.config.name}: found no validation samples to measure the accuracy on")
    sessions = {"full": _open(full, precision), "reduced": _open(reduced, precision)}
    facts: dict[str, Any] = {"bytes": len(reduced), "full_bytes": len(full), "calibration": 0}
    if precision == "int8":
        facts["calibration"] = min(_CALIBRATION, len(data.train))
    for part, split in (("validation", data.validation), ("test", data.test)):
        correct = _correct(
            sessions, split, OBJECTIVES[stored.config.task], f"measuring {precision} on the {part} part", progress
        )
        facts |= {f"{part}_correct": correct["reduced"], f"full_{part}_correct": correct["full"]}
        facts[f"{part}_total"] = len(split)
    return facts | _milliseconds(sessions, data.validation)


def _check_drop(stored: Stored, precision: str, facts: dict[str, Any], max_drop: float) -> None:
    total = facts["validation_total"]
    accuracy, before = (facts[key] / total for key in ("validation_correct", "full_validation_correct"))
    drop = 100 * (before - accuracy)
    if drop > max_drop:
        raise ExportError(
            f"{stored.config.name} in {precision}: found a validation accuracy of {accuracy:.2%}, {drop:.2f} points "
            f"below the {before:.2%} of float32, allowed {max_drop:g}; allow more with --max-drop"
        )


def _correct(
    sessions: dict[str, onnxruntime.InferenceSession], split: Split, objective: Objective, what: str, progress: Progress
) -> dict[str, int]:
    counts = dict.fromkeys(sessions, 0)
    for number, batch in enumerate(evaluation_batches(len(split), _BATCH)):
        progress(what, number * _BATCH, len(split))
        inputs, labels = _prepared(split, batch)
        target = objective.target(torch.from_numpy(inputs), torch.from_numpy(labels))
        for name, session in sessions.items():
            counts[name] += int(objective.right(torch.from_numpy(_run(session, inputs)), target).sum())
    return counts


def _milliseconds(sessions: dict[str, onnxruntime.InferenceSession], split: Split) -> dict[str, float]:
    """Return the least CPU time of each session for 64 samples on one thread, measured in turn."""
    inputs = _prepared(split, Batch(torch.arange(_BATCH) % len(split)))[0]
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            started = time.thread_time()
            _run(session, inputs)
            seconds[name].append(time.thread_time() - started)
    times = {name: round(1000 * min(values), 3) for name, values in seconds.items()}
    return {"milliseconds": times["reduced"], "full_milliseconds": times["full"]}


def _prepared(split: Split, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    inputs, labels = split[batch]
    return split.prepare(inputs).numpy(), labels.numpy()


def _open(content: bytes, precision: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        1  # the time of the calling thread is then all time, and other processes do not count
    )
    options.log_severity_level = 4  # the error is raised; onnxruntime would print it, too
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ExportError(f"onnxruntime cannot run the model in {precision}: {' '.join(str(error).split())}") from error


def _run(session: onnxruntime.InferenceSession, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run([ONNX_OUTPUT], {ONNX_INPUT: inputs})[0]
    return logits
