"""Checks the parts of an artifact's metrics and provenance that cellzoo itself shows; all others are free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdk.errors import InputError
from sdk.validation import check_list, check_type, describe

_METRICS: dict[str, type] = {
    "test_accuracy": float, "test_accuracy_mean": float, "test_accuracy_std": float, "test_loss": float,
    "validation_accuracy": float, "test_correct": int, "test_total": int, "seeds": int,
}  # fmt: skip
_SEED_RESULT: dict[str, type] = {"seed": int, "correct": int, "total": int, "accuracy": float}
_PRECISION: dict[str, type] = {
    "bytes": int, "full_bytes": int, "calibration": int, "milliseconds": float, "full_milliseconds": float,
    "validation_correct": int, "full_validation_correct": int, "validation_total": int, "test_correct": int,
    "full_test_correct": int, "test_total": int,
}  # fmt: skip
_PROVENANCE: dict[str, type] = {
    "date": str, "seed": int, "steps": int, "wall_seconds": float, "cpu_seconds": float, "recipe_sha256": str,
}  # fmt: skip
_DATA: dict[str, type] = {"name": str, "train": int, "validation": int, "test": int}
_START: dict[str, type] = {
    "name": str, "origin": str, "repo": str, "commit": str, "weights_sha256": str, "taken_parameters": int,
    "new_parameters": int,
}  # fmt: skip
_APPEARANCE: dict[str, type] = {"polarity": str, "border": float, "centre": float, "mean": float}


def check_metrics(value: object) -> dict[str, Any]:
    """Return the ``metrics`` section; raises InputError for a measurement of the wrong type."""
    metrics: dict[str, Any] = check_type(value, dict, "metrics")
    _check_fields(metrics, _METRICS, "metrics")
    if "test_interval_95" in metrics:
        bounds = check_list(metrics["test_interval_95"], float, "metrics test_interval_95")
        if len(bounds) != 2:
            raise InputError(f"metrics test_interval_95 must be [low, high], found {describe(list(bounds))}")
    for number, result in enumerate(check_list(metrics.get("seed_results", []), dict, "metrics seed_results")):
        place = f"metrics seed_results[{number}]"
        missing = sorted(_SEED_RESULT.keys() - result.keys())
        if missing:
            raise InputError(f"{place} lacks {', '.join(map(repr, missing))}")
        _check_fields(result, _SEED_RESULT, place)
    for precision, facts in check_type(metrics.get("precisions") or {}, dict, "metrics precisions").items():
        place = f"metrics precisions {describe(precision)}"
        _check_fields(check_type(facts, dict, place), _PRECISION, place)
    return metrics


def check_provenance(value: object) -> dict[str, Any]:
    """Return the ``provenance`` section; raises InputError for a fact of the wrong type."""
    provenance: dict[str, Any] = check_type(value, dict, "provenance")
    _check_fields(provenance, _PROVENANCE, "provenance")
    for section in ("versions", "platform", "data", "start_from"):
        check_type(provenance.get(section) or {}, dict, f"provenance {section}")
    for package, version in (provenance.get("versions") or {}).items():
        check_type(version, str, f"provenance versions {describe(package)}")
    _check_fields(provenance.get("platform") or {}, {"machine": str}, "provenance platform")
    _check_fields(provenance.get("start_from") or {}, _START, "provenance start_from")
    data = provenance.get("data") or {}
    _check_fields(data, _DATA, "provenance data")
    appearance = check_type(data.get("appearance") or {}, dict, "provenance data appearance")
    _check_fields(appearance, _APPEARANCE, "provenance data appearance")
    return provenance


def _check_fields(found: Mapping[str, Any], types: Mapping[str, type], place: str) -> None:
    """Raise InputError for a known field of another type; one that is missing or null was not recorded."""
    for key, kind in types.items():
        if found.get(key) is not None:
            check_type(found[key], kind, f"{place} {key}")
