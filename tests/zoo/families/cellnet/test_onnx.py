"""CellNet's ONNX graph in onnxruntime against the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.support.cellnet import STEMS
from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.onnx import onnx_graph

TASK = Task((1, 10, 12), 3)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    **{f"stem_{name}": {"stem": stem} for name, stem in STEMS.items()},
    "own_core_sizes": {"core": (4, 1, 6, 3), "in_cells": 1, "out_cells": 2},
    "ring": {"topology": {"name": "ring"}, "input_steps": 3},
    "clusters": {"cells": 6, "topology": {"name": "clusters", "size": 3}, "input_steps": 4},
    "in_cells_all_but_one": {"in_cells": 3, "input_steps": 4},
}


def build(**options: Any) -> Cellnet:
    torch.manual_seed(0)
    return Cellnet(CellnetConfig(**{"cells": 4, "core": 4, "hidden": 5, **options}), TASK).eval()


def run(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs})[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnxruntime_computes_the_same_as_torch(variant: str) -> None:
    module = build(**VARIANTS[variant])
    with torch.no_grad():
        module.train()(torch.randn(9, *TASK.input_shape))  # batch normalisation collects its averages
    model = onnx_graph(module.eval(), TASK)
    for batch in (0, 1, 7):
        inputs = torch.randn(batch, *TASK.input_shape)
        with torch.inference_mode():
            np.testing.assert_allclose(run(model, inputs.numpy()), module(inputs), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_graph_can_have_any_number_of_steps(steps: int) -> None:
    module = build()
    inputs = torch.randn(3, *TASK.input_shape)
    with torch.inference_mode():
        np.testing.assert_allclose(
            run(onnx_graph(module, TASK, steps), inputs.numpy()), module(inputs, steps), atol=1e-5
        )
    with pytest.raises(ValueError, match="found 0"):
        onnx_graph(module, TASK, 0)


def test_weights_are_stored_once_for_any_number_of_steps() -> None:
    module = build(core=32, hidden=32)
    weights = sum(parameter.nbytes for parameter in module.parameters())
    for steps in (1, 8):
        assert onnx_graph(module, TASK, steps).ByteSize() < 1.3 * weights + 20_000
