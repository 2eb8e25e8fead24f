"""Pruning at the end of a phase: how many edges stay, which ones, and what becomes of their slots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

import sdk
from tests.support.snapshots import lay
from zoo.artifacts.from_run import export_run
from zoo.families.snapshots.config import PhaseConfig
from zoo.families.snapshots.learner import SnapshotsLearner
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import edges_after, free_slots, living, prune
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult

Build = Callable[..., SnapshotNet]
PHASE = PhaseConfig(name="a", until=20, structures=9, snapshots=1, grow_until=5, prune_until=15, edges=100)
ONE_SWEEP = {"sweeps": 1, "routing": {"reciprocal": 0}}
PRUNED = [
    "train.epochs=24",
    "model.phases=[{name: coarse, until: 10, structures: 50, snapshots: 1, grow_until: 4, prune_until: 8, edges: 60}, "
    "{name: fine, until: 24, structures: 90, snapshots: 1, grow_until: 16, prune_until: 20, edges: 90}]",
    "model.stabilisation=1",
    "model.trigger={every: 1, window: 2}",
    "train.schedule={name: restarts, ends: [0.4167, 1]}",
]


@pytest.fixture
def net(build: Build) -> SnapshotNet:
    """A third of the edges that a small network could have."""
    net = build(**ONE_SWEEP)
    layer = net.layout.layer_of
    allowed = layer[:, None] < layer
    allowed[net.source[: net.edges].long(), net.target[: net.edges].long()] = False
    lay(net, *[(int(s), int(t), float(torch.randn(()))) for s, t in allowed.nonzero()[::3]])
    return net


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    recipe = load_recipe("snapshots-digits", PRUNED)
    return train(recipe, run_dir=tmp_path_factory.mktemp("run"), device="cpu", progress=False)


def test_edges_fall_from_the_end_of_growth_to_the_phases_edges() -> None:
    edges, seen = 1100, []
    for epoch in range(1, 21):
        edges = edges_after(PHASE, epoch, edges)
        seen.append(edges)
    assert seen[:5] == [1100] * 5
    expected = [100 + 1000 * (1 - done / 10) ** 3 for done in range(1, 11)]
    assert seen[5:15] == pytest.approx(expected, abs=10)  # each step rounds down
    assert seen[14:] == [100] * 6


def test_a_phase_with_fewer_edges_than_it_may_have_keeps_them() -> None:
    assert [edges_after(PHASE, epoch, 40) for epoch in (1, 6, 15)] == [40] * 3


def test_a_phase_without_pruning_keeps_its_edges() -> None:
    assert edges_after(PhaseConfig(name="a", until=20, structures=9, snapshots=1), 12, 1100) == 1100


def test_the_largest_weights_stay(net: SnapshotNet) -> None:
    before = net.weight.detach()[: int(net.edges)].clone()
    prune(net, 10)
    left = net.weight.detach()[: int(net.edges)]
    kept = left != 0
    assert int(kept.sum()) == 10
    assert torch.equal(left[kept], before[kept])
    assert before[kept].abs().min() >= before[~kept].abs().max()
    assert len(living(net)[0]) == 10


def test_pruning_to_more_edges_than_there_are_changes_nothing(net: SnapshotNet) -> None:
    before = net.weight.detach().clone()
    prune(net, 10**6)
    assert torch.equal(net.weight, before)


def test_weights_that_the_network_holds_stay(build: Build) -> None:
    net = build(**ONE_SWEEP)
    net.start_again(torch.tensor([0, 1, 2]), torch.tensor([6, 7, 8]), torch.tensor([1e-6, 1e-6, 5.0]), inherited=2)
    net.holds = True
    lay(net, (3, 9, 3.0))
    prune(net, 2)
    assert living(net)[2].tolist() == pytest.approx([1e-6, 1e-6])


def test_freeing_slots_moves_edges_and_the_optimizers_memory_and_changes_no_answer(net: SnapshotNet) -> None:
    x = torch.randn(7, 1, 2, 3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-9)
    net.snapshots.replace([net.freeze(1, 0, 0.5)])  # has every edge, so that no slot can be freed
    slots = int(net.edges)
    net(x).sum().backward()
    optimizer.step()
    prune(net, 12)
    free_slots(net, optimizer)
    assert int(net.edges) == slots
    net.snapshots.replace([net.freeze(1, 0, 0.5)])
    prune(net, 8)
    memory = dict(zip(_pairs(net), optimizer.state[net.weight]["exp_avg"].tolist(), strict=False))
    answers = net(x), net.member(0, x)
    free_slots(net, optimizer)
    assert int(net.edges) == 12
    assert net.cost_of(0) == (12, 12)
    assert len(living(net)[0]) == 8
    torch.testing.assert_close((net(x), net.member(0, x)), answers)
    found = dict(zip(_pairs(net), optimizer.state[net.weight]["exp_avg"].tolist(), strict=False))
    assert found == {pair: memory[pair] for pair in found}
    assert not optimizer.state[net.weight]["exp_avg"][12:].any()
    net.load_state_dict(net.state_dict())  # the checks of a loaded state


def test_slots_may_be_freed_before_the_first_step(net: SnapshotNet) -> None:
    prune(net, 5)
    free_slots(net, None)
    assert int(net.edges) == 5


def test_every_phase_ends_with_its_edges(result: TrainResult) -> None:
    net = result.module
    assert isinstance(net, SnapshotNet)
    found = [(net.cost_of(number), net.snapshots[number].epoch) for number in range(len(net.snapshots))]
    assert found == [((60, 60), 10), ((90, 90), 24)]
    assert [entry["edges"] for entry in result.findings["snapshots"]] == [60, 90]
    grown = [event["edges"] for event in result.findings["growth"]]
    assert max(grown) > 90
    assert int(net.weight.count_nonzero()) == 90


def test_a_pruned_network_gives_the_same_bits_in_every_backend(result: TrainResult, tmp_path: Path) -> None:
    folder = export_run(result, tmp_path / "pruned")
    torch_model, native = (sdk.load(folder, backend=backend) for backend in ("torch", "native"))
    images = np.random.default_rng(0).random((9, 1, 8, 8), np.float32)
    for mode in ("weighted", "progressive", 0, 1):
        found, wanted = (m.logits(images, mode=mode, invert=False) for m in (native, torch_model))  # type: ignore[call-arg]
        assert found.tobytes() == wanted.tobytes()
    assert [entry.edges for entry in native.snapshots] == [60, 90]  # type: ignore[attr-defined]
    weights = load_file(folder / "model.safetensors")["snapshots.values"][:, : -len(result.module.bias)]
    assert [int(np.count_nonzero(row)) for row in weights[:2]] == [60, 90]


def test_training_goes_on_from_a_pruned_networks_living_edges(result: TrainResult, tmp_path: Path) -> None:
    folder = export_run(result, tmp_path / "pruned")
    overrides = [*PRUNED, f"train.start_from={folder}", "train.epochs=1"]
    again = train(load_recipe("snapshots-digits", overrides), run_dir=tmp_path / "run", device="cpu", progress=False)
    assert isinstance(again.module, SnapshotNet)
    assert again.module.started == 90


def test_a_resumed_run_leaves_pruned_edges_at_zero(net: SnapshotNet) -> None:
    net.snapshots.replace([net.freeze(1, 0, 0.5)])
    prune(net, 9)
    learner = SnapshotsLearner(net, net.config)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    learner.on_start(optimizer)
    for step in range(3):
        loss = nn.functional.cross_entropy(net(torch.randn(8, 1, 2, 3)), torch.arange(8) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.on_step_end(step)
    assert int(net.weight.count_nonzero()) == 9


def _pairs(net: SnapshotNet) -> list[tuple[int, int]]:
    units: list[Tensor] = [net.source, net.target]
    return list(zip(*(tensor[: int(net.edges)].tolist() for tensor in units), strict=True))
