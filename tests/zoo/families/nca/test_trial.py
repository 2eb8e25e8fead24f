"""Trials of the Meta-NCA probe."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.support.nca import context_of
from zoo.data.split import Data
from zoo.families.nca.trial import STARTS, Trial


def test_a_trial_can_test_other_weights_and_keeps_its_own(data: Data, tmp_path: Path) -> None:
    context = context_of(data, tmp_path)
    trial = Trial(context, context.module, [4, 3])  # type: ignore[arg-type]
    before = trial.state.clone()
    silent = trial.accuracies(torch.zeros_like(trial.state[..., 0]))
    torch.testing.assert_close(silent, torch.full((STARTS,), 1 / 3))
    assert torch.equal(trial.state, before)
