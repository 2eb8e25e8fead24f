"""``zoo.save``: modules trained in any loop become models that the SDK loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.optim.swa_utils import AveragedModel

import sdk
import zoo
from sdk.artifact import read_artifact
from tests.support.nca import TEACHING, batch, build
from tests.support.paths import ROOT
from tests.support.snapshots import four_snapshots
from zoo.artifacts.catalog import describe
from zoo.artifacts.edit import render_card
from zoo.artifacts.evaluate import evaluate_artifact
from zoo.artifacts.probe import probe_model
from zoo.artifacts.reexport import add_onnx
from zoo.cli import cli
from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.model import Normnet
from zoo.layers import CellBlock, GridnetLayer, NormConv, NormLinear, SparseLinear
from zoo.utils.errors import BuildError, ExportError

IMAGE = sdk.InputSpec("image", (1, 4, 4), (0.5,), (0.25,))
TABLE = sdk.InputSpec("table", (4,), (0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0))
LABELS = ["ant", "bee", "cat"]


def grid_layer() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.Unflatten(1, (2, 2, 2)), GridnetLayer((2, 2, 2), outer_steps=2),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def grown() -> nn.Module:
    nca = build(Task((4,), 3), **TEACHING)
    nca.grow(*batch())
    return nca


FAMILIES: dict[str, tuple[Callable[[], nn.Module], sdk.InputSpec]] = {
    "gridnet": (lambda: Gridnet(GridnetConfig(grid=(4, 4, 4), block=2, outer_steps=2), Task((1, 4, 4), 3)), IMAGE),
    "cellnet": (lambda: Cellnet(CellnetConfig(cells=3, core=6, hidden=5), Task((4,), 3)), TABLE),
    "normnet": (lambda: Normnet(NormnetConfig(hidden=(5,)), Task((4,), 3)), TABLE),
    "nca": (grown, TABLE),
    "snapshots": (lambda: four_snapshots()[0], sdk.InputSpec("image", (1, 2, 3), (0.5,), (0.25,))),
}
OTHERS: dict[str, tuple[Callable[[], nn.Module], sdk.InputSpec]] = {
    "grid layer": (grid_layer, IMAGE),
    "norm layers": (lambda: nn.Sequential(NormConv(1, 2, 3), nn.Flatten(), NormLinear(8, 3)), IMAGE),
    "cells": (lambda: CellBlock(4, 3, core=6, hidden=5), TABLE),
    "sparse": (lambda: nn.Sequential(SparseLinear(4, 8, density=0.5), nn.ReLU(), SparseLinear(8, 3)), TABLE),
    "plain": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 3)),
              IMAGE),
}  # fmt: skip


def raw(spec: sdk.InputSpec, count: int = 5) -> np.ndarray:
    noise = np.random.default_rng(0)
    return noise.random((count, *spec.shape), np.float32)


def expected(module: nn.Module, spec: sdk.InputSpec) -> np.ndarray:
    with torch.inference_mode():
        logits: np.ndarray = module.eval()(torch.from_numpy(spec.prepare(raw(spec))[0])).numpy()
    return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_module_becomes_a_full_artifact(tmp_path: Path, family: str) -> None:
    make, spec = FAMILIES[family]
    torch.manual_seed(0)
    module = make().train(family != "snapshots")
    folder = zoo.save(module, tmp_path / "mine", labels=LABELS, input=spec)
    assert module.training == (family != "snapshots")
    loaded = {backend: sdk.load(folder, backend=backend) for backend in ("torch", "onnx")}
    wanted = expected(module, spec)
    np.testing.assert_array_equal(loaded["torch"].logits(raw(spec)), wanted)
    np.testing.assert_allclose(loaded["onnx"].logits(raw(spec)), wanted, atol=1e-4)
    assert loaded["onnx"].labels == tuple(LABELS)
    assert loaded["onnx"].config.family == family
    assert loaded["onnx"].predict(raw(spec)) == [LABELS[i] for i in wanted.argmax(1)]


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_module_becomes_a_graph(tmp_path: Path, kind: str) -> None:
    make, spec = OTHERS[kind]
    torch.manual_seed(0)
    module = make()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    folder = zoo.save(module, tmp_path / "mine", labels=LABELS, input=spec)
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    loaded = sdk.load(folder)
    np.testing.assert_allclose(loaded.logits(raw(spec)), expected(module, spec), atol=1e-4)
    np.testing.assert_allclose(loaded.logits(raw(spec)[0]), expected(module, spec)[0], atol=1e-4)
    assert (loaded.config.family, loaded.backend) == ("module", "onnx")
    assert not list(folder.rglob("*.p*t*"))
    with pytest.raises(
        sdk.LoadError, match=r"'torch' cannot run mine, which has no model\.safetensors; available: auto, o"
    ):
        sdk.load(folder, backend="torch")


def norm(**changes: Any) -> Normnet:
    torch.manual_seed(0)
    return Normnet(NormnetConfig(**{"hidden": (5,), **changes}), Task((4,), 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a", "b"]}, r"outputs: found shape \[B, 3\] for inputs \[B, 4\], allowed \[B, 2\]"),
        ({"labels": ["a", "b", "a"]}, "allowed each name once"),
        ({"labels": 3}, "labels: found 3, allowed a list of the classes' names"),
        ({"labels": {"a", "b", "c"}}, "labels: found set .*allowed a list .* in the order of the logits"),
        ({"labels": {"c": 2, "a": 0, "b": 1}}, "labels: found dict .*allowed a list"),
        ({"labels": ["a", "b", "\ud800"]}, "labels: found .*allowed Unicode text"),
        ({"licence": None}, "licence: found None, allowed a text"),
        ({"data": 5}, "data: found 5, allowed a text"),
        ({"data": "\ud800"}, r"data: found '\\ud800', allowed Unicode text"),
        ({"licence": "\ud800"}, r"licence: found '\\ud800', allowed Unicode text"),
        ({"metrics": {"remark": "\ud800"}}, "plain finite JSON values only: .*surrogates not allowed"),
        ({"metrics": 3}, "metrics: found 3, allowed numbers and other JSON values by name"),
        ({"training": (1, 2, 3)}, r"training: found \(1, 2, 3\), allowed a pair"),
        ({"training": (torch.zeros(3, 4), torch.tensor([0, 0.5, 1]))}, "found labels of torch.float32, allowed whole"),
        ({"labels": "abc"}, "labels: found 'abc', allowed a list"),
        ({"labels": [0, 1, 2]}, r"labels: found \[0, 1, 2\], allowed a list"),
        ({"input": (5,)}, r"the module does not take inputs \[B, 5\]: .*; check input="),
        ({"name": "My Model"}, "model name 'My Model' must match"),
        ({"metrics": {"test_accuracy": 0.9}}, "give both test_correct and test_total"),
        ({"metrics": {"test_correct": 9, "test_total": 3}}, "metrics: found 9 of 3 correct"),
        ({"metrics": {"precisions": "x"}}, "metrics: found 'precisions', which cellzoo itself measures"),
        ({"metrics": {"test_loss": "q"}}, "metrics: test_loss: found 'q', allowed a number"),
        ({"metrics": {"validation_accuracy": 93}}, "metrics: validation_accuracy: found 93, allowed 0 to 1"),
        ({"metrics": {"loss": float("nan")}}, "plain finite JSON values only"),
        ({"training": (torch.zeros(2, 3), torch.zeros(2))}, r"training: found inputs \[2, 3\]"),
    ],
)
def test_arguments_that_do_not_fit_leave_nothing_behind(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"labels": LABELS, "input": (4,), **changes}
    with pytest.raises(ExportError, match=message):
        zoo.save(norm(), tmp_path / "mine", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((4, 4), r"input shape: found \(4, 4\), allowed \(C, H, W\) for images, \(features,\) for tables"),
        ({"size": 4}, "input: unknown 'size'; allowed: shape, and kind, mean, std, resize"),
        ({"mean": 0.0}, "input: no 'shape'"),
        ({"shape": (4,), "columns": set("abcd")}, "input columns: found .*allowed a list of the columns' names"),
        ({"shape": (True,)}, r"input shape: found \(True,\)"),
        ({"shape": (4,), "std": [1.0, 2.0]}, "input std has 2 values, one per feature is 4"),
        ({"shape": (4,), "std": 0.0}, "input std must be finite and positive"),
        ({"shape": (4,), "mean": "x"}, "input mean, std: found 'x'"),
    ],
)
def test_an_impossible_input_is_named(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(sdk.InputError, match=message):
        zoo.save(norm(), tmp_path / "mine", labels=LABELS, input=given)


def test_an_empty_folder_is_overwritten(tmp_path: Path) -> None:
    """It has no card, and a new card has a line break between its markers."""
    (tmp_path / "mine").mkdir()
    assert sdk.load(zoo.save(norm(), tmp_path / "mine", labels=LABELS, input=(4,), overwrite=True)).name == "mine"


def test_every_image_of_the_training_is_checked(tmp_path: Path) -> None:
    images = torch.zeros(3, 1, 4, 4)
    images[2] = 255
    with pytest.raises(sdk.InputError, match=r"values in \[0, 1\], found 0 to 255"):
        zoo.save(
            OTHERS["plain"][0](), tmp_path / "b", labels=LABELS, input=(1, 4, 4), training=(images, torch.arange(3))
        )


def test_numbers_of_numpy_and_torch_are_metrics_and_a_tilde_is_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    counts = {"test_correct": np.int64(3), "test_total": torch.tensor(4)}
    assert zoo.save(norm(), "~/mine", labels=LABELS, input=(4,), metrics=counts) == tmp_path / "mine"
    assert sdk.load("~/mine").metrics["test_accuracy"] == 0.75


def test_the_parts_of_an_input_are_enough(tmp_path: Path) -> None:
    parts = {"shape": (4,), "mean": np.arange(4.0), "std": torch.tensor([1.0, 2, 3, 4])}
    assert sdk.load(zoo.save(norm(), tmp_path / "a", labels=LABELS, input=parts)).input_spec == TABLE
    shape = tuple(np.array([1, 4, 4]))
    image = sdk.load(zoo.save(OTHERS["plain"][0](), tmp_path / "b", labels=LABELS, input=shape)).input_spec
    assert image == sdk.InputSpec("image", (1, 4, 4), (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda net: net.layers[0].weight.data.fill_(torch.nan), "tensor layers.0.weight holds NaN"),
        (lambda net: net.double(), "tensor layers.0.weight is torch.float64; .* call module.float()"),
    ],
)
def test_weights_that_cannot_be_stored_are_named(tmp_path: Path, spoil: Any, message: str) -> None:
    net = norm()
    spoil(net)
    for module in (net, nn.Sequential(net)):
        with pytest.raises(ExportError, match=message.replace("layers.0", r"(0\.)?layers\.0")):
            zoo.save(module, tmp_path / "mine", labels=LABELS, input=TABLE)
    assert not list(tmp_path.iterdir())


def test_what_is_no_module_or_gives_no_logits_is_refused(tmp_path: Path) -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :3] if float(x.sum()) > 0 else 1 * x[:, :3]

    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(len(x), 4)[:, :3] + torch.zeros(len(x), 3)

    for module, message in (
        (norm().state_dict(), "module: found .*, allowed a torch.nn.Module"),
        (Pair(), "outputs: found tuple, allowed one float32 tensor of logits"),
        (Branch(), "Branch cannot be exported to ONNX: .*free of branches on values"),
        (Fixed(), "Fixed cannot be exported to ONNX.*use x.shape"),
    ):
        with pytest.raises(ExportError, match=message):
            zoo.save(module, tmp_path / "mine", labels=LABELS, input=TABLE)  # type: ignore[arg-type]


def test_wrappers_of_torch_are_taken_off(tmp_path: Path) -> None:
    net = norm()
    averaged = AveragedModel(net)
    averaged.update_parameters(net)
    for number, module in enumerate((torch.compile(net, backend="eager"), averaged)):
        folder = zoo.save(module, tmp_path / f"m{number}", labels=LABELS, input=TABLE)  # type: ignore[arg-type]
        assert sdk.load(folder).config.family == "normnet"
        np.testing.assert_array_equal(sdk.load(folder, "torch").logits(raw(TABLE)), expected(net, TABLE))


def test_a_subclass_may_compute_otherwise_and_becomes_a_graph(tmp_path: Path) -> None:
    class Doubled(Normnet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    net = Doubled(NormnetConfig(hidden=(5,)), Task((4,), 3))
    folder = zoo.save(net, tmp_path / "mine", labels=LABELS, input=TABLE)
    np.testing.assert_allclose(sdk.load(folder).logits(raw(TABLE)), expected(net, TABLE), atol=1e-4)


def test_the_card_says_how_the_model_was_trained(tmp_path: Path) -> None:
    counts = {"test_correct": 51, "test_total": 54, "note": "plain loop"}
    folder = zoo.save(norm(), tmp_path / "mine", labels=LABELS, input=TABLE, metrics=counts, licence="CC0-1.0")
    card, config = (folder / "README.md").read_text(), read_artifact(folder).config
    assert "Trained outside the zoo's training loop" in card
    assert "cellzoo did not measure them" in card
    assert "**94.44%** (51 of 54)" in card
    assert "recipe" not in card.split("## Training")[1].replace("Without a recipe", "")
    assert config.metrics["test_interval_95"][0] < 51 / 54 < config.metrics["test_interval_95"][1]
    assert (config.metrics["note"], config.licence) == ("plain loop", "CC0-1.0")
    assert "on its data set only" in card
    named = zoo.save(norm(), tmp_path / "named", labels=LABELS, input=TABLE, data="wine")
    assert "trained and tested on wine only" in (named / "README.md").read_text()
    silent = zoo.save(nn.Sequential(norm()), tmp_path / "other", labels=LABELS, input=TABLE)
    text = (silent / "README.md").read_text()
    assert "Nothing was measured." in text
    assert "(layers): ModuleList(" in text
    assert 'backend="torch"' not in text


def test_training_images_tell_what_the_model_expects(tmp_path: Path) -> None:
    images = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
    images[:, :, 1:3, 1:3] = 255
    samples = images, torch.arange(6) % 3
    for number, module in enumerate((FAMILIES["gridnet"][0](), OTHERS["norm layers"][0]())):
        folder = zoo.save(module, tmp_path / f"m{number}", labels=LABELS, input=IMAGE, training=samples)
        assert (folder / "figures" / "example.png").is_file()
        assert "It expects light" in (folder / "README.md").read_text()


def test_an_existing_folder_is_kept_unless_overwritten(tmp_path: Path) -> None:
    folder = zoo.save(norm(), tmp_path / "mine", labels=LABELS, input=TABLE)
    before = (folder / "config.json").read_bytes()
    with pytest.raises(ExportError, match="exists"):
        zoo.save(norm(), folder, labels=LABELS, input=TABLE)
    assert (folder / "config.json").read_bytes() == before
    zoo.save(nn.Sequential(norm()), folder, labels=LABELS, input=TABLE, overwrite=True)
    assert sdk.load(folder).config.family == "module"
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("module", [norm(), nn.Sequential(norm())], ids=["family", "graph"])
def test_commands_work_or_say_that_there_is_no_recipe(tmp_path: Path, module: nn.Module) -> None:
    folder = zoo.save(module, tmp_path / "mine", labels=LABELS, input=TABLE)
    name = str(folder)
    assert describe(name)["model"]["name"] == "mine"
    before = (folder / "config.json").read_bytes()
    render_card(name)
    assert (folder / "config.json").read_bytes() == before
    for call in (evaluate_artifact, add_onnx, probe_model):
        with pytest.raises(sdk.CellzooError, match=r"mine\b.*no (recipe|torch module)"):
            call(name)
    for arguments in (["info", name], ["predict", name, "--help"]):
        shown = CliRunner().invoke(cli, arguments)
        assert shown.exit_code == 0, shown.output


def test_zoo_stays_light_until_save_is_used() -> None:
    code = (
        "import sys, zoo; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules); "
        "assert callable(zoo.save) and 'torch' in sys.modules; assert zoo.layers.NormLinear; "
        "assert {'save', 'layers'} <= set(dir(zoo))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'sav'"):
        zoo.sav  # noqa: B018


def test_a_rule_without_a_grown_network_is_refused(tmp_path: Path) -> None:
    sensing, blind = build(Task((4,), 3), **TEACHING), build(Task((4,), 3))
    for nca in (sensing, blind):
        with pytest.raises(BuildError, match=r"found only zeros; call module\.grow"):
            zoo.save(nca, tmp_path / "mine", labels=LABELS, input=TABLE)
    blind.grow(None, None)
    sdk.load(zoo.save(blind, tmp_path / "grown", labels=LABELS, input=TABLE))
    with torch.no_grad():
        for parameter in blind.rule.parameters():
            parameter.mul_(3)
    with pytest.raises(BuildError, match="found weights that this rule does not grow"):
        zoo.save(blind, tmp_path / "mine", labels=LABELS, input=TABLE)


def test_a_network_without_snapshots_is_refused_with_the_way_to_store_one(tmp_path: Path) -> None:
    spec = FAMILIES["snapshots"][1]
    net, _ = four_snapshots()
    net.clear_ensemble()
    net.train()(torch.zeros(2, 1, 2, 3)).sum().backward()
    with pytest.raises(BuildError, match=r"module.snapshots.replace.*module.set_ensemble"):
        zoo.save(net, tmp_path / "mine", labels=LABELS, input=spec)
    net.snapshots.replace([net.freeze(epoch=1, phase=0, accuracy=0.9)])
    net.set_ensemble(torch.ones(1), threshold=1.0)
    loaded = sdk.load(zoo.save(net, tmp_path / "mine", labels=LABELS, input=spec))
    current = net.activations(torch.from_numpy(spec.prepare(raw(spec))[0]))[-1].log_softmax(-1)
    np.testing.assert_allclose(loaded.logits(raw(spec)), current.detach().numpy(), atol=1e-5)


class _Centred(nn.Module):
    """A module that subtracts the mean of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x - x.mean(0))
        return logits


class _Squeezed(nn.Module):
    """A module whose output loses the batch axis for one input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :3, None].squeeze()


class _Pairs(nn.Module):
    """A module that refuses a batch of one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) < 2:
            raise ValueError("needs a pair")
        return x[:, :3]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (_Squeezed(), r"found shape \[3\] for one input, allowed \[1, 3\]"),
        (_Pairs(), "does not take a batch of one input: needs a pair"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)),
            "found probabilities, allowed logits; leave the last softmax out",
        ),
        (_Centred(), "a sample's logits depend on the other samples of its batch"),
    ],
    ids=["loses the batch axis", "needs two inputs", "softmax", "mixes the batch"],
)
def test_a_module_without_logits_for_each_sample_is_refused(module: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        zoo.save(module, tmp_path / "mine", labels=LABELS, input=TABLE)
    assert not (tmp_path / "mine").exists()
