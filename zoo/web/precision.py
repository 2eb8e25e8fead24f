"""Halves the weights that a site stores, so that a visitor downloads about half the bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from safetensors.numpy import load_file, save_file

from sdk.artifact import CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE, hash_file
from sdk.weights import METADATA
from zoo.artifacts.quantization import halve_weights
from zoo.utils.errors import ExportError


def halve_model(folder: Path) -> None:
    """Store the weights of a site's copy of a model in fp16: those of model.onnx and of model.safetensors.

    Whatever reads them computes in float32. config.json is sealed again, as the page verifies the files that it loads.
    Raises ExportError for a weight beyond fp16's largest number, 65504.
    """
    graph = halve_weights(onnx.load(str(folder / ONNX_FILE)))
    weights = folder / WEIGHTS_FILE
    if weights.is_file():
        save_file({name: _half(name, values) for name, values in load_file(weights).items()}, weights, METADATA)
        known = {entry.key: entry.value for entry in graph.metadata_props}
        helper.set_model_props(graph, {**known, "weights_sha256": hash_file(weights)})
    (folder / ONNX_FILE).write_bytes(graph.SerializeToString())
    _seal(folder)


def _half(name: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise ExportError(f"weight {name}: found {np.abs(values).max():g}, fp16 allows 65504 at most; use float32")
    return half


def _seal(folder: Path) -> None:
    """Write the sizes and hashes of the changed files to config.json."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in (ONNX_FILE, WEIGHTS_FILE):
        file = folder / name
        if name in config["files"] and file.is_file():
            config["files"][name] = {"sha256": hash_file(file), "size": file.stat().st_size}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
