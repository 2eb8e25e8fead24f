"""Snapshots networks that start from a trained one: edges, growth, frozen edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import sdk
from tests.support.snapshots import full
from tests.support.starting import fit, make_source
from zoo.artifacts.from_run import export_run
from zoo.data import load_data
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.taking import take
from zoo.families.taking import Match
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint, save_checkpoint
from zoo.utils.errors import BuildError, TrainingError

NAME = "snapshots-digits"
TASK = Task((6,), 3)
SAME = Match((0, 1, 2), same_inputs=True)


def build(task: Task = TASK, **options: object) -> SnapshotNet:
    settings = {"hidden": (5, 4), "max_density": 1.0, "routing": {"reciprocal": 0.2}, **options}
    return SnapshotNet(SnapshotsConfig(**settings), task)  # type: ignore[arg-type]


def edges(net: SnapshotNet) -> dict[tuple[int, int], float]:
    begin, end, weight = net.laid()
    return dict(zip(zip(begin.tolist(), end.tolist(), strict=True), weight.tolist(), strict=True))


def grown(**options: object) -> SnapshotNet:
    torch.manual_seed(0)
    return full(lambda **more: build(**{**more, "max_density": 0.5, **options}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained small network."""
    return make_source(NAME, tmp_path_factory.mktemp("source"))


def test_all_edges_weights_and_biases_are_taken() -> None:
    net, trained = build(), grown()
    taken = take(net, trained, SAME)
    assert edges(net) == edges(trained)
    assert torch.equal(net.bias, trained.bias)
    assert net.started == int(trained.edges)
    assert taken.count == int(trained.edges) + len(trained.bias)
    x = torch.randn(4, 6)
    assert torch.equal(net(x), trained(x))
    assert not len(net.snapshots)


def test_classes_in_another_order_keep_their_edges() -> None:
    net, trained = build(), grown()
    take(net, trained, Match((2, 0, 1), same_inputs=True))
    x = torch.randn(4, 6)
    assert torch.allclose(net(x), trained(x)[:, [2, 0, 1]], atol=1e-6)


def test_new_classes_read_the_units_that_the_old_ones_read_by_new_weights() -> None:
    trained = grown(sweeps=1, routing={"reciprocal": 0})
    net = build(Task((6,), 4), sweeps=1, routing={"reciprocal": 0})
    taken = take(net, trained, Match(None, same_inputs=True))
    first = trained.layout.starts[-2]
    old, new = edges(trained), edges(net)
    assert {pair: w for pair, w in new.items() if pair[1] < first} == {
        pair: w for pair, w in old.items() if pair[1] < first
    }
    for number in range(4):
        known = {begin for begin, end in old if end == first + number % 3 and begin < first}
        assert {begin for begin, end in new if end == first + number} == known
    assert not {w for (_, end), w in new.items() if end >= first} & {w for (_, end), w in old.items() if end >= first}
    assert f"{taken.count - 9} edges taken" in taken.note  # 9 hidden units have biases
    assert torch.equal(net.bias[-4:], torch.zeros(4))


def test_other_inputs_are_connected_by_drawn_edges() -> None:
    net = build(Task((7,), 3), start={"density": 0.3})
    drawn = {pair for pair in edges(net) if pair[0] < 7}
    take(net, grown(), Match((0, 1, 2), same_inputs=False))
    assert drawn
    assert {pair for pair in edges(net) if pair[0] < 7} == drawn


def test_narrower_layers_keep_the_edges_of_the_units_that_exist() -> None:
    trained, net = grown(), build(hidden=(3, 4))
    take(net, trained, SAME)
    assert int(net.edges) < int(trained.edges)
    assert int(net.source[: net.edges].max()) < net.layout.units


def test_a_single_sweep_drops_edges_that_lead_back() -> None:
    net = build(sweeps=1, routing={"reciprocal": 0})
    trained = grown(max_density=1.0)
    take(net, trained, SAME)
    layer = net.layout.layer_of
    assert all(layer[begin] < layer[end] for begin, end in edges(net))
    assert any(layer[begin] > layer[end] for begin, end in edges(trained))


def test_more_edges_than_the_density_allows_are_refused() -> None:
    with pytest.raises(BuildError, match=r"model\.max_density 0\.1 allows 6 edges, the start has \d+; set it to"):
        take(build(max_density=0.1), grown(), SAME)


def test_frozen_edges_stay_while_the_network_grows(source: Path, tmp_path: Path) -> None:
    room = "model.max_density=0.9"
    result = fit(NAME, tmp_path, f"train.start_from={source}", "train.freeze=[weight]", room)
    before, after = sdk.load(source, "torch").module, result.module
    count = int(before.edges)
    assert int(after.edges) > count
    assert torch.equal(after.weight[:count], before.weight[:count])
    assert not torch.equal(after.bias, before.bias)


def test_without_a_source_the_edges_at_the_start_are_held(tmp_path: Path) -> None:
    rates = (1e-1, 1e-6)
    nets = [
        fit(NAME, tmp_path / str(rate), "train.freeze=[weight]", f"train.optimizer={{name: sgd, lr: {rate}}}").module
        for rate in rates
    ]
    started = nets[0].started
    assert int(nets[0].edges) > started
    assert torch.equal(nets[0].weight[:started], nets[1].weight[:started])
    assert not torch.equal(nets[0].bias, nets[1].bias)


def test_nothing_left_to_train_is_refused(source: Path, tmp_path: Path) -> None:
    count = int(sdk.load(source, "torch").module.edges)
    with pytest.raises(TrainingError, match=rf"all {count} edges and all biases are frozen, so nothing is left"):
        fit(NAME, tmp_path / "run", f"train.start_from={source}", "train.freeze=[weight, bias]")
    assert not (tmp_path / "run").exists()


def test_a_new_head_learns_above_frozen_edges_and_biases(source: Path, tmp_path: Path) -> None:
    data = load_data(load_recipe(NAME).data)
    renamed = replace(data, labels=[*"abcdefghij"])
    options = [f"train.start_from={source}", "train.freeze=[weight, bias]", "model.economy.price=100000"]
    result = fit(NAME, tmp_path, *options, data=renamed)
    net = result.module
    count = int(net.events[-1, 1])
    assert count < int(net.edges)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_a_resumed_run_still_holds_its_edges(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [f"train.start_from={source}", "train.freeze=[weight]", "model.max_density=0.9"]
    states: list[dict[str, Tensor]] = []

    def keep(folder: Path, state: dict[str, object]) -> None:
        save_checkpoint(folder, state)
        if not states:
            states.append(load_checkpoint(folder))

    monkeypatch.setattr("zoo.training.loop.save_checkpoint", keep)
    whole = fit(NAME, tmp_path / "run", *options)
    save_checkpoint(tmp_path / "run", states[0])  # as if it had been stopped after its first epoch
    resumed = fit(NAME, tmp_path / "run", *options, resume=True)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name


def test_growth_is_recorded_after_the_start_and_the_artifact_can_start_another(source: Path, tmp_path: Path) -> None:
    result = fit(NAME, tmp_path / "run", f"train.start_from={source}", "model.max_density=0.9")
    net = result.module
    assert net.growth
    assert net.started == int(sdk.load(source, "torch").module.edges)
    assert net.growth[0][2] > net.started
    folder = export_run(result, tmp_path / "model")
    loaded = sdk.load(folder, "torch").module
    assert (loaded.started, loaded.growth) == (net.started, net.growth)
    again = fit(NAME, tmp_path / "again", f"train.start_from={folder}", "model.max_density=0.9")
    assert again.start is not None
    assert f"{int(net.edges):,} edges taken" in again.start.report
