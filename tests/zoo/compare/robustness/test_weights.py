"""Damage to weights in the graphs of all families."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sdk.catalog import bundled_models
from zoo.compare.cost import count_cost
from zoo.compare.robustness.weights import delete_random, delete_smallest, quantise, runner, weight_names

SHAPES = {"gridnet-digits": (1, 8, 8), "cellnet-digits": (1, 8, 8), "normnet-digits": (1, 8, 8), "nca-iris": (4,),
          "snapshots-digits": (1, 8, 8)}  # fmt: skip


def load(name: str) -> onnx.ModelProto:
    return onnx.load(bundled_models()[name] / "model.onnx")


@pytest.mark.parametrize("name", SHAPES)
def test_the_weights_of_every_family_are_found_and_make_the_logits(name: str) -> None:
    model = load(name)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = [arrays[one] for one in weight_names(model)]
    edges = count_cost(model, SHAPES[name]).edges
    assert edges <= sum(int(np.count_nonzero(array)) for array in weights) <= 1.5 * edges
    x = np.random.default_rng(0).normal(size=(5, *SHAPES[name])).astype(np.float32)
    same, none = runner(model)(x), runner(model, delete_random(1.0, 0))(x)
    assert np.ptp(same, axis=0).max() > 0.1
    np.testing.assert_allclose(none, none[:1].repeat(5, 0), atol=1e-4)  # without weights, all inputs look alike


def test_the_smallest_or_random_weights_are_deleted() -> None:
    weights = {"a": np.array([[1, -2], [3, 0]], np.float32), "b": np.array([4, -5], np.float32)}
    pruned = delete_smallest(0.4)(weights)
    assert pruned["a"].tolist() == [[0, 0], [3, 0]]
    assert pruned["b"].tolist() == [4, -5]
    large = {"a": np.ones(10_000, np.float32)}
    assert delete_random(0.3, 1)(large)["a"].mean() == pytest.approx(0.7, abs=0.02)
    assert not np.array_equal(delete_random(0.3, 1)(large)["a"], delete_random(0.3, 2)(large)["a"])


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantised_weights_have_few_values_and_small_errors(bits: int) -> None:
    weights = {"a": np.random.default_rng(0).normal(size=1000).astype(np.float32), "zero": np.zeros(3, np.float32)}
    found = quantise(bits)(weights)
    assert len(np.unique(found["a"])) <= 2**bits - 1
    step = np.abs(weights["a"]).max() / (2 ** (bits - 1) - 1)
    assert np.abs(found["a"] - weights["a"]).max() <= step / 2 + 1e-6
    assert not found["zero"].any()
