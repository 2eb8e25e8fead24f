"""CellNet: the batched module and its temporal training against the literal ones, in float64, gradients included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig, StemConfig
from zoo.families.cellnet.learner import CellnetLearner, step_cosine
from zoo.families.cellnet.model import Cellnet, Trace
from zoo.families.cellnet.reference import LiteralCellnet
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult

TASK = Task((5,), 3)
IMAGES = Task((2, 10, 11), 3)
STEM = StemConfig(channels=(3, 4), dropout=0)
VARIANTS: dict[str, dict[str, Any]] = {
    "as_described": {},
    "two_steps_at_once": {"truncate": 2},
    "all_steps_at_once": {"truncate": 4},
    "uneven_windows": {"truncate": 3},
    "own_core_sizes": {"core": (4, 1, 6, 3), "truncate": 2},
    "own_core_sizes_literal": {"core": (2, 5, 1, 7)},
    "two_of_each": {"in_cells": 2, "out_cells": 2, "truncate": 2},
    "ring": {"topology": {"name": "ring"}, "in_cells": 2, "input_steps": 3},
    "clusters": {"cells": 6, "topology": {"name": "clusters", "size": 3}, "input_steps": 4, "truncate": 4},
    "explicit": {"topology": {"name": "explicit", "edges": ((0, 3), (1, 2), (2, 3))}, "input_steps": 3},
    "growing_weight": {"loss_growth": 0.5, "core_lr": 3.0, "loss_a": 0.7},
    "without_loss_a": {"loss_a": 0.0},
    "without_loss_a_at_once": {"loss_a": 0.0, "truncate": 4},
    "input_throughout": {"input_steps": 4, "truncate": 4},
}


def build(task: Task = TASK, **options: Any) -> Cellnet:
    torch.manual_seed(0)
    return Cellnet(CellnetConfig(**{"cells": 4, "core": 4, "hidden": 5, **options}), task)


def samples(task: Task = TASK, count: int = 3) -> tuple[Tensor, Tensor]:
    noise = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, *task.input_shape, generator=noise, dtype=torch.float64)
    return inputs, torch.arange(count) % task.num_classes


def members(module: Cellnet, literal: LiteralCellnet) -> Iterator[tuple[nn.Parameter, nn.Parameter, int, str]]:
    """The module's parameters beside the literal's, and which member of the first the second is."""
    layers = [("input", module.input, list(literal.inputs))]
    for name, stack, mlps in (
        ("connections", module.connections, literal.connections),
        ("readout", module.readout, literal.outputs),
    ):
        layers += [(f"{name}.{k}", layer, [mlp[2 * k] for mlp in mlps]) for k, layer in enumerate(stack)]
    for name, layer, linears in layers:
        for member, linear in enumerate(linears):
            yield layer.weight, linear.weight, member, f"{name}[{member}].weight"
            yield layer.bias, linear.bias, member, f"{name}[{member}].bias"


def assert_same(module: Cellnet, literal: LiteralCellnet, *, gradients: bool) -> None:
    for batched, one, member, name in members(module, literal):
        ours, theirs = (batched.grad, one.grad) if gradients else (batched.detach(), one.detach())
        if ours is None or theirs is None:
            assert ours is None or not ours[member].any(), name
            assert theirs is None or not theirs.any(), name
            continue
        part = ours[member][tuple(slice(size) for size in theirs.shape)]
        torch.testing.assert_close(part, theirs, msg=lambda text, name=name: f"{name}: {text}")
        assert ours[member].count_nonzero() == part.count_nonzero(), f"{name} has a padding that is not 0"


# The network


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_gives_what_the_literal_network_gives_sample_by_sample(variant: str) -> None:
    module = build(**VARIANTS[variant]).double()
    literal = LiteralCellnet(module)
    inputs, _ = samples()
    for steps in (1, 2, 4, 9):
        expected = torch.stack([literal(x, steps) for x in inputs])
        torch.testing.assert_close(module(inputs, steps), expected)


def test_a_stem_feeds_the_in_cells() -> None:
    module = build(IMAGES, stem=STEM).double()
    literal = LiteralCellnet(module)
    inputs, _ = samples(IMAGES)
    torch.testing.assert_close(module(inputs), torch.stack([literal(x) for x in inputs]))


def test_the_very_first_step_sends_zeros_over_every_connection() -> None:
    module = build().double()
    inputs, _ = samples()
    first = module(inputs, 1, trace=True).cores[0]
    moves = torch.zeros(4, 4, dtype=torch.float64)
    for edge, (_, target) in enumerate(module.config.edges):
        x = torch.zeros(4, dtype=torch.float64)
        for layer, act in zip(module.connections, (torch.relu, torch.relu, lambda y: y), strict=True):
            x = act(layer.weight[edge] @ x + layer.bias[edge])
        moves[target] += x
    torch.testing.assert_close(first[:, 2:], (1 + moves[2:]).expand(3, 2, 4))


def test_cores_start_as_ones_for_every_sample() -> None:
    cores = build(core=(4, 2, 1, 3)).initial_cores(2)
    assert cores.shape == (2, 4, 4)
    assert cores.sum(-1).tolist() == [[4, 2, 1, 3]] * 2


def test_input_is_given_in_the_first_steps_only() -> None:
    module = build(input_steps=2)
    inputs = torch.randn(2, 5)
    trace = module(inputs, 4, trace=True)
    later = module(torch.randn(2, 5), 4, trace=True, start=2, cores=trace.cores[1])
    torch.testing.assert_close(later.cores[-1], trace.cores[-1])
    earlier = module(torch.randn(2, 5), 2, trace=True, start=1, cores=trace.cores[0])
    assert not torch.allclose(earlier.cores[-1], trace.cores[1])


def test_a_trace_holds_cores_and_logits_of_every_step() -> None:
    module = build()
    inputs = torch.randn(2, 5)
    trace = module(inputs, 3, trace=True)
    assert isinstance(trace, Trace)
    assert [core.shape for core in trace.cores] == [(2, 4, 4)] * 3
    for step, logits in enumerate(trace.logits, 1):
        torch.testing.assert_close(logits, module(inputs, step))


def test_the_number_of_steps_is_checked() -> None:
    module = build()
    with pytest.raises(ValueError, match="steps must be a whole number above 0, found 0"):
        module(torch.randn(2, 5), 0)
    with pytest.raises(ValueError, match="above 3, found 2"):
        module(torch.randn(2, 5), 2, start=3)


def test_an_empty_batch_gives_no_logits() -> None:
    assert build()(torch.zeros(0, 5)).shape == (0, 3)


def test_layers_start_as_torchs_linear_layers_do() -> None:
    module = build(core=(16, 64, 64, 64), hidden=32)
    for edge, (source, _) in enumerate(module.config.edges):
        weight = module.connections[0].weight[edge].detach()
        size = (16, 64, 64, 64)[source]
        assert weight[:, :size].abs().max() <= size**-0.5
        assert weight[:, :size].std().item() == pytest.approx((3 * size) ** -0.5, rel=0.15)
        assert not weight[:, size:].any()


# Temporal training


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_is_the_literal_procedure_with_its_gradients(variant: str) -> None:
    """Window after window: the loss, every parameter's gradient, and the parameters after the optimizer's step."""
    options = VARIANTS[variant]
    module = build(**options).double()
    literal = LiteralCellnet(module)
    inputs, labels = samples()
    ours = CellnetLearner(module, module.config).training_steps(inputs, labels)
    theirs = [literal.training_steps(x, label) for x, label in zip(inputs, labels, strict=True)]
    # sgd with decay, so that parameters without a gradient are told from those with a gradient of 0
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.2) for net in (module, literal)]
    windows = 0
    for result in ours:
        loss = torch.stack([next(sample) for sample in theirs]).mean()
        torch.testing.assert_close(result.loss, loss)
        for optimizer, total in zip(optimizers, (result.loss, loss), strict=True):
            optimizer.zero_grad()
            total.backward()
        assert_same(module, literal, gradients=True)
        for optimizer in optimizers:
            optimizer.step()
        assert_same(module, literal, gradients=False)
        windows += 1
    assert all(next(sample, None) is None for sample in theirs)
    steps = module.config.steps if module.config.loss_a else module.config.input_steps
    assert windows == -(-steps // module.config.truncate)


def test_training_trains_the_stem_as_well() -> None:
    module = build(IMAGES, stem=STEM, truncate=4).double()
    literal = LiteralCellnet(module)
    inputs, labels = samples(IMAGES)
    (result,) = CellnetLearner(module, module.config).training_steps(inputs, labels)
    result.loss.backward()
    ours = [parameter.grad.clone() for parameter in module.stem.parameters()]  # type: ignore[union-attr]
    module.zero_grad()
    losses = [next(literal.training_steps(x, label)) for x, label in zip(inputs, labels, strict=True)]
    torch.stack(losses).mean().backward()
    for found, parameter in zip(ours, literal.stem.parameters(), strict=True):
        assert found.any()
        torch.testing.assert_close(found, parameter.grad)


@given(seed=st.integers(0, 2**16), truncate=st.integers(1, 3), size=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_a_sample_is_trained_the_same_whatever_its_batch(seed: int, truncate: int, size: int) -> None:
    """Cores, and with them C2 and loss (a), are a sample's own."""
    torch.manual_seed(seed)
    module = Cellnet(CellnetConfig(cells=3, in_cells=1, core=3, hidden=4, steps=3, truncate=truncate), TASK).double()
    inputs, labels = torch.randn(size, 5, dtype=torch.float64), torch.randint(0, 3, (size,))

    def losses(inputs: Tensor, labels: Tensor) -> list[Tensor]:
        return [result.loss for result in CellnetLearner(module, module.config).training_steps(inputs, labels)]

    alone = [losses(inputs[i : i + 1], labels[i : i + 1]) for i in range(size)]
    together = losses(inputs, labels)
    for window, loss in enumerate(together):
        torch.testing.assert_close(loss, torch.stack([each[window] for each in alone]).mean())


