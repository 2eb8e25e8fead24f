"""Training that starts from a trained model, for every family: what is taken, what is frozen, what is recorded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import sdk
import zoo.training.loop
from sdk.artifact import read_config
from tests.support.artifacts import write_tiny
from tests.support.starting import FAMILIES, fit, make_source
from tests.support.training import interrupted_after_saving, metrics
from zoo.artifacts.from_run import export_run
from zoo.data import load_data
from zoo.data.split import ArraySplit, Data
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.multi_seed import train_seeds
from zoo.utils.errors import TrainingError, TrainingInterruptedError

FREEZE = {
    "gridnet-digits": "[weight, 'norm.*']",
    "cellnet-digits": "['connections.*', 'input.*']",
    "normnet-digits": "['layers.0.*']",
    "nca-iris": "['rule.layers.0.*']",
}
EVERY = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a trained small model of a recipe's family; it is trained once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make_source(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture
def gridnet(source: Callable[[str], Path]) -> Path:
    """The folder of a trained small gridnet."""
    return source("gridnet-digits")


def state(model: Path) -> dict[str, Tensor]:
    """Return the parameters of an artifact."""
    return {name: value.detach() for name, value in sdk.load(model, "torch").module.named_parameters()}


def first_state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Return a dict that is filled with the parameters of the next run before its first step."""
    seen: dict[str, Tensor] = {}
    usual = zoo.training.loop.setup

    def setup(*args: object, **options: object) -> object:
        run = usual(*args, **options)  # type: ignore[arg-type]
        seen.update({name: value.detach().clone() for name, value in run.plain.named_parameters()})
        return run

    monkeypatch.setattr(zoo.training.loop, "setup", setup)
    return seen


def reordered(data: Data, order: list[int], names: list[str] | None = None) -> Data:
    """Return the data with its classes in another order, or with other names."""

    def part(split: ArraySplit) -> ArraySplit:
        number = torch.tensor([order.index(label) for label in range(len(order))])
        copy = object.__new__(type(split))
        copy.__dict__ = {**split.__dict__, "labels": number[split.labels]}
        return copy

    parts = {key: part(getattr(data, key)) for key in ("train", "validation", "test")}
    return replace(data, **parts, labels=names or [data.labels[label] for label in order])


