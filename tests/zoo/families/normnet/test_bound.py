"""Norm layers keep their bound in any training loop, with any optimizer and under torch's transforms."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from zoo.data.task import Task
from zoo.families.normnet.config import LayerSettings, NormnetConfig
from zoo.families.normnet.layers import Layer, NormConvolution, NormLayer, ResidualNormLayer
from zoo.families.normnet.model import Normnet

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def train_on_wine(
    seed: int, optimizer: Callable[..., torch.optim.Optimizer], rate: float, steps: int = 300, **options: Any
) -> tuple[Normnet, float]:
    """Train a normnet on wine in a plain loop and return it with its test accuracy."""
    torch.manual_seed(seed)
    features, targets = load_wine(return_X_y=True)
    x, x_test, y, y_test = train_test_split(features, targets, test_size=0.3, random_state=seed, stratify=targets)
    mean, std = x.mean(0), x.std(0)
    inputs, test = (torch.tensor((v - mean) / std, dtype=torch.float32) for v in (x, x_test))
    labels = torch.tensor(y)
    net = Normnet(NormnetConfig(hidden=(32,)), Task((13,), 3))
    steps_of = optimizer(net.parameters(), lr=rate, **options)
    for _ in range(steps):
        batch = torch.randint(len(inputs), (32,))
        loss = F.cross_entropy(net(inputs[batch]), labels[batch])
        steps_of.zero_grad()
        loss.backward()
        steps_of.step()
    with torch.no_grad():
        return net, float((net.eval()(test).argmax(-1) == torch.tensor(y_test)).float().mean())


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_loop_learns_wine_with_every_seed(seed: int) -> None:
    assert train_on_wine(seed, torch.optim.Adam, 1e-2)[1] > 0.9


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (torch.optim.SGD, {"rate": 0.1, "momentum": 0.9}),
        (torch.optim.AdamW, {"rate": 3e-2, "fused": True}),
        (torch.optim.RMSprop, {"rate": 1e-2}),
        (torch.optim.Adadelta, {"rate": 1.0}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_any_optimizer_learns_wine(optimizer: Any, options: dict[str, Any]) -> None:
    net, accuracy = train_on_wine(0, optimizer, **options)
    assert accuracy > 0.9
    assert all(float(tensor.abs().max()) <= 1.5 for tensor in net.state_dict().values())


def beyond() -> NormLayer:
    """Return a layer whose stored weights an optimizer has just moved beyond the bound."""
    torch.manual_seed(0)
    layer = NormLayer(4, 3, LayerSettings(clamp=1.5))
    with torch.no_grad():
        layer.weight[0, 0], layer.weight[1, 1] = 4.0, -9.0
    return layer


def bounded(layer: Layer) -> Layer:
    """Return a copy of the layer with its weights at the bound."""
    twin = copy.deepcopy(layer)
    twin.clamp_()
    return twin


def largest(layer: nn.Module) -> float:
    return max(float(parameter.detach().abs().max()) for parameter in layer.parameters())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda settings: (NormLayer(4, 3, settings), X),
        lambda settings: (ResidualNormLayer(4, 4, settings), X),
        lambda settings: (NormConvolution(1, 4, 3, 1, settings), X[..., None]),
    ],
    ids=["linear", "residual", "convolution"],
)
def test_no_forward_pass_computes_with_a_weight_beyond_the_bound(make: Any, training: bool) -> None:
    layer, x = make(LayerSettings(clamp=1.0))
    with torch.no_grad():
        layer.weight.mul_(5)
    expected = bounded(layer)(x)
    layer.train(training)
    assert torch.equal(layer(x), expected)
    assert (largest(layer) <= 1.0) == training  # evaluation writes to nothing, so threads can share the module
    with torch.inference_mode():
        assert torch.equal(layer.eval()(x), expected)


def test_the_gradient_beyond_the_bound_is_that_at_the_bound() -> None:
    evaluated, trained = beyond().eval(), beyond()
    for layer in (evaluated, trained):
        layer(X).square().sum().backward()
    assert evaluated.weight.grad is not None
    torch.testing.assert_close(evaluated.weight.grad, trained.weight.grad)
    assert evaluated.weight.grad[0, 0] != 0


def test_states_hold_no_weight_beyond_the_bound() -> None:
    assert float(beyond().state_dict()["weight"].abs().max()) == 1.5
    for assign in (False, True):
        layer = NormLayer(4, 3, LayerSettings(clamp=1.5)).eval()
        layer.load_state_dict({"weight": torch.full((3, 4), 7.0)}, assign=assign)
        assert largest(layer) == 1.5
    assert list(layer.state_dict()) == ["weight"]


def test_copies_keep_the_bound() -> None:
    file = io.BytesIO()
    torch.save(beyond(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    averaged = AveragedModel(beyond(), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(beyond())
    for copied in (copy.deepcopy(beyond()), loaded, averaged.eval().module, averaged.train().module):
        assert torch.equal(copied(X), bounded(beyond())(X))
        assert max(float(tensor.abs().max()) for tensor in copied.state_dict().values()) == 1.5


def test_two_forward_passes_and_a_penalty_come_before_one_backward_pass() -> None:
    layer = beyond()
    loss = 1e-3 * layer.weight.square().sum() + layer(X).sum()
    with torch.no_grad():
        layer.weight.data.mul_(3)
    (loss + layer(2 * X).sum()).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_functional_calls_and_transforms_keep_the_bound(training: bool) -> None:
    layer = beyond().train(training)
    weights = {"weight": layer.weight.detach().clone()}
    expected = bounded(layer)(X)

    def total(given: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, given, (X,)).square().sum()

    gradient = torch.func.grad(total)(weights)["weight"]
    twin = bounded(layer)
    twin(X).square().sum().backward()
    torch.testing.assert_close(gradient, twin.weight.grad)
    torch.testing.assert_close(torch.func.vmap(layer)(X), expected)
    assert torch.func.jacrev(layer)(X).shape == torch.func.jacfwd(layer)(X).shape
    torch.testing.assert_close(torch.func.functional_call(layer, weights, (X,)), expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_compiled_layer_keeps_the_bound(training: bool) -> None:
    torch._dynamo.reset()
    layer = beyond().train(training)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    compiled(X).sum().backward()
    expected = bounded(layer)(X)
    with torch.no_grad():
        layer.weight[2, 2] = 5.0
    torch.testing.assert_close(compiled(X), bounded(layer)(X))
    assert not torch.equal(bounded(layer)(X), expected)
    assert (largest(layer) == 1.5) == training


def test_layers_without_a_bound_and_controls_are_left_alone() -> None:
    for settings in (LayerSettings(clamp=None), LayerSettings("linear", clamp=1.5), LayerSettings("plain", clamp=1.5)):
        layer = NormLayer(4, 3, settings)
        with torch.no_grad():
            layer.weight.fill_(7.0)
        layer(X)
        assert float(layer.state_dict()["weight"].min()) == 7.0


@pytest.mark.parametrize("layer", [NormLayer(4, 3, LayerSettings(clamp=1.5)), ResidualNormLayer(4, 4, LayerSettings())])
def test_gradients_are_those_of_finite_differences(layer: Layer) -> None:
    double = layer.double()
    with torch.no_grad():
        double.weight.mul_(0.5)
    weights = {"weight": double.weight.detach().clone().requires_grad_()}
    x = X.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda inputs, weight: torch.func.functional_call(double, {"weight": weight}, (inputs,)),
        (x, weights["weight"]),
    )
