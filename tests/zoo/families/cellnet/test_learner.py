"""CellNet's temporal training against the literal procedure, in float64, gradients included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.cellnet import IMAGES, STEM, STEMS, TASK, VARIANTS, build, samples
from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.learner import CellnetLearner, step_cosine
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.reference import LiteralCellnet
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult
from zoo.utils.errors import TrainingError


def members(module: Cellnet, literal: LiteralCellnet) -> Iterator[tuple[nn.Parameter, nn.Parameter, int, str]]:
    """Yield parameters of the module and the literal, the member number in the former, and the name."""
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
        assert ours[member].count_nonzero() == part.count_nonzero(), f"the padding of {name} is not 0"


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_equals_the_literal_procedure_in_losses_gradients_and_updates(variant: str) -> None:
    """Compares, window by window, the loss, every gradient, and every parameter after the optimizer's step."""
    options = VARIANTS[variant]
    module = build(**options).double()
    literal = LiteralCellnet(module)
    inputs, labels = samples()
    ours = CellnetLearner(module, module.config).training_steps(inputs, labels)
    theirs = [literal.training_steps(x, label) for x, label in zip(inputs, labels, strict=True)]
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


def test_training_reaches_the_stem() -> None:
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


def test_a_normalised_stem_trains_in_bfloat16() -> None:
    module = build(IMAGES, stem=STEMS["normalised_and_padded"], truncate=4)
    inputs, labels = samples(IMAGES)
    with torch.autocast("cpu", torch.bfloat16):
        (result,) = CellnetLearner(module, module.config).training_steps(inputs.float(), labels)
    result.loss.backward()
    assert result.loss.dtype == torch.float32
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any(), name


@given(seed=st.integers(0, 2**16), truncate=st.integers(1, 3), size=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_training_on_a_sample_does_not_depend_on_its_batch(seed: int, truncate: int, size: int) -> None:
    """Cores, and with them C2 and loss (a), belong to a sample."""
    torch.manual_seed(seed)
    module = Cellnet(CellnetConfig(cells=3, in_cells=1, core=3, hidden=4, steps=3, truncate=truncate), TASK).double()
    inputs, labels = torch.randn(size, 5, dtype=torch.float64), torch.randint(0, 3, (size,))

    def losses(inputs: Tensor, labels: Tensor) -> list[Tensor]:
        return [result.loss for result in CellnetLearner(module, module.config).training_steps(inputs, labels)]

    alone = [losses(inputs[i : i + 1], labels[i : i + 1]) for i in range(size)]
    together = losses(inputs, labels)
    for window, loss in enumerate(together):
        torch.testing.assert_close(loss, torch.stack([each[window] for each in alone]).mean())


def test_with_windows_of_one_step_the_task_trains_only_the_readout_and_connections_into_out_cells() -> None:
    """The reason why windows of one step do not learn to read the input: the InCells get no task gradient."""
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


def test_the_cosine_is_between_the_move_made_and_the_move_asked_for() -> None:
    before = torch.zeros(3, 2, 2)
    target = torch.tensor([[[1.0, 0], [0, 0]]]).expand(3, 2, 2)
    after = torch.stack([2 * target[0], -target[0], torch.tensor([[0.0, 3], [0, 0]])])
    torch.testing.assert_close(step_cosine(before, after, target), torch.tensor([1.0, -1.0, 0.0]))


def test_a_network_learns_while_the_padding_of_smaller_cores_stays_zero() -> None:
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


def test_the_loop_takes_one_optimizer_step_per_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_it_trains_in_bfloat16_and_keeps_the_cores_in_float32(tmp_path: Path) -> None:
    result = small_run(tmp_path, "train.precision=bf16")
    assert all(math.isfinite(record["train_loss"]) for record in result.history)
    with torch.autocast("cpu", torch.bfloat16):
        trace = result.module(torch.randn(2, 1, 8, 8), 2, trace=True)
    assert {core.dtype for core in trace.cores} == {torch.float32}


@pytest.mark.parametrize(
    "options", [{"truncate": 4}, {"truncate": 3, "input_steps": 4}, {"truncate": 1, "loss_a": 0.0}]
)
def test_windows_with_input_give_every_parameter_a_gradient(options: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("zoo.families.cellnet.learner._processes", lambda: 2)
    module = build(**options)
    inputs, labels = torch.randn(3, 5), torch.tensor([0, 1, 2])
    for result in CellnetLearner(module, module.config).training_steps(inputs, labels):
        module.zero_grad()
        result.loss.backward()
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_window_without_input_is_refused_on_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(truncate=2)
    monkeypatch.setattr("zoo.families.cellnet.learner._processes", lambda: 2)
    with pytest.raises(TrainingError, match=r"model.truncate 2 makes a window without input.* set model.truncate to 4"):
        CellnetLearner(module, module.config)


def train_on(device: str) -> dict[str, torch.device]:
    module = build(truncate=2, core=(4, 1, 6, 3)).to(device)
    inputs, labels = torch.randn(3, 5).to(device), torch.tensor([0, 1, 2]).to(device)
    for result in CellnetLearner(module, module.config).training_steps(inputs, labels):
        result.loss.backward()
    return {name: parameter.grad.device for name, parameter in module.named_parameters() if parameter.grad is not None}


def test_all_tensors_stay_on_the_device_of_module_and_inputs() -> None:
    """The meta device refuses operations with tensors of other devices."""
    assert {device.type for device in train_on("meta").values()} == {"meta"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_trains_on_cuda() -> None:
    assert {device.type for device in train_on("cuda").values()} == {"cuda"}