@EVERY
def test_a_run_starts_from_every_parameter_of_the_same_model(
    name: str, source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = first_state(monkeypatch)
    result = fit(name, tmp_path, f"train.start_from={source(name)}", "train.seed=5")
    expected = state(source(name))
    assert seen.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(seen[key], value), key
    assert result.start is not None
    assert set(result.start.taken) == set(expected)


VARIANTS = {"plain": [], "ema": ["train.ema=0.5"], "bf16": ["train.precision=bf16"]}


@pytest.mark.parametrize(
    ("name", "more"),
    [(name, more) for name in FREEZE for more in VARIANTS if (name, more) != ("nca-iris", "ema")],  # nca takes no ema
)
def test_frozen_parameters_stay_bit_for_bit_and_the_others_learn(
    name: str, more: str, source: Callable[[str], Path], tmp_path: Path
) -> None:
    decay = "train.optimizer={name: adamw, lr: 1e-2, weight_decay: 0.5}"
    options = [f"train.start_from={source(name)}", f"train.freeze={FREEZE[name]}", decay, *VARIANTS[more]]
    result = fit(name, tmp_path, *options)
    expected = state(source(name))
    patterns = [pattern.strip("[]' ") for pattern in FREEZE[name].split(",")]
    frozen = {key for key in expected if any(re.fullmatch(p.replace("*", ".*"), key) for p in patterns)}
    assert frozen
    moved = {key for key, value in result.module.named_parameters() if not torch.equal(value, expected[key])}
    assert moved
    assert not moved & frozen


@EVERY
def test_the_artifact_says_where_it_started_and_loads(name: str, source: Callable[[str], Path], tmp_path: Path) -> None:
    result = fit(name, tmp_path / "run", f"train.start_from={source(name)}")
    folder = export_run(result, tmp_path / "model")
    made = read_config(folder).provenance["start_from"]
    assert made["name"] == name
    assert made["weights_sha256"] == read_config(source(name)).files["model.safetensors"].sha256
    assert made["taken_parameters"] + made["new_parameters"] == read_config(folder).parameters
    card = (folder / "README.md").read_text()
    assert f"from `{name}` (sha256 of the weights: `{made['weights_sha256'][:12]}`) before training" in card
    assert "base_model" not in card  # that names a repo on the Hub
    sdk.load(folder, "torch")


def test_other_classes_get_a_new_head(gridnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = first_state(monkeypatch)
    data = load_data(load_recipe("gridnet-digits").data)
    names = [*"abcdefghij"]  # as many classes, so that the shapes fit
    result = fit(
        "gridnet-digits", tmp_path, f"train.start_from={gridnet}", data=reordered(data, list(range(10)), names)
    )
    expected = state(gridnet)
    differing = {key for key in seen if not torch.equal(seen[key], expected[key])}
    assert differing == {"readout.weight", "readout.bias"}
    assert result.start is not None
    assert "new: readout.weight, readout.bias (other classes)" in result.start.report


@pytest.mark.parametrize("name", ["gridnet-digits", "cellnet-digits", "normnet-digits", "snapshots-digits"])
def test_the_same_classes_in_another_order_are_matched_by_name(
    name: str, source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    data = reordered(load_data(load_recipe(name).data), order)
    runs = []
    usual = zoo.training.loop.setup
    monkeypatch.setattr(zoo.training.loop, "setup", lambda *a, **o: runs.append(usual(*a, **o)) or runs[-1])
    monkeypatch.setattr(zoo.training.loop, "fit", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(TrainingInterruptedError):
        fit(name, tmp_path, f"train.start_from={source(name)}", data=data)
    trained = sdk.load(source(name), "torch").module
    x = data.test.everything()[0]
    trained.train()  # snapshots: the last network, not the ensemble
    with torch.no_grad():
        ours = runs[0].plain.train()(x)
        assert torch.allclose(ours, trained(x)[:, order], atol=1e-5)


def test_another_depth_takes_what_fits_and_says_so(source: Callable[[str], Path], tmp_path: Path) -> None:
    options = [f"train.start_from={source('normnet-digits')}", "model.hidden=[8, 7, 6]"]
    result = fit("normnet-digits", tmp_path, *options)
    assert result.start is not None
    assert result.start.taken == ("layers.0.weight",)
    assert "took 1 of 4 tensors" in result.start.report
    assert "layers.1.weight (7x8 here, 6x8 there)" in result.start.report
    assert "model.hidden [8, 7, 6] here, [8, 6] there" in result.start.report


def test_a_flat_input_of_another_shape_gets_a_new_input_layer(
    source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, layer in (("normnet-digits", "layers.0.weight"), ("cellnet-digits", "input.weight")):
        data = load_data(load_recipe(name).data)
        spec = replace(data.input_spec, shape=(1, 4, 16))  # as many pixels

        def part(split: ArraySplit, spec: sdk.InputSpec = spec) -> ArraySplit:
            copy = object.__new__(type(split))
            copy.__dict__ = {**split.__dict__, "inputs": split.inputs.reshape(-1, *spec.shape), "spec": spec}
            copy.__dict__["augment"] = None
            return copy

        wide = Data(part(data.train), part(data.validation), part(data.test), spec, data.labels)
        result = fit(name, tmp_path / name, f"train.start_from={source(name)}", data=wide)
        assert result.start is not None
        assert f"new: {layer} (other inputs)" in result.start.report


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cellnet-digits", [], r"train\.start_from: .* is a gridnet, and the recipe trains a cellnet; name a cellnet"),
        ("gridnet-digits", ["model={family: gridnet, grid: [10, 10, 3], block: 1, outer_steps: 2}"],
         r"nothing of .* fits this model: grid_init, norm.weight, norm.bias \(10x10x3 here, 8x8x2 there\), weight \("),
        ("gridnet-digits", ["train.freeze=['stem.*']"],
         r"train\.freeze: 'stem\.\*' matches no parameter; parameters: grid_init, weight, bias"),
        ("gridnet-digits", ["train.freeze=['*']"],
         r"train\.freeze: \* matches all \d+ parameters, which leaves nothing to train"),
    ],
)  # fmt: skip
def test_what_cannot_start_fails_in_one_line_and_writes_nothing(
    gridnet: Path, tmp_path: Path, name: str, options: list[str], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as error:
        fit(name, tmp_path / "run", f"train.start_from={gridnet}", *options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_damaged_source_is_refused(gridnet: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gridnet, tmp_path / "copy"))
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(TrainingError, match=r"train\.start_from: .*model\.safetensors was altered or damaged"):
        fit("gridnet-digits", tmp_path / "run", f"train.start_from={copy}")


def test_a_resumed_run_needs_no_source_and_ends_in_the_same_bits(
    gridnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(gridnet, tmp_path / "copy"))
    options = [f"train.start_from={copy}", "train.freeze=[weight]", "train.taken_lr_factor=0.1", "data.augment={}"]
    whole = fit("gridnet-digits", tmp_path / "whole", *options)
    with interrupted_after_saving(monkeypatch), pytest.raises(TrainingInterruptedError):
        fit("gridnet-digits", tmp_path / "run", *options)
    shutil.rmtree(copy)
    resumed = fit("gridnet-digits", tmp_path / "run", *options, resume=True)
    assert resumed.start == whole.start
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key


def test_a_resumed_run_refuses_another_source(gridnet: Path, tmp_path: Path) -> None:
    fit("gridnet-digits", tmp_path / "run", f"train.start_from={gridnet}")
    with pytest.raises(TrainingError, match=r"another recipe: train\.start_from is .*/elsewhere, was "):
        fit("gridnet-digits", tmp_path / "run", f"train.start_from={tmp_path / 'elsewhere'}", resume=True)


def test_all_seeds_start_from_the_same_weights(gridnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(gridnet, tmp_path / "copy"))
    recipe = load_recipe("gridnet-digits", [*FAMILIES["gridnet-digits"], f"train.start_from={copy}"])
    train_seeds(recipe, 2, run_dir=tmp_path / "run", device="cpu", progress=False)
    starts = [load_checkpoint(tmp_path / "run" / f"seed-{seed}")["start_from"] for seed in (0, 1)]
    assert starts[0] == starts[1]
    shutil.rmtree(copy)
    write_tiny(copy, name="copy")
    with pytest.raises(TrainingError, match=r"has changed since .*seed-0 started from it .*train all seeds again"):
        train_seeds(recipe, 3, run_dir=tmp_path / "run", resume=True, device="cpu", progress=False)


def test_taken_parameters_learn_at_their_own_rate(gridnet: Path, tmp_path: Path) -> None:
    sgd = "train.optimizer={name: sgd, lr: 0.1}"
    moved = {}
    for factor in (1, 0.01):
        options = [f"train.start_from={gridnet}", f"train.taken_lr_factor={factor}", sgd, "train.steps=1"]
        fitted = fit("gridnet-digits", tmp_path / str(factor), *options, "train.ema=null", "train.clip_norm=null")
        expected = state(gridnet)
        moved[factor] = fitted.module.get_parameter("readout.weight").detach() - expected["readout.weight"]
    assert torch.allclose(moved[0.01], moved[1] / 100, atol=1e-7)
    assert float(moved[1].abs().max()) > 1e-4


def test_the_log_shows_the_rate_of_new_parameters(source: Callable[[str], Path], tmp_path: Path) -> None:
    options = ["model.hidden=[8, 7]", "train.taken_lr_factor=0.1", "train.log_every=1"]
    fit("normnet-digits", tmp_path, f"train.start_from={source('normnet-digits')}", *options)
    assert {record["lr"] for record in metrics(tmp_path, "step")} == {3e-2}


def test_a_run_without_a_source_records_none(tmp_path: Path) -> None:
    result = fit("gridnet-digits", tmp_path / "run")
    assert result.start is None
    folder = export_run(result, tmp_path / "model")
    assert "start_from" not in json.loads((folder / "config.json").read_text())["provenance"]
