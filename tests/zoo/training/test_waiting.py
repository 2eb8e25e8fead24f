"""A training step reads nothing back from its device, so that a GPU and its host never wait for each other.

test_pretended_gpu.py tests the same without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

import zoo.training.loop
from tests.support.reads import Reads
from zoo.data.sampling import evaluation_batches, training_batches
from zoo.recipe import load_recipe
from zoo.training.evaluate import evaluate
from zoo.training.loop import _step, train
from zoo.training.run import Run
from zoo.training.setup import setup

Batches = Iterator[tuple[Tensor, Tensor]]
RECIPES = {
    "gridnet": (
        "gridnet-digits",
        ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "data.augment={shift: 1}"],
    ),
    "gridnet, clipped and averaged": (
        "gridnet-digits",
        ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "train.clip_norm=1", "train.ema=0.9"],
    ),
    "cellnet": ("cellnet-digits", []),
    "normnet": ("normnet-digits", []),
    "normnet, power loss": ("normnet-digits", ["model.loss=power"]),
    "snapshots": ("snapshots-digits", []),
    "nca": ("nca-iris", []),
    "nca, generated tasks": ("nca-learner", ["model.meta.population=2"]),
}


@contextmanager
def started(
    name: str, folder: Path, device: str, batches: int
) -> Iterator[tuple[Run, Iterator[tuple[Tensor, Tensor]]]]:
    recipe, overrides = RECIPES[name]
    length = ["train.epochs=null", f"train.steps={batches}", "train.batch_size=16", "train.log_every=1000"]
    run = setup(load_recipe(recipe, [*overrides, *length]), folder, device=device, progress=False)
    run.learner.on_start(run.optimizer)
    drawn = training_batches(len(run.data.train), 16, 0, 0, batches)
    with closing(run.data.train.stream(drawn, run.accelerator.device)) as stream:
        yield run, stream
    run.log.close()


def test_an_evaluation_reads_back_once(tmp_path: Path) -> None:
    with started("gridnet", tmp_path, "cpu", 1) as (run, _), Reads() as reads:
        split = run.data.validation
        assert len(list(evaluation_batches(len(split), 16))) > 3
        evaluate(run.plain, split, run.learner.objective, 16, torch.device("cpu"))
    assert not reads.found


def test_reads_are_counted_in_forward_and_backward() -> None:
    class Curious(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            return grad * float(grad.sum())

    x = torch.ones(3, requires_grad=True)
    with Reads() as reads:
        (Curious.apply(x)[x.detach() > 0].sum() * x.detach().nonzero().numel()).backward()  # type: ignore[no-untyped-call]
    assert set(reads.found) >= {"aten::_local_scalar_dense", "aten::nonzero", "aten::index"}


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_a_step_never_waits(name: str, tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(False)  # as in a training; the other mode may wait
    with started(name, tmp_path, "cuda", 8) as (run, stream):
        for _ in range(3):
            _step(run, *next(stream))
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(4):
                _step(run, *next(stream))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        run.guard.settle()


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_steps_leave_no_memory_behind(name: str, tmp_path: Path) -> None:
    used = []
    with started(name, tmp_path, "cuda", 33) as (run, stream):
        for count in (8, 24):
            for _ in range(count):
                _step(run, *next(stream))
            run.guard.settle()
            torch.cuda.synchronize()
            torch.empty(1, device="cuda")  # torch counts what it freed for other streams when it next needs memory
            used.append(torch.cuda.memory_allocated())
    assert used[1] - used[0] < 2**18


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_a_training_ends_and_learns_as_on_the_cpu(name: str, precision: str, tmp_path: Path) -> None:
    recipe, overrides = RECIPES[name]
    length = ["train.epochs=null", "train.steps=12", "train.checkpoint_every=6", "train.batch_size=16"]
    losses = {}
    for device in ("cpu", "cuda"):
        given = load_recipe(recipe, [*overrides, *length, f"train.precision={precision}"])
        result = train(given, run_dir=tmp_path / device, device=device, progress=False)
        losses[device] = result.history[0]["train_loss"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.15)


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_a_run_may_be_resumed_on_the_other_device(tmp_path: Path) -> None:
    recipe, overrides = RECIPES["gridnet"]
    length = ["train.epochs=null", "train.steps=6", "train.checkpoint_every=2", "train.batch_size=16"]
    given = load_recipe(recipe, [*overrides, *length])
    for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
        folder = tmp_path / first
        with pytest.MonkeyPatch.context() as patch:
            save, calls = zoo.training.loop.save_checkpoint, []

            def stop(*args: object) -> None:
                save(*args)  # noqa: B023
                calls.append(args)  # noqa: B023
                if len(calls) == 1:  # noqa: B023
                    raise KeyboardInterrupt

            patch.setattr(zoo.training.loop, "save_checkpoint", stop)
            with pytest.raises(zoo.utils.errors.TrainingInterruptedError):
                train(given, run_dir=folder, device=first, progress=False)
        assert train(given, run_dir=folder, device=second, resume=True, progress=False).steps == 6
