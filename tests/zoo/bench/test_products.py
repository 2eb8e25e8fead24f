from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.bench.products import Call, ProductRecorder, is_product
from zoo.data.task import Task
from zoo.families.building import build_module
from zoo.families.learner import Learner
from zoo.families.registry import get_family, load_hook
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure

IMAGE = Task((1, 4, 4), 3)


def names(calls: list[Call]) -> list[str]:
    return [call.op.name() for call in calls]


def small_learner(name: str, model: dict[str, Any], task: Task) -> Learner:
    family = get_family(name)
    config = family.config(**model)
    learner: Learner = load_hook(family.learner)(build_module(family, config, task).train(), config)
    return learner


def of_family(name: str, model: dict[str, Any], task: Task, batch: int) -> list[Call]:
    """Return the products of a whole training step of a small model."""
    learner = small_learner(name, model, task)
    optimizer = torch.optim.AdamW(learner.module.parameters(), lr=1e-3)
    learner.on_start(optimizer)
    with ProductRecorder() as products:
        for result in learner.training_steps(torch.rand(batch, *task.input_shape), torch.arange(batch) % 3):
            optimizer.zero_grad()
            result.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return products.calls


def test_the_products_of_a_small_network_are_found_in_their_order_and_with_their_shapes() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    with ProductRecorder() as products:
        net(torch.rand(3, 5)).sum().backward()
    assert [(call.op.name(), call.shapes) for call in products.calls] == [
        ("aten::addmm", [[4], [3, 5], [5, 4]]),
        ("aten::addmm", [[2], [3, 4], [4, 2]]),
        ("aten::mm", [[3, 2], [2, 4]]),
        ("aten::mm", [[2, 3], [3, 4]]),
        ("aten::mm", [[4, 3], [3, 5]]),
    ]


def test_convolutions_are_found_with_their_strides_and_backward() -> None:
    net = nn.Conv2d(2, 3, 3)
    images = torch.rand(2, 2, 5, 5).contiguous(memory_format=torch.channels_last)
    with ProductRecorder() as products:
        net(images).relu().sum().backward()
    assert names(products.calls) == ["aten::convolution", "aten::convolution_backward"]
    assert products.calls[0].arguments[0].stride() == images.stride()


