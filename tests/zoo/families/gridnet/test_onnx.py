from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sdk import InputSpec
from tests.support.artifacts import SPEC
from tests.support.onnx_models import LABELS, logits_of, make, run, write
from zoo.artifacts.random_inputs import random_inputs
from zoo.data.task import Task
from zoo.families.gridnet.config import PatchConfig
from zoo.families.gridnet.onnx import onnx_graph

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"gated": True},
    "normalised": {"normalize": True},
    "separate": {"separate_params": True, "gated": True},
    "outer_residual": {"outer_residual": True},
    "inner": {"inner_steps": 3, "block": 2},
    "identity": {"inner_steps": 0},
    "identity_residual": {"inner_steps": 0, "outer_residual": True, "normalize": True},
    "inner_gated": {"inner_steps": 2, "gated": True, "grid": (6, 4, 4)},
    "inner_normalised": {"inner_steps": 3, "normalize": True, "grid": (4, 6, 4)},
    "inner_separate_residual": {"inner_steps": 2, "separate_params": True, "outer_residual": True},
    "patch": {"patch": PatchConfig(size=2, channels=3), "output_layers": 2},
    "deep": {"grid": (4, 6, 16), "block": 2},
    "deep_inner": {"grid": (4, 4, 16), "block": 4, "inner_steps": 2, "normalize": True},
    "deep_gated": {"grid": (5, 5, 10), "block": 5, "gated": True},
    "odd": {"grid": (5, 7, 3), "block": 1},
    "prime_depth": {"grid": (4, 4, 11), "block": 1, "output_layers": 11},
    "flat": {"grid": (4, 4, 1), "block": 1},
    "relu": {"activation": "relu"},
    "leaky_relu": {"activation": "leaky_relu"},
    "tanh": {"activation": "tanh"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_gridnet_gives_the_same_logits_in_onnxruntime_and_torch(variant: str) -> None:
    module, _ = make(**VARIANTS[variant])
    model = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    onnx.checker.check_model(model, full_check=True)
    for batch in (1, 3, 64):
        inputs = SPEC.prepare(random_inputs(SPEC, batch))[0]
        np.testing.assert_allclose(run(model, inputs), logits_of(module, inputs), atol=2e-5, rtol=1e-5)


def test_a_multi_channel_image_enters_on_several_faces() -> None:
    spec = InputSpec("image", (3, 2, 4), (0.5,) * 3, (0.25,) * 3)
    module, _ = make(spec)
    model = onnx_graph(module, Task(spec.shape, len(LABELS)))
    inputs = spec.prepare(random_inputs(spec, 5))[0]
    np.testing.assert_allclose(run(model, inputs), logits_of(module, inputs), atol=2e-5)


def test_the_file_declares_its_opset_and_uses_standard_operators_only(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "tiny", inner_steps=2, normalize=True) / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert {node.domain for node in model.graph.node} == {""}
    assert len(model.functions) == 0
