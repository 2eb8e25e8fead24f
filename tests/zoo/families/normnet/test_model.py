"""normnet: its layers against literal versions, the network, its learner and its ONNX graph."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.normnet.config import LayerSettings, NormnetConfig
from zoo.families.normnet.layers import NormConvolution, NormLayer, ResidualNormLayer
from zoo.families.normnet.learner import NormnetLearner, power_loss
from zoo.families.normnet.model import Normnet
from zoo.families.normnet.onnx import onnx_graph
from zoo.families.registry import get_family, load_hook
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingInterruptedError

TASK = Task((1, 8, 8), 3)
CONVOLUTIONS = [{"channels": 3, "padding": 1, "pool": 2, "scale": 3}, {"channels": 4, "size": 2, "stride": 2}]
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "literal": {"clamp": None, "hidden_scale": 1, "loss": "power"},
    "linear": {"layer": "linear"},
    "plain": {"layer": "plain", "hidden_scale": 1},
    "sigmoid": {"activation": "sigmoid"},
    "relu": {"activation": "relu", "hidden_scale": 1},
    "residual": {"residual": True, "hidden": [6, 6, 6], "hidden_scale": 50},
    "convolutions": {"convolutions": CONVOLUTIONS},
    "plain_convolutions": {"convolutions": CONVOLUTIONS, "layer": "plain"},
    "no_hidden": {"hidden": []},
    "power": {"loss": "power", "power": 5},
}


def build(task: Task = TASK, **options: Any) -> Normnet:
    torch.manual_seed(0)
    return Normnet(NormnetConfig(**{"hidden": (6, 5), **options}), task)


# Layers


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.sampled_from(["tanh", "sigmoid", "relu"]))
@settings(max_examples=20, deadline=None)
def test_a_norm_layer_is_the_specified_one(batch: int, n: int, out: int, activation: Any) -> None:
    layer = NormLayer(n, out, LayerSettings(activation=activation, scale=10)).double()
    x = torch.randn(batch, n, dtype=torch.float64)
    expected = torch.empty(batch, out, dtype=torch.float64)
    for b in range(batch):
        for o in range(out):
            total = sum(float(x[b, i]) * math.tan(layer.weight[o, i].item()) for i in range(n)) / n
            value = {
                "tanh": math.tanh(total),
                "sigmoid": 1 / (1 + math.exp(-max(total, -700))),
                "relu": max(0.0, total),
            }
            expected[b, o] = 10 * value[activation]
    torch.testing.assert_close(layer(x), expected)


def test_a_residual_layer_is_the_specified_one() -> None:
    layer = ResidualNormLayer(4, 3, LayerSettings(scale=2)).double()
    x, residual = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    expected = 2 * torch.tanh((x @ (0.1 * layer.weight.T.tan()) + 0.1 * residual) / 8)
    torch.testing.assert_close(layer(x, residual), expected)


def test_a_residual_layer_as_wide_as_its_input_takes_the_input_as_residual() -> None:
    layer = ResidualNormLayer(4, 4, LayerSettings())
    x = torch.randn(5, 4)
    assert torch.equal(layer(x), layer(x, x))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_a_norm_convolution_is_the_norm_layer_on_every_window(dims: int, stride: int, padding: int) -> None:
    convolution = NormConvolution(dims, 2, 3, 3, LayerSettings(scale=4), stride, padding).double()
    layer = NormLayer(2 * 3**dims, 3, LayerSettings(scale=4)).double()
    layer.weight.data = convolution.weight.data.flatten(1)
    x = torch.randn(2, 2, *(6, 5, 4)[:dims], dtype=torch.float64)
    windows = F.pad(x, [padding] * 2 * dims)
    for axis in range(dims):
        windows = windows.unfold(2 + axis, 3, stride)  # [B, C, *space, *window]
    order = (0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims))
    expected = layer(windows.permute(order).flatten(1 + dims)).movedim(-1, 1)
    torch.testing.assert_close(convolution(x), expected)


def test_the_linear_control_differs_in_the_tangent_alone() -> None:
    linear = NormLayer(7, 3, LayerSettings("linear")).double()
    norm = NormLayer(7, 3, LayerSettings("norm")).double()
    norm.weight.data = linear.weight.data.atan()
    x = torch.randn(4, 7, dtype=torch.float64)
    torch.testing.assert_close(norm(x), linear(x))


def test_the_plain_control_is_a_fully_connected_layer_with_a_bias() -> None:
    layer = NormLayer(7, 3, LayerSettings("plain", "relu", scale=2))
    x = torch.randn(4, 7)
    assert layer.bias is not None
    torch.testing.assert_close(layer(x), 2 * F.relu(F.linear(x, layer.weight, layer.bias)))


def test_weights_start_as_the_settings_say() -> None:
    torch.manual_seed(0)
    weight = NormLayer(300, 300, LayerSettings(sigma=0.5)).weight
    assert weight.std().item() == pytest.approx(0.5, rel=0.02)
    clamped = NormLayer(300, 300, LayerSettings(clamp=1.5)).weight
    assert clamped.abs().max() == 1.5
    assert (clamped.abs() == 1.5).float().mean().item() == pytest.approx(2 * 0.0668, rel=0.05)


def test_the_derivative_of_the_tangent_is_smallest_at_zero() -> None:
    """Which is why zero attracts no weight."""
    layer = NormLayer(1, 3, LayerSettings(activation="relu"))
    layer.weight.data = torch.tensor([[0.0], [0.5], [1.4]])
    layer(torch.ones(1, 1)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad[1:], 1 / layer.weight.data[1:].cos() ** 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clamp": 1.6}, "clamp 1.6 should be above 0 and below pi/2"),
        ({"kind": "tan"}, "kind should be one of norm, linear, plain, found 'tan'"),
        ({"activation": "gelu"}, "activation should be one of tanh, sigmoid, relu"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerSettings(**options)


def test_a_convolution_has_one_to_three_dimensions() -> None:
    with pytest.raises(ValueError, match="1, 2 or 3 dimensions, found 4"):
        NormConvolution(4, 1, 1, 3, LayerSettings())


# The network


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_finite_logits_and_gradients_for_every_parameter(options: dict[str, Any]) -> None:
    module = build(**options)
    result = NormnetLearner(module, module.config).training_step(torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1]))
    result.loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("shape", [(9,), (2, 9), (1, 8, 8), (2, 6, 6, 6)])
def test_it_takes_inputs_of_up_to_three_axes(shape: tuple[int, ...]) -> None:
    convolutions = [{"channels": 2, "pool": 2}] if len(shape) > 1 else []
    assert build(Task(shape, 4), convolutions=convolutions)(torch.randn(3, *shape)).shape == (3, 4)


def test_only_the_control_has_biases() -> None:
    assert not [name for name, _ in build().named_parameters() if "bias" in name]
    assert len([name for name, _ in build(layer="plain").named_parameters() if "bias" in name]) == 3


def test_hidden_layers_and_output_have_scales_of_their_own() -> None:
    scales = [layer.settings.scale for layer in build(scale=7, hidden_scale=2).layers]
    assert scales == [2, 2, 7]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task((4,), 3), {"convolutions": [{"channels": 2}]}, r"convolutions take inputs \[C, \*space\]"),
        (Task((1, 3, 3), 3), {"convolutions": [{"channels": 2}, {"channels": 2}]}, r"convolutions.1 leaves nothing"),
    ],
)
def test_data_that_does_not_fit_is_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clamp": 1.6}, "less than 1.57"),
        ({"residual": True, "layer": "plain"}, "residual is not defined for plain layers"),
        ({"power": 0.5}, "greater than or equal to 1"),
        ({"tree": {"pressure": 1.1}}, "less than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_onnx_graph_is_the_module(options: dict[str, Any]) -> None:
    module = build(**{"clamp": 1.5, **options}).eval()
    session = onnxruntime.InferenceSession(onnx_graph(module, TASK).SerializeToString())
    x = torch.randn(4, 1, 8, 8)
    [found] = session.run(["logits"], {"input": x.numpy()})
    np.testing.assert_allclose(found, module(x).detach().numpy(), atol=1e-4)


# Training


@pytest.mark.parametrize("power", [1, 1.5, 2, 5, 10])
def test_the_power_loss_has_a_finite_gradient_everywhere(power: float) -> None:
    outputs = torch.tensor([[0.0, 1.0, -3.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 0.0, 1.0]])
    loss = power_loss(outputs, targets, power)
    loss.backward()
    assert loss.item() == pytest.approx(1 + 4**power)
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad, torch.tensor([[0.0, power, -power * 4 ** (power - 1)]]))


def test_weights_stay_within_the_bound() -> None:
    module = build(clamp=1.0)
    learner = NormnetLearner(module, module.config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    learner.on_step_end(1)
    assert max(parameter.abs().max() for parameter in module.parameters()) == 1.0


def test_without_a_bound_weights_are_let_go() -> None:
    module = build(clamp=None)
    module.layers[0].weight.data.fill_(2.0)
    NormnetLearner(module, module.config).on_step_end(1)
    assert (module.layers[0].weight == 2).all()


def fit(folder: Path, *overrides: str, resume: bool = False) -> Any:
    options = ["train.epochs=null", "train.steps=8", "train.checkpoint_every=2", "data.validation=40"]
    recipe = load_recipe("normnet-digits", [*options, "model.hidden=[16]", "train.ema=null", *overrides])
    return train(recipe, run_dir=folder, device="cpu", progress=False, resume=resume)


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


TREE = "model.tree={patience: 1, pressure: 0.5}"


def test_on_a_plateau_training_goes_on_from_a_checkpoint_of_the_tree() -> None:
    module = build(tree={"patience": 2, "pressure": 1})
    learner = NormnetLearner(module, module.config)
    optimizer = torch.optim.Adam(module.parameters())
    learner.on_start(optimizer)
    inputs, labels = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])

    def step() -> None:
        loss = learner.training_step(inputs, labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    best = weights(module)
    for accuracy in (0.9, 0.8, 0.9):
        learner.on_validation(1, accuracy)
        assert learner.restarts == 0
        if accuracy != 0.9:
            step()
            assert not torch.equal(weights(module), best)
    assert optimizer.state
    learner.training_step(inputs, labels)
    assert learner.restarts == 1
    assert torch.equal(weights(module), best)
    assert not optimizer.state
    learner.on_validation(2, 0.95)
    assert learner.tree is not None
    assert [checkpoint.parent for checkpoint in learner.tree.checkpoints.values()] == [None, 1]


def test_a_run_with_a_tree_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [TREE, "train.optimizer={name: adam, lr: 0.3}", "train.steps=16"]
    whole = fit(tmp_path / "whole", *overrides)
    assert whole.history[-1]["train_restarts"] > whole.history[4]["train_restarts"] > 0
    usual = NormnetLearner.on_step_end

    def interrupted(self: NormnetLearner, step: int) -> None:
        usual(self, step)
        if step == 11:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(NormnetLearner, "on_step_end", interrupted)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path / "parts", *overrides)
    resumed = fit(tmp_path / "parts", *overrides, resume=True)
    assert torch.equal(weights(resumed.module), weights(whole.module))
    assert [r["train_restarts"] for r in resumed.history] == [r["train_restarts"] for r in whole.history]


def test_without_a_tree_there_is_nothing_to_resume() -> None:
    module = build()
    with pytest.raises(ValueError, match="state of NormnetLearner: found keys .*, expected none"):
        NormnetLearner(module, module.config).load_state_dict({"tree": {}})


@pytest.mark.parametrize("layer", ["norm", "linear", "plain"])
def test_every_kind_of_layer_learns_digits(layer: str, tmp_path: Path) -> None:
    rate, scale = (3e-3, 1) if layer == "plain" else (3e-2, 3)
    options = [f"model.layer={layer}", f"train.optimizer.lr={rate}", f"model.hidden_scale={scale}"]
    result = fit(tmp_path, *options, "train.steps=200", "train.checkpoint_every=null", "model.hidden=[64]")
    assert result.validation.accuracy > 0.6


def test_it_is_registered() -> None:
    family = get_family("normnet")
    assert family.config is NormnetConfig
    assert load_hook(family.build) is Normnet
