"""Normnet's ONNX graph in onnxruntime against the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.support.normnet import TASK, VARIANTS, build
from zoo.families.normnet.onnx import onnx_graph


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_onnx_graph_computes_the_same_as_the_module(options: dict[str, Any]) -> None:
    module = build(**{"clamp": 1.5, **options}).eval()
    session = onnxruntime.InferenceSession(onnx_graph(module, TASK).SerializeToString())
    x = torch.randn(4, 1, 8, 8)
    [found] = session.run(["logits"], {"input": x.numpy()})
    np.testing.assert_allclose(found, module(x).detach().numpy(), atol=1e-4)
