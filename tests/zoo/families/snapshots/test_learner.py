"""Training: all rules together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.data.task import Task
from zoo.families.snapshots.config import PhaseConfig, SnapshotsConfig
from zoo.families.snapshots.learner import SnapshotsLearner
from zoo.families.snapshots.model import SnapshotNet

PHASES = (
    PhaseConfig(name="coarse", until=4, structures=4, snapshots=2),
    PhaseConfig(name="fine", until=10, structures=9, snapshots=2),
)
OPTIONS: dict[str, Any] = {
    "hidden": (12, 8),
    "max_density": 0.9,
    "sweeps": 1,
    "trigger": {"every": 1, "window": 2},
    "extrema": {"ends": "all", "share": 0.3},
    "routing": {"reciprocal": 0, "complete": True, "choice": "gradient"},
    "economy": {"price": 10},
    "phases": PHASES,
    "stabilisation": 2,
}


class Training:
    """Drives a learner as the loop does, on a task that depends on the signs of the first two inputs."""

    def __init__(self, **options: Any) -> None:
        torch.manual_seed(0)
        self.config = SnapshotsConfig(**{**OPTIONS, **options})
        self.net = SnapshotNet(self.config, Task((6,), 3))
        self.learner = SnapshotsLearner(self.net, self.config)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.02)
        self.step = self.epoch = 0

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(64, 6, generator=torch.Generator().manual_seed(seed))
        return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    def epochs(self, count: int, accuracy: Callable[[int], float] | None = None, steps: int = 6) -> None:
        for _ in range(count):
            torch.manual_seed(self.epoch)
            for _ in range(steps):
                result = self.learner.training_step(*self.batch(self.step))
                self.optimizer.zero_grad()
                result.loss.backward()
                self.optimizer.step()
                self.step += 1
                self.learner.on_step_end(self.step)
            self.epoch += 1
            self.learner.on_epoch_end(self.epoch)
            self.learner.on_validation(self.step, accuracy(self.epoch) if accuracy else self.measured())

    def measured(self) -> float:
        x, labels = self.batch(10**6)
        with torch.no_grad():
            return float((self.net(x).argmax(-1) == labels).float().mean())

    def finish(self) -> None:
        self.learner.on_finish(iter([self.batch(10**6 + i) for i in range(3)]))


def test_the_network_grows_within_its_limits_and_learns() -> None:
    training = Training()
    start = int(training.net.edges)
    training.epochs(10)
    growth = training.net.growth
    assert len(growth) >= 3
    assert int(training.net.edges) == growth[-1][2] > start
    assert all(after[0] - before[0] >= 2 for before, after in pairwise(growth))
    coarse = sum(structures for epoch, structures, _ in growth if epoch < 4)
    assert 0 < coarse <= 4
    assert sum(structures for _, structures, _ in growth) <= 13
    assert training.learner.finished
    assert training.measured() > 0.6


def test_a_snapshot_at_growth_is_the_network_that_was_validated_before_it_grew() -> None:
    training = Training()
    for epoch in range(1, 11):
        training.epochs(1, steps=5)
        saved = training.net.snapshots
        if training.net.growth and training.net.growth[-1][0] == epoch:
            last = saved[len(saved) - 1]
            assert last.epoch == epoch
            assert last.edges < int(training.net.edges)
            assert not last.values[last.edges : len(training.net.weight)].any()


def test_growth_leaves_existing_edges_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    net, lay = training.net, training.net.lay

    def checked(*edges: Tensor) -> None:
        count, before = int(net.edges), torch.cat([net.source, net.target, net.weight.detach()])
        lay(*edges)
        after = torch.cat([net.source, net.target, net.weight.detach()]).view(3, -1)
        assert torch.equal(after[:, :count], before.view(3, -1)[:, :count])

    monkeypatch.setattr(net, "lay", checked)
    training.epochs(10)
    assert net.growth


def test_attempts_that_add_nothing_cost_nothing() -> None:
    """The original paid for growth that did not take place."""
    training = Training(extrema={"share": 0.0, "high": 1.0, "low": 0.0})
    training.epochs(10)
    assert training.net.growth == []
    assert training.learner.limits.used == [0, 0]
    assert training.learner.economy.credits > 10


def test_without_credits_nothing_grows() -> None:
    training = Training(economy={"price": 10**6})
    training.epochs(10)
    assert training.net.growth == []


def test_snapshots_are_saved_at_gains_at_phase_ends_and_at_the_end() -> None:
    training = Training(economy={"price": 10**6})
    training.epochs(10, accuracy=lambda epoch: 0.5 if epoch < 3 else 0.53)
    store = training.net.snapshots
    assert [store[i].epoch for i in range(len(store))] == [3, 4, 10]
    assert [store[i].phase for i in range(len(store))] == [0, 0, 1]


def test_the_edge_budget_is_never_exceeded() -> None:
    training = Training(max_density=0.25)
    training.epochs(10)
    assert int(training.net.edges) == len(training.net.weight) == int(0.25 * training.net.layout.possible)


def test_the_ensemble_is_fitted_at_the_end_of_training() -> None:
    training = Training()
    training.epochs(7)
    training.finish()
    net = training.net
    assert net.has_ensemble
    assert net.mixture.sum().item() == pytest.approx(1)
    assert 0 <= float(net.threshold) <= 1
    last = net.snapshots[len(net.snapshots) - 1]
    assert torch.equal(last.values, torch.cat([net.weight.detach(), net.bias.detach()]))
    assert (last.epoch, last.phase) == (7, 1)
    findings = training.learner.findings()
    assert len(findings["snapshots"]) == len(net.snapshots)
    assert findings["snapshots"][-1]["edges"] == findings["growth"][-1]["edges"]
    assert {entry["phase"] for entry in findings["snapshots"]} == {"coarse", "fine"}


def test_finishing_twice_changes_nothing() -> None:
    training = Training()
    training.epochs(7)
    training.finish()
    once = {name: tensor.clone() for name, tensor in training.net.state_dict().items()}
    training.finish()
    assert all(torch.equal(once[name], tensor) for name, tensor in training.net.state_dict().items())


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_resumed_training_equals_an_uninterrupted_one(stop: int) -> None:
    straight, first = Training(), Training()
    straight.epochs(9)
    first.epochs(stop)
    second = Training()
    second.net.load_state_dict(first.net.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.learner.load_state_dict(first.learner.state_dict())
    second.step, second.epoch = first.step, first.epoch
    second.epochs(9 - stop)
    for name, tensor in straight.net.state_dict().items():
        assert torch.equal(tensor, second.net.state_dict()[name]), name
    assert straight.learner.state_dict() == second.learner.state_dict()


def test_a_validation_within_an_epoch_decides_nothing_and_saved_batches_are_restored() -> None:
    training = Training()
    training.learner.training_step(*training.batch(0))
    training.learner.on_validation(1, 0.9)
    assert training.net.growth == []
    assert len(training.net.snapshots) == 0
    other = Training()
    other.learner.load_state_dict(training.learner.state_dict())
    assert torch.equal(other.learner.recent[0][0], training.learner.recent[0][0])


def test_credits_pause_while_growth_settles_only_if_the_economy_says_so() -> None:
    earned = {}
    for pause in (False, True):
        training = Training(economy={"price": 10, "pause": pause}, stabilisation=3)
        training.epochs(10)
        first, second = (event[0] for event in training.net.growth[:2])
        earned[pause] = training.learner.economy.credits
        training = Training(economy={"price": 10, "pause": pause}, stabilisation=3)
        training.epochs(first + 2)
        assert (training.learner.economy.credits == 0) is pause, "every step is a sample, and most are spikes"
        assert second - first >= 3
    assert earned[True] <= earned[False]
