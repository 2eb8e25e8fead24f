"""The findings of the robustness suite as one row per model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from zoo.compare.robustness.settings import BITS, FRACTIONS, REPAIRED, SHARES

NOTES = (
    "Robustness: test accuracy on up to 1,000 samples, the same for all models of a data set; what depends on chance "
    "is the mean of three seeds. Corrupted: mean over seven kinds (noise, impulse, blur, contrast, shift, rotation, "
    "occlusion) and five severities. Pixels, damage: half of the pixels, or of the weights, set to 0 at random; "
    "repaired: after 200 more steps of the model's own training, which may use the deleted weights again. Pruned: the "
    "smaller 70 % of the weights set to 0 at once. 4 bits: weights rounded. ECE: expected calibration error, then with "
    "the temperature that validation chooses. A after B: accuracy on the first half of the classes, before and after "
    "200 steps on the other half. Few-shot: Fashion-MNIST after 200 steps on 100 samples, from the MNIST model and "
    "(new) from random weights. A dash: the probe has no meaning for the model, or was not run."
)


def rows(findings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a row of text per model, by data set and then by falling accuracy on corrupted images."""
    order = sorted(findings, key=lambda name: (findings[name]["data"], -_corrupted(findings[name]), name))
    return [_row(name, findings[name]) for name in order]


def _row(name: str, one: Mapping[str, Any]) -> dict[str, str]:
    calibration, forgetting, transfer = one.get("calibration"), one.get("forgetting"), one.get("transfer")
    return {
        "model": name,
        "clean": f"{one['accuracy']:.1%}",
        "corrupted": f"{_corrupted(one):.1%}" if "corruption" in one else "-",
        "pixels 50 %": _at(one, "pixels", SHARES, 0.5),
        "damage 50 %": _at(one, "damage", FRACTIONS, 0.5),
        "repaired": _at(one, "repaired", REPAIRED, 0.5),
        "pruned 70 %": _at(one, "pruning", FRACTIONS, 0.7),
        "4 bits": _at(one, "quantised", BITS, 4),
        "ECE": f"{calibration['error']:.3f}, {calibration['error_scaled']:.3f}" if calibration else "-",
        "A after B": f"{forgetting['a_before']:.1%}, {forgetting['a_after_b']:.1%}" if forgetting else "-",
        "few-shot 100 (new)": f"{transfer['from 100']:.1%} ({transfer['new 100']:.1%})" if transfer else "-",
    }


def _corrupted(one: Mapping[str, Any]) -> float:
    """Return the mean accuracy over kinds and severities; 0 without any."""
    return fmean(fmean(values) for values in one["corruption"].values()) if one.get("corruption") else 0.0


def _at(one: Mapping[str, Any], key: str, places: Sequence[float], place: float) -> str:
    show: Callable[[float], str] = "{:.1%}".format
    return show(one[key][places.index(place)]) if key in one else "-"
