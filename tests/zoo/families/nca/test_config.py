"""The ``model:`` section of Meta-NCA recipes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.nca import build
from zoo.families.registry import get_family


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meta": {"tasks": {}}}, "meta.tasks needs rule.senses: teaching, found none"),
        ({"meta": {"tasks": {}}, "rule": {"senses": "teaching"}}, "meta.tasks needs standardize: true"),
        ({"meta": {"damage": 0.5}}, "meta.damage 0.5 needs meta.segments of at least 2"),
        ({"fraction": 0}, "greater than 0"),
        ({"rule": {"change": "relu"}}, "'tanh', 'sigmoid' or 'linear'"),
        ({"meta": {"tasks": {"classes": [1, 3]}}}, "classes .1, 3. should be a lower and an upper bound, at least 2"),
    ],
)
def test_contradictory_configs_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


def test_the_family_has_a_probe_and_a_bench() -> None:
    family = get_family("nca")
    assert family.probe is not None
    assert family.bench is not None
