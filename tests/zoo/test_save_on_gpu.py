"""``zoo.save`` on a GPU. The fixtures of tests/zoo/artifacts need packages that a machine with a GPU may lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sdk
import zoo
from tests.zoo.artifacts.test_from_module import LABELS, TABLE, expected, norm, raw


@pytest.mark.cuda
def test_a_module_may_be_on_another_device(tmp_path: Path, gpu: torch.device) -> None:
    net = norm().to(gpu)
    folder = zoo.save(net, tmp_path / "mine", labels=LABELS, input=TABLE)
    assert next(net.parameters()).is_cuda
    np.testing.assert_array_equal(sdk.load(folder, "torch").logits(raw(TABLE)), expected(net.cpu(), TABLE))
