"""The builder of ONNX graphs, in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

from zoo.families.onnx_builder import IR_VERSION, OPSET, GraphBuilder


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)


def test_equal_constants_and_named_weights_are_stored_once() -> None:
    g = GraphBuilder()
    assert g.constant([1, 2]) == g.constant([1, 2])
    assert g.scalar(1) != g.constant(1)
    assert g.constant([1, 2]) != g.constant([[1, 2]])
    assert g.weight("w", torch.ones(3)) == g.weight("w", torch.ones(3)) == "w"
    model = g.function("nothing", {"x": ("batch",)}, {"y": (g.op("Neg", "x"), ("batch",))})
    assert len(model.graph.initializer) == 5


def test_operators_compute_what_their_names_say() -> None:
    g = GraphBuilder()
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    results = {
        "reshaped": (g.reshape("x", (4, -1)), (4, 6)),
        "padded": (g.pad("x", (0, 1, 0), (0, 0, 2), value=7), (2, 4, 6)),
        "sliced": (g.slice("x", 2, 1, 3), (2, 3, 2)),
        "transposed": (g.transpose("x", (2, 0, 1)), (4, 2, 3)),
        "mean": (g.mean("x", (0, 2)), (1, 3, 1)),
        "sum": (g.sum("x", (1,)), (2, 1, 4)),
    }
    found = run(g.function("all", {"x": x.shape}, results), x=x)
    expected = [
        x.reshape(4, -1),
        np.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=7),
        x[:, :, 1:3],
        x.transpose(2, 0, 1),
        x.mean((0, 2), keepdims=True),
        x.sum(1, keepdims=True),
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other)


def test_a_classifier_takes_any_batch_and_may_have_further_outputs() -> None:
    g = GraphBuilder()
    model = g.model("double", g.op("Add", "input", "input"), [3], 3, {"negative": g.op("Neg", "input")})
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert (model.ir_version, model.producer_name) == (IR_VERSION, "cellzoo")
    assert [output.name for output in model.graph.output] == ["logits", "negative"]
    for batch in (0, 1, 5):
        x = np.ones((batch, 3), np.float32)
        logits, negative = run(model, input=x)
        assert (logits == 2 * x).all()
        assert (negative == -x).all()