class Hidden(torch.autograd.Function):
    """A product that autograd sees nothing of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grads[0] @ weight.T, x.T @ grads[0]


def test_products_inside_custom_functions_transforms_and_gradients_of_gradients_are_found() -> None:
    x, weight = torch.rand(3, 4), torch.rand(4, 5, requires_grad=True)
    with ProductRecorder() as products:
        Hidden.apply(x, weight).sum().backward()  # type: ignore[no-untyped-call]
    assert names(products.calls) == ["aten::mm"] * 3
    with products:
        torch.func.vmap(torch.func.grad(lambda w, row: (row @ w).sum()), in_dims=(None, 0))(weight, x)
    assert Counter(names(products.calls)) == {"aten::mm": 1, "aten::bmm": 1}
    products.repeat()
    with products:
        (slope,) = torch.autograd.grad((x @ weight).square().sum(), weight, create_graph=True)
        slope.square().sum().backward()
    assert names(products.calls) == ["aten::mm"] * 4
    with products:
        torch.compile(lambda a, b: (a @ b).relu(), backend="eager")(x, weight)
    assert names(products.calls) == ["aten::mm"]


def test_kernels_are_found_with_their_structure_and_backward() -> None:
    structure = Structure.of(2, 9, torch.tensor([0, 1, 1]), torch.tensor([8, 0, 1]))  # sparse enough for the kernel
    x, values = torch.rand(4, 9), torch.rand(3, requires_grad=True)
    with ProductRecorder() as products:
        sparse_linear(x, values, structure).sum().backward()
    assert names(products.calls) == ["zoo::sparse_linear", "zoo::sparse_linear_backward"]
    assert [a is b for a, b in zip(products.calls[0].arguments[2:], structure.pattern, strict=True)] == [True] * 5


FAMILIES: dict[str, tuple[dict[str, Any], Task, int, dict[str, int]]] = {
    # Two layers: both products forward; backward those of the weights, and that of the hidden layer.
    "mlp": ({"hidden": [4]}, IMAGE, 6, {"aten::addmm": 2, "aten::mm": 3}),
    "cnn": (
        {"channels": [2, 3], "hidden": []}, IMAGE, 6,
        {"aten::convolution": 2, "aten::convolution_backward": 2, "aten::addmm": 1, "aten::mm": 2},
    ),
    "gridnet": (
        {"grid": [4, 4, 2], "block": 2, "outer_steps": 2}, IMAGE, 6,
        {"zoo::gridnet_evolve": 1, "zoo::gridnet_evolve_backward": 1, "aten::addmm": 1, "aten::mm": 2},
    ),
    "normnet": (
        {"convolutions": [{"channels": 2, "size": 3}], "hidden": [4]}, IMAGE, 6,
        {"aten::convolution": 1, "aten::convolution_backward": 1, "aten::mm": 6},
    ),
    "snapshots": (
        {"hidden": [4], "max_density": 0.9}, IMAGE, 6, {"zoo::sparse_network": 1, "zoo::sparse_network_backward": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_products_of_a_training_step_are_found(family: str) -> None:
    model, task, batch, wanted = FAMILIES[family]
    assert Counter(names(of_family(family, model, task, batch))) == wanted


def test_the_gradients_that_cellnet_takes_itself_count() -> None:
    learner = small_learner(
        "cellnet", {"cells": 2, "core": 4, "hidden": 3, "steps": 2, "input_steps": 2, "truncate": 2}, IMAGE
    )
    images, labels = torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    with ProductRecorder() as forward:
        learner.module(images, 2, trace=True)
    with ProductRecorder() as losses:
        steps = list(learner.training_steps(images, labels))
    with ProductRecorder() as backward:
        steps[0].loss.backward()  # type: ignore[no-untyped-call]
    assert names(losses.calls)[: len(forward.calls)] == names(forward.calls)
    # The gradient of each of the two steps with respect to its cores goes back through the readout's two layers.
    assert len(losses.calls) == len(forward.calls) + 2 * 2
    assert len(backward.calls) > len(forward.calls)


def test_every_evolution_of_a_population_of_nca_counts() -> None:
    model = {"hidden": 3, "layers": 2, "epochs": 3, "meta": {"population": 2, "segments": 2}}
    found = Counter(names(of_family("nca", model, Task((4,), 3), 6)))
    assert found["zoo::nca_evolve"] == found["zoo::nca_evolve_backward"] == 2
    assert found["aten::bmm"] > 0


def test_repeating_computes_the_same_products_and_changes_no_tensor() -> None:
    weight, x = torch.rand(3, 3), torch.rand(3, 3)
    with ProductRecorder() as products:
        weight.addmm_(x, x)
        torch.mm(x, x, out=x.new_empty(3, 3))
        nn.LSTM(3, 2)(x[None])[0].sum().backward()
    before = weight.clone()
    with ProductRecorder() as again:
        products.repeat()
        products.repeat()
    assert names(again.calls) == 2 * names(products.calls)
    assert names(products.calls)[:2] == ["aten::addmm_", "aten::mm.out"]
    assert len(products.calls) > 3
    assert torch.equal(weight, before)


def test_a_recorder_starts_again_and_rests_outside() -> None:
    x = torch.rand(2, 2)
    products = ProductRecorder()
    for _ in range(2):
        with products:
            x @ x
        x @ x
    assert names(products.calls) == ["aten::mm"]
    with products:
        x.relu().sum()
    assert products.calls == []


@pytest.mark.parametrize(
    ("op", "product"),
    [
        ("aten.baddbmm.default", True), ("aten.mv.out", True), ("aten.dot.default", True),
        ("aten.linear.default", True),
        ("aten._scaled_dot_product_flash_attention_for_cpu_backward.default", True), ("aten._int_mm.default", True),
        ("aten.mkldnn_rnn_layer.default", True), ("zoo.nca_evolve.default", True),
        ("mkldnn._linear_pointwise.default", True),
        ("aten.mul.Tensor", False), ("aten.cummax.default", False), ("aten.digamma_.default", False),
        ("aten.upsample_bilinear2d.default", False), ("aten._convert_indices_from_coo_to_csr.default", False),
        ("aten._softmax.default", False), ("prims.sin.default", False),
    ],
)  # fmt: skip
def test_products_are_told_from_other_ops(op: str, product: bool) -> None:
    found: Any = torch.ops
    for name in op.split("."):
        found = getattr(found, name)
    assert is_product(found) is product
