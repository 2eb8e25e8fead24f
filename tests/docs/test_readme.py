"""README's table of models says what the artifacts under exports/ say."""

from __future__ import annotations

import re

import sdk
from tests.support.paths import ROOT
from zoo.artifacts.catalog import is_baseline

README = ROOT / "README.md"


def _expected(info: sdk.ModelInfo) -> list[str]:
    """The cells of a model's row, apart from the one that says in words what it is."""
    metrics = info.metrics
    low, high = metrics["test_interval_95"]
    seeds = "1"
    if metrics["seeds"] > 1:
        seeds = f"{metrics['test_accuracy_mean']:.2%} ± {metrics['test_accuracy_std']:.2%}, {metrics['seeds']}"
    return [
        f"{metrics['test_accuracy']:.2%} ({low:.2%} to {high:.2%})",
        seeds,
        f"{info.parameters:,}",
        f"{info.size_bytes / 1e6:.2f} MB",
    ]


def test_the_table_of_models_has_every_model_with_its_recorded_figures() -> None:
    expected = {info.name: _expected(info) for info in sdk.list_models() if not is_baseline(info.family)}
    rows = re.findall(r"^\| `([\w-]+)` \| [^|]+ \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert {name: cells.split(" | ") for name, cells in rows if name in expected} == expected
