"""``train.cuda_graph``: who may use it, what it leaves unchanged, and on a GPU the bits of a training with it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.reads import Reads
from zoo.config.train import TrainConfig
from zoo.data.sampling import training_batches
from zoo.families.registry import get_family, own_names
from zoo.recipe import Recipe, load_recipe
from zoo.training import cuda_graph
from zoo.training.cuda_graph import check_capturable
from zoo.training.loop import _step, train
from zoo.training.metrics_log import RunLog
from zoo.training.setup import setup
from zoo.utils.errors import TrainingError

LENGTH = ["train.epochs=null", "train.steps=6", "train.checkpoint_every=3", "train.batch_size=16"]
CAPTURABLE = {
    "gridnet": ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}"],
    "gridnet, clipped and averaged": [
        "model={family: gridnet, grid: [8, 8, 2], block: 2, inner_steps: 2}", "train.clip_norm=1", "train.ema=0.9",
    ],
    "mlp": ["model={family: mlp, hidden: [9], dropout: 0.5}"],
    "mlp, sparse": [
        "model={family: mlp, hidden: [9], sparsity: {method: rigl, density: 0.5, layers: erk, stop: 5, every: 2}}",
    ],
    "cnn": ["model={family: cnn, channels: [4, 5], hidden: [6], dropout: 0.5}"],
}  # fmt: skip


def recipe_of(name: str, *overrides: str) -> Recipe:
    return load_recipe("gridnet-digits", ["train.ema=null", *CAPTURABLE[name], *LENGTH, *overrides])


@pytest.mark.parametrize("name", ["cellnet-digits", "nca-iris", "normnet-digits", "snapshots-digits"])
def test_a_family_whose_steps_differ_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    given = load_recipe(name, ["train.cuda_graph=true"])
    with pytest.raises(TrainingError, match=r"cuda_graph: found true, and family \w+ makes choices .* leave the key"):
        setup(given, tmp_path, device="cpu", progress=False)
    assert not list(tmp_path.iterdir())


def test_fp16_and_several_processes_are_refused() -> None:
    gridnet = get_family("gridnet")
    with pytest.raises(TrainingError, match=r"found true with train\.precision fp16, allowed with fp32 and bf16"):
        check_capturable(gridnet, "fp16", 1)
    with pytest.raises(TrainingError, match="found true in 2 processes, allowed in one"):
        check_capturable(gridnet, "fp32", 2)
    check_capturable(gridnet, "bf16", 1)


def test_the_key_is_stored_only_where_it_is_set() -> None:
    assert "cuda_graph" not in TrainConfig().model_dump()
    assert TrainConfig(cuda_graph=True).model_dump()["cuda_graph"] is True


def test_without_a_gpu_a_note_says_so_and_the_weights_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(RunLog, "note", lambda self, line: notes.append(line))
    found = [
        train(recipe_of("mlp", f"train.cuda_graph={key}"), run_dir=tmp_path / key, device="cpu", progress=False)
        for key in ("false", "true")
    ]
    assert sum("no CUDA graphs on cpu, steps run without" in note for note in notes) == 1
    for first, second in zip(*(result.module.parameters() for result in found), strict=True):
        assert torch.equal(first, second)


class _Calls(TorchDispatchMode):
    """Records the ops of a step and the sizes of their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found.append((func._schema.name, [tuple(a.shape) for a in args if isinstance(a, Tensor)]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", CAPTURABLE)
def test_every_step_of_a_capturable_family_is_the_same_calls_on_the_same_memory(name: str, tmp_path: Path) -> None:
    run = setup(recipe_of(name), tmp_path, device="cpu", progress=False)
    run.learner.on_start(run.optimizer)
    addresses = [p.data_ptr() for p in run.module.parameters()]
    steps: list[list[object]] = []
    drawn = training_batches(len(run.data.train), 16, 0, 0, 6)
    with closing(run.data.train.stream(drawn, run.accelerator.device)) as stream:
        for inputs, labels in stream:
            with _Calls() as calls, Reads() as reads:
                torch.autograd.grad(run.module(inputs).sum(), list(run.module.parameters()))
            assert not reads.found
            steps.append(calls.found)
            _step(run, inputs, labels)
    run.log.close()
    assert len(steps) == 6
    assert all(step == steps[0] for step in steps)
    assert [p.data_ptr() for p in run.module.parameters()] == addresses


def test_the_table_tests_every_capturable_family() -> None:
    capturable = {name for name in own_names() if get_family(name).capturable}
    assert capturable == {name.partition(",")[0] for name in CAPTURABLE}


def test_the_passes_before_a_capture_leave_buffers_and_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = setup(recipe_of("cnn"), tmp_path, device="cpu", progress=False)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state))
    before = {name: value.clone() for name, value in run.module.state_dict().items()}
    drawn = torch.get_rng_state()
    with cuda_graph._unchanged(run.module, torch.device("cpu")):
        run.module.train()(torch.randn(16, *run.data.task.input_shape))
        assert any(not torch.equal(before[name], value) for name, value in run.module.state_dict().items())
        assert not torch.equal(drawn, torch.get_rng_state())
    run.log.close()
    assert all(torch.equal(before[name], value) for name, value in run.module.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_on_a_gpu_a_training_with_graphs_gives_the_bits_of_one_without(
    name: str, precision: str, tmp_path: Path
) -> None:
    found = [
        train(
            recipe_of(name, f"train.cuda_graph={key}", f"train.precision={precision}"),
            run_dir=tmp_path / key, device="cuda", progress=False,
        )
        for key in ("false", "true")
    ]  # fmt: skip
    for first, second in zip(*(result.module.state_dict().values() for result in found), strict=True):
        assert torch.equal(first, second)
    assert found[0].history[-1]["train_loss"] == found[1].history[-1]["train_loss"]


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_a_step_is_two_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replays: list[int] = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: (replays.append(1), replay(self))[1])
    train(recipe_of("gridnet", "train.cuda_graph=true"), run_dir=tmp_path / "run", device="cuda", progress=False)
    assert len(replays) == 2 * 6