def test_as_described_the_task_reaches_the_readout_and_the_connections_into_out_cells_only() -> None:
    """Why windows of one step do not learn to read the input: its way into the InCells has no task gradient."""
    module = build(topology={"name": "explicit", "edges": ((0, 3), (1, 2), (2, 3))}, input_steps=3, loss_a=0.0)
    reached = set()
    for result in CellnetLearner(module, module.config).training_steps(torch.randn(4, 5), torch.tensor([0, 1, 2, 0])):
        module.zero_grad()
        result.loss.backward()
        reached |= {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}
    assert "readout.0.weight" in reached
    assert "input.weight" not in reached
    edge = module.config.edges.index((1, 2))
    assert not module.connections[2].weight.grad[edge].any()  # type: ignore[union-attr]


def test_the_logs_are_means_over_the_sequence() -> None:
    module = build(input_steps=2)
    results = list(
        CellnetLearner(module, module.config).training_steps(
            *(t.float() if t.is_floating_point() else t for t in samples())
        )
    )
    logs = results[-1].logs
    assert set(logs) == {"accuracy", "loss_a", "loss_b", "cosine_with_input", "cosine_without_input"}
    assert all(torch.isfinite(value) for value in logs.values())
    assert len(results) == 4


def test_the_cosine_is_between_the_move_made_and_the_move_wanted() -> None:
    before = torch.zeros(3, 2, 2)
    wanted = torch.tensor([[[1.0, 0], [0, 0]]]).expand(3, 2, 2)
    made = torch.stack([2 * wanted[0], -wanted[0], torch.tensor([[0.0, 3], [0, 0]])])
    torch.testing.assert_close(step_cosine(before, made, wanted), torch.tensor([1.0, -1.0, 0.0]))


