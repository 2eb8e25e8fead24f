"""Training in several processes, as `torchrun` starts them, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import sdk
from tests.support.paths import ROOT
from tests.support.starting import FAMILIES, make_source
from tests.support.training import SMALL, fit, metrics
from zoo.training.checkpoint import load_checkpoint
from zoo.training.placement import check_launch
from zoo.utils.errors import TrainingError

# What `torchrun --standalone --nproc-per-node 2` does; where fork is safe, torch is imported only once.
TWO_PROCESSES = """
import os, random, signal, sys
from pathlib import Path
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from zoo.families.learner import Learner
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.loop import train
from zoo.training.run import Callback

def run():
    assert os.environ["WORLD_SIZE"] == "2"
    if {dies}:
        usual = Learner.training_step
        def training_step(self, inputs, labels):
            run = Path(sys.argv[1])
            started = (run / "checkpoint.safetensors").is_file() and load_checkpoint(run)["step"] > 0
            if os.environ["RANK"] == "1" and started:
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(self, inputs, labels)
        Learner.training_step = training_step
    train(
        load_recipe("gridnet-digits", {overrides!r}), run_dir=sys.argv[1], progress=False, callbacks=[Ending()],
        metrics=dict(share=share, draw=lambda *_: random.SystemRandom().random()),
    )

def share(logits, labels):
    assert logits.shape == (40, 10)
    return float((logits.argmax(1) == labels).mean())

class Ending(Callback):  # in the second process alone, it ends the training at step 4
    def on_validation(self, run, record):
        return os.environ["RANK"] == "1" and record["step"] == 4

    def on_round_end(self, run, record):
        Path(sys.argv[1] + os.environ["RANK"]).write_text(repr([record["validation_share"], record["validation_draw"]]))

if __name__ == "__main__":
    once = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="test", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, start_method="fork" if sys.platform == "linux" else "spawn",
    )
    elastic_launch(once, run)()
"""


def launch(folder: Path, overrides: list[str], dies: bool = False) -> subprocess.CompletedProcess[str]:
    """Train the small recipe in two processes; with ``dies``, one is killed after the first checkpoint."""
    script = folder / "script.py"
    script.write_text(TWO_PROCESSES.format(overrides=[*SMALL, *overrides], dies=dies))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(script), str(folder / "two")]
    return subprocess.run(command, env=environment, capture_output=True, timeout=300, text=True)


def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    options = ["train.schedule={name: constant}", "train.steps=4"]
    alone = fit(tmp_path / "alone", *options)
    finished = launch(tmp_path, [*options, "train.steps=20"])
    assert finished.returncode == 0, finished.stderr
    average = load_checkpoint(tmp_path / "two")["average"]
    for name, tensor in alone.module.state_dict().items():
        torch.testing.assert_close(average[f"module.{name}"], tensor, rtol=1e-3, atol=1e-4)
    (one,), (two,) = metrics(tmp_path / "alone", "test"), metrics(tmp_path / "two", "test")
    assert one["total"] == two["total"] == 360
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
    # Metrics see the validation split of both; a callback of one process ends both.
    rounds = metrics(tmp_path / "two", "round")
    assert [record["step"] for record in rounds] == [2, 4]
    assert all(record["validation_share"] == pytest.approx(record["validation_accuracy"]) for record in rounds)
    last = repr([rounds[-1]["validation_share"], rounds[-1]["validation_draw"]])
    assert [(tmp_path / f"two{rank}").read_text() for rank in (0, 1)] == [last, last]


def test_the_death_of_one_process_ends_the_other_within_a_minute(tmp_path: Path) -> None:
    started = time.monotonic()
    finished = launch(tmp_path, ["train.steps=100000"], dies=True)
    assert finished.returncode != 0
    assert "another process of this run has died" in finished.stderr or "SIGKILL" in finished.stderr
    assert time.monotonic() - started < 60
    assert load_checkpoint(tmp_path / "two")["step"] > 0


@pytest.mark.parametrize("wanted", ["2", "16"])
def test_processes_that_did_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", wanted)
    with pytest.raises(TrainingError, match=f"the launcher started {wanted} processes .*, and this run has 1"):
        check_launch(1)


@pytest.mark.parametrize("wanted", ["1", ""])
def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", wanted)
    check_launch(1)


def test_two_processes_start_from_a_model_and_keep_its_frozen_weights(tmp_path: Path) -> None:
    source = make_source("gridnet-digits", tmp_path / "source")
    options = [*FAMILIES["gridnet-digits"], f"train.start_from={source}", "train.freeze=[weight]"]
    finished = launch(tmp_path, options)
    assert finished.returncode == 0, finished.stderr
    state = load_checkpoint(tmp_path / "two")
    trained = sdk.load(source, "torch").module.state_dict()
    for part, prefix in ((state["module"], ""), (state["average"], "module.")):
        assert torch.equal(part[f"{prefix}weight"], trained["weight"])
        assert not torch.equal(part[f"{prefix}bias"], trained["bias"])
    assert state["start_from"]["new_parameters"] == 0
