"""Steps that are not finite: found on the host before they are taken, or skipped on the device and found later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo.training.finite
import zoo.training.loop
import zoo.training.setup
from tests.support.training import fit, stop_at
from zoo.families.learner import StepResult
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.finite import DeviceGuard, HostGuard, NotFiniteError, decides_on_device, fuses
from zoo.training.run import Run
from zoo.utils.errors import TrainingError

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def decided_on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as on a GPU, with an optimizer that skips steps by itself."""
    monkeypatch.setattr(zoo.training.finite, "decides_on_device", lambda settings, device: True)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were set up, which outlive an error."""
    found: list[Run] = []
    usual = zoo.training.loop.setup

    def setup(*args: Any, **options: Any) -> Run:
        found.append(usual(*args, **options))
        return found[-1]

    monkeypatch.setattr(zoo.training.loop, "setup", setup)
    return found


def spoil_loss(result: StepResult) -> StepResult:
    return StepResult(result.loss * float("nan"), result.logs)


def spoil_gradient(result: StepResult) -> StepResult:
    return StepResult((result.loss * 0).sqrt() + 1, result.logs)  # finite at 0, where the slope is not


@pytest.mark.usefixtures("decided_on_device")
@pytest.mark.parametrize(
    ("spoil", "what"), [(spoil_loss, "the loss is nan"), (spoil_gradient, "the gradient's norm is nan")]
)
def test_a_skipped_step_and_those_after_it_leave_the_weights_of_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[Run], spoil: Any, what: str
) -> None:
    options = ["train.schedule={name: constant}", "train.clip_norm=1", "train.log_every=100"]
    fit(tmp_path / "two", *options, "train.steps=2")
    stop_at(monkeypatch, 3, spoil)
    expected = rf"stopped in step 3 \(epoch 1\): {what}, the last finite loss was \d"
    with pytest.raises(TrainingError, match=expected) as info:
        fit(tmp_path / "spoilt", *options, "train.checkpoint_every=6")
    assert "\n" not in str(info.value)
    assert runs[-1].step == 6, "the losses are read back after the last step of the round"
    wanted = load_checkpoint(tmp_path / "two")["module"]
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in runs[-1].plain.state_dict().items())
    assert load_checkpoint(tmp_path / "spoilt")["step"] == 0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_skipped_step_changes_no_bit_of_the_weights(name: str) -> None:
    weight = nn.Parameter(torch.arange(1.0, 5.0))
    options: dict[str, Any] = {"momentum": 0.9} if name == "sgd" else {}
    made = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    optimizer = made([weight], lr=0.1, weight_decay=0.1, fused=True, **options)
    guard = DeviceGuard(optimizer, CPU)
    kept = []
    for step, loss in enumerate([1.0, 2.0, float("inf"), 3.0], start=1):
        guard.see(step, 0.1, torch.tensor(loss))
        weight.grad = weight.detach() * loss
        guard.allow(None)
        optimizer.step()
        kept.append(weight.detach().clone())
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1], kept[2])
    assert torch.equal(kept[1], kept[3])
    with pytest.raises(NotFiniteError, match="the loss is inf") as info:
        guard.settle()
    assert (info.value.step, info.value.last_loss) == (3, 2.0)


@pytest.mark.usefixtures("decided_on_device")
def test_an_error_is_found_at_the_first_logged_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[Run]
) -> None:
    stop_at(monkeypatch, 2, spoil_loss)
    with pytest.raises(TrainingError, match="stopped in step 2 "):
        fit(tmp_path, "train.log_every=3", "train.checkpoint_every=6")
    assert runs[0].step == 3


def test_both_guards_log_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fit(tmp_path / "host", "train.clip_norm=1")
    monkeypatch.setattr(zoo.training.finite, "decides_on_device", lambda settings, device: True)
    device = fit(tmp_path / "device", "train.clip_norm=1")
    for a, b in zip(host.history, device.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)


def test_an_optimizer_is_fused_on_the_cpu_and_on_cuda() -> None:
    settings = load_recipe("gridnet-digits").train
    assert fuses(settings, CPU)
    assert fuses(settings, CUDA)
    assert not fuses(settings, torch.device("mps"))
    half = settings.model_copy(update={"precision": "fp16"})
    assert fuses(half, CPU)
    assert not fuses(half, CUDA)
    assert not fuses(load_recipe("normnet-mnist-literal").train, CPU)


def test_a_host_guard_takes_an_overflow_of_the_norm_only_where_a_scaler_skips_the_step() -> None:
    for may_overflow in (False, True):
        guard = HostGuard(may_overflow)
        guard.see(1, 0.1, torch.tensor(2.0))
        if may_overflow:
            assert guard.allow(torch.tensor(float("inf")))["grad_norm"] == float("inf")
        else:
            with pytest.raises(NotFiniteError, match="norm is inf"):
                guard.allow(torch.tensor(float("inf")))


def test_the_device_decides_on_cuda_with_a_fused_optimizer_outside_fp16() -> None:
    settings = load_recipe("gridnet-digits").train
    assert decides_on_device(settings, CUDA)
    assert not decides_on_device(settings, CPU)
    assert not decides_on_device(settings, torch.device("mps"))
    assert not decides_on_device(settings.model_copy(update={"precision": "fp16"}), CUDA)
    assert not decides_on_device(load_recipe("normnet-mnist-literal").train, CUDA)


def test_a_checkpoint_of_a_fused_optimizer_resumes_without_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[Run]
) -> None:
    for first in (True, False):
        folder = tmp_path / str(first)
        monkeypatch.setattr(zoo.training.setup, "fuses", lambda settings, device, first=first: first)
        with monkeypatch.context() as patch:
            stop_at(patch, 4, refuse)
            with pytest.raises(TrainingError):
                fit(folder)
        monkeypatch.setattr(zoo.training.setup, "fuses", lambda settings, device, first=first: not first)
        assert fit(folder, resume=True).steps == 6
        assert runs[-1].optimizer.param_groups[0]["fused"] is (None if first else True)


def refuse(result: StepResult) -> StepResult:
    raise TrainingError("enough")


def test_a_resumed_run_names_the_last_loss_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 3, spoil_loss)  # the first step after the checkpoint of step 2
    with pytest.raises(TrainingError, match="stopped in step 3"):
        fit(tmp_path, "train.log_every=100")
    loss = load_checkpoint(tmp_path)["history"][-1]["train_loss"]
    stop_at(monkeypatch, 1, spoil_loss)
    with pytest.raises(TrainingError, match=rf"stopped in step 3 .*, the last finite loss was {loss:.4g}, lr"):
        fit(tmp_path, "train.log_every=100", resume=True)
