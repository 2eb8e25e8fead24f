"""Signals that weights perceive from the data."""

from __future__ import annotations

import pytest
import torch

from tests.support.nca import build
from zoo.families.nca.sensing import SupportSet, sense


def test_a_teaching_signal_needs_targets() -> None:
    module = build(rule={"senses": "teaching"}).double()
    wiring, state = module.begin([(4, 3)])
    with pytest.raises(ValueError, match="needs targets"):
        sense(state.double(), wiring, SupportSet(torch.rand(1, 2, 4, dtype=torch.float64)), "teaching")