def test_a_network_learns_and_its_own_core_sizes_stay_within_bounds() -> None:
    torch.manual_seed(0)
    module = build(Task((2,), 2), core=(8, 3, 5, 8), hidden=16, truncate=4, input_steps=3)
    inputs = torch.randn(128, 2)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long()
    learner, optimizer = CellnetLearner(module, module.config), torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(80):
        for result in learner.training_steps(inputs, labels):
            optimizer.zero_grad()
            result.loss.backward()
            optimizer.step()
    assert (module(inputs).argmax(-1) == labels).float().mean() > 0.9
    assert not module(inputs, 4, trace=True).cores[-1][:, 1, 3:].any()


def small_run(run_dir: Path, *overrides: str) -> TrainResult:
    model = "model={family: cellnet, cells: 4, core: 8, hidden: 8, truncate: 2}"
    length = ["train.epochs=null", "train.steps=4", "train.checkpoint_every=2", "train.batch_size=16", "train.ema=null"]
    recipe = load_recipe("cellnet-digits", [model, *length, *overrides])
    return train(recipe, run_dir=run_dir, device="cpu", progress=False)


def test_the_loop_takes_an_optimizer_step_for_each_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    usual = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *args: Any) -> Any:
        nonlocal taken
        taken += 1
        return usual(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    result = small_run(tmp_path)
    assert (result.steps, taken) == (4, 8)
    logged = {"train_loss_a", "train_loss_b", "train_cosine_with_input", "train_cosine_without_input"}
    assert all(logged <= set(record) for record in result.history)


def test_it_trains_in_bfloat16_with_cores_in_float32(tmp_path: Path) -> None:
    result = small_run(tmp_path, "train.precision=bf16")
    assert all(math.isfinite(record["train_loss"]) for record in result.history)
    with torch.autocast("cpu", torch.bfloat16):
        trace = result.module(torch.randn(2, 1, 8, 8), 2, trace=True)
    assert {core.dtype for core in trace.cores} == {torch.float32}


@pytest.mark.parametrize(
    "options", [{"truncate": 4}, {"truncate": 3, "input_steps": 4}, {"truncate": 1, "loss_a": 0.0}]
)
def test_several_processes_train_windows_that_all_have_input(options: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("zoo.families.cellnet.learner._processes", lambda: 2)
    module = build(**options)
    inputs, labels = torch.randn(3, 5), torch.tensor([0, 1, 2])
    for result in CellnetLearner(module, module.config).training_steps(inputs, labels):
        module.zero_grad()
        result.loss.backward()
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_several_processes_refuse_a_window_without_input(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(truncate=2)
    monkeypatch.setattr("zoo.families.cellnet.learner._processes", lambda: 2)
    with pytest.raises(ValueError, match=r"model.truncate 2 makes a window without input.* set model.truncate to 4"):
        CellnetLearner(module, module.config)


def train_on(device: str) -> dict[str, torch.device]:
    module = build(truncate=2, core=(4, 1, 6, 3)).to(device)
    inputs, labels = torch.randn(3, 5).to(device), torch.tensor([0, 1, 2]).to(device)
    for result in CellnetLearner(module, module.config).training_steps(inputs, labels):
        result.loss.backward()
    return {name: parameter.grad.device for name, parameter in module.named_parameters() if parameter.grad is not None}


def test_everything_stays_on_the_device_of_module_and_inputs() -> None:
    """The meta device refuses operations with tensors of any other."""
    assert {device.type for device in train_on("meta").values()} == {"meta"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_it_trains_on_cuda() -> None:
    assert {device.type for device in train_on("cuda").values()} == {"cuda"}


# What cannot work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_cells": 3, "out_cells": 2}, "in_cells 3 and out_cells 2 together exceed the 4 cells"),
        ({"core": (4, 4)}, "core lists 2 sizes, there are 4 cells"),
        ({"input_steps": 5}, "input_steps 5 must not exceed the 4 steps"),
        ({"truncate": 5}, "truncate 5 must not exceed the 4 steps"),
        ({"input_steps": 1}, "input_steps 1 end before the input reaches OutCell 3, in step 2"),
        ({"topology": {"name": "explicit", "edges": ((0, 1),)}}, "topology leads from no InCell to OutCell 3"),
        ({"cells": 1}, "greater than or equal to 2"),
        ({"steps": 0}, "greater than 0"),
        ({"core_lr": 0}, "greater than 0"),
    ],
)
def test_a_config_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (TASK, r"a stem takes images \[C, H, W\], the data has inputs of shape \[5\]"),
        (Task((1, 9, 12), 3), "an image of 9x12 is too small for a stem of 2 convolutions"),
    ],
)
def test_data_that_does_not_fit_is_refused(task: Task, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, stem=STEM)
