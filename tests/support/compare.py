"""Records of a comparison, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.compare.record import Record, pack


def record(name: str, hits: list[bool] | np.ndarray, **options: Any) -> Record:
    """Return the record of a model on samples that it answers correctly or not."""
    right = np.asarray(hits, bool)
    facts: dict[str, Any] = {
        "family": "mlp", "baseline": True, "data": "digits", "test_hash": "same", "model_hash": "0",
        "seeds": 1, "accuracy_mean": None, "accuracy_std": None, "parameters": 1000, "edges": 900,
        "multiply_adds": 950, "samples": 5000, "cpu_seconds": 1.5, "wall_seconds": 2.0, "backend": "onnx",
        "latency_ms": {"1": 0.02, "64": 0.3}, "file_bytes": 4000, "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Record(name=name, correct=int(right.sum()), total=len(right), right=pack(right), **{**facts, **options})
