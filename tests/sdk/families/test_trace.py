"""Traces of every family: their shapes, and a last state that is the model's answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sdk
from sdk.errors import InputError, LoadError
from tests.support.artifacts import write_tiny
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.normnet.config import NormnetConfig

DIGITS = np.random.default_rng(0).integers(0, 120, (3, 8, 8), dtype=np.uint8)
FLOWERS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]], np.float32)
SHIPPED: dict[str, Any] = {
    "gridnet-digits": DIGITS,
    "cellnet-digits": DIGITS,
    "normnet-digits": DIGITS,
    "snapshots-digits": DIGITS,
    "nca-iris": FLOWERS,
    "nca-iris-deep": FLOWERS,
    "nca-iris-literal": FLOWERS,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_last_state_of_a_trace_is_the_answer(name: str) -> None:
    model, inputs = sdk.load(f"bundled:{name}", backend="torch"), SHIPPED[name]
    trace = model.trace(inputs, invert=False)
    assert trace.logits.shape[1:] == (3, len(model.labels))
    np.testing.assert_allclose(trace.logits[-1], model.logits(inputs, invert=False), atol=1e-5, rtol=1e-5)
    one = model.trace(inputs[0], invert=False)
    np.testing.assert_allclose(one.logits, trace.logits[:, 0], atol=1e-4)
    assert "one input" in repr(one) or model.config.family in ("nca", "normnet")


def test_a_gridnet_shows_its_grid_before_the_first_step_and_after_each() -> None:
    model = sdk.load("bundled:gridnet-digits", backend="torch")
    trace = model.trace(DIGITS, invert=False)
    assert trace.grids.shape == (9, 3, 12, 12, 4)
    assert trace.logits.shape == (9, 3, 10)
    assert repr(trace) == "<GridnetTrace: 8 outer steps, 3 inputs, 12 x 12 x 4 cells>"
    learned = model.module.grid_init.detach().numpy()
    np.testing.assert_array_equal(trace.grids[0, :, ..., 1:], np.broadcast_to(learned[..., 1:], (3, 12, 12, 3)))


@pytest.mark.parametrize("options", [{"gated": True, "separate_params": True}, {"outer_residual": True}], ids=str)
def test_every_kind_of_outer_step_is_traced(options: dict[str, Any], tmp_path: Any) -> None:
    config = GridnetConfig(grid=(4, 4, 4), outer_steps=3, inner_steps=2, **options)
    model = sdk.load(write_tiny(tmp_path / "grid", config), backend="torch")
    images = np.zeros((2, 1, 4, 4), np.uint8)
    np.testing.assert_allclose(model.trace(images).logits[-1], model.logits(images), atol=1e-5)


def test_a_normnet_shows_its_layers_convolutions_included(tmp_path: Any) -> None:
    config = NormnetConfig(convolutions=({"channels": 2, "size": 3, "padding": 1, "pool": 2},), hidden=(5,))  # type: ignore[arg-type]
    model = sdk.load(write_tiny(tmp_path / "norm", config), backend="torch")
    trace = model.trace(np.zeros((3, 1, 4, 4), np.uint8))
    assert [layer.shape for layer in trace.layers] == [(3, 2, 2, 2), (3, 5), (3, 3)]
    assert repr(trace) == "<NormnetTrace: [3, 2, 2, 2] -> [3, 5] -> [3, 3]>"


def test_a_snapshots_network_shows_each_snapshot_on_every_backend() -> None:
    for backend in ("onnx", "torch"):
        model: Any = sdk.load("bundled:snapshots-digits", backend=backend)
        trace = model.trace(DIGITS, invert=False)
        assert len(trace.members) == len(model.snapshots)
        for number in range(len(model.snapshots)):
            np.testing.assert_allclose(
                trace.members[number], model.logits(DIGITS, mode=number, invert=False), atol=1e-5
            )
        np.testing.assert_allclose(trace.logits[-1], model.logits(DIGITS, invert=False), atol=1e-5)


def test_a_rule_shows_the_network_that_it_grows() -> None:
    trace = sdk.load("bundled:nca-iris", backend="torch").trace(FLOWERS)
    assert repr(trace) == "<NcaTrace: 20 epochs, 1 layers>"
    assert [[layer.shape for layer in weights] for weights in trace.weights] == [[(4, 3)]] * 21


def test_a_rule_that_learns_is_traced_on_examples() -> None:
    model: Any = sdk.load("bundled:nca-learner", backend="torch")
    with pytest.raises(
        InputError, match=r"examples: found None, nca-learner grows from data .* pass examples=\(X, y\)"
    ):
        model.trace(FLOWERS)
    examples = np.repeat(FLOWERS, 4, axis=0) + np.random.default_rng(0).normal(0, 0.1, (12, 4)), np.repeat(range(3), 4)
    trace = model.trace(FLOWERS, examples=examples)
    grown = model.evolve(*examples, seed=model.module.config.seed)
    np.testing.assert_allclose(trace.logits[-1], grown.decision_function(FLOWERS), atol=1e-5)
    np.testing.assert_allclose(model.trace(FLOWERS[0], examples=examples).logits, trace.logits[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["gridnet-digits", "normnet-digits", "nca-iris", "cellnet-digits"])
def test_a_backend_without_states_says_which_has_them(name: str) -> None:
    with pytest.raises(LoadError, match=r"load .* with backend='torch'"):
        sdk.load(f"bundled:{name}", backend="onnx").trace(SHIPPED[name])


def test_a_family_without_steps_is_refused_with_those_that_have_them() -> None:
    model = sdk.load("bundled:normnet-digits")
    with pytest.raises(LoadError, match="found a model of family 'normnet', allowed: cellnet, gridnet, nca"):
        sdk.Model.trace(model, DIGITS)
