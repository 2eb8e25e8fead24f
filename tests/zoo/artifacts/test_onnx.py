from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper
from torch import Tensor, nn

import sdk
import zoo.artifacts.onnx
from sdk import InputSpec
from sdk.artifact import hash_file, read_artifact
from tests.support.artifacts import SPEC, write_tiny
from zoo.artifacts.onnx import build_onnx, check_onnx, random_inputs, write_onnx
from zoo.artifacts.writer import ExportError
from zoo.cli import cli
from zoo.config.data import AugmentConfig
from zoo.data.split import ArraySplit
from zoo.data.task import Task
from zoo.families.base import Family, FamilyConfig
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.families.gridnet.model import Gridnet
from zoo.families.gridnet.onnx import onnx_graph
from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError

LABELS = ["a", "b", "ü"]
RECIPE = """
model: {family: gridnet, grid: [4, 4, 4], block: 2, outer_steps: 3}
data: {name: digits}
train: {epochs: 1, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
export: {formats: [safetensors]}
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"gated": True},
    "normalised": {"normalize": True},
    "separate": {"separate_params": True, "gated": True},
    "outer_residual": {"outer_residual": True},
    "inner": {"inner_steps": 3, "block": 2},
    "inner_gated": {"inner_steps": 2, "gated": True, "grid": (6, 4, 4)},
    "inner_normalised": {"inner_steps": 3, "normalize": True, "grid": (4, 6, 4)},
    "inner_separate_residual": {"inner_steps": 2, "separate_params": True, "outer_residual": True},
    "patch": {"patch": PatchConfig(size=2, channels=3), "output_layers": 2},
    "deep": {"grid": (4, 6, 16), "block": 2},
    "deep_inner": {"grid": (4, 4, 16), "block": 4, "inner_steps": 2, "normalize": True},
    "deep_gated": {"grid": (5, 5, 10), "block": 5, "gated": True},
    "odd": {"grid": (5, 7, 3), "block": 1},
    "prime_depth": {"grid": (4, 4, 11), "block": 1, "output_layers": 11},
    "flat": {"grid": (4, 4, 1), "block": 1},
    "relu": {"activation": "relu"},
    "leaky_relu": {"activation": "leaky_relu"},
    "tanh": {"activation": "tanh"},
}


def make(spec: InputSpec = SPEC, **model: Any) -> tuple[Gridnet, GridnetConfig]:
    """A small gridnet none of whose parameters is left at a value that hides a mistake."""
    config = GridnetConfig(**{"grid": (4, 4, 4), "block": 2, "outer_steps": 3, **model})
    torch.manual_seed(0)
    module = Gridnet(config, Task(spec.shape, len(LABELS))).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module, config


def write(out: Path, formats: tuple[str, ...] = ("safetensors", "onnx"), recipe: str = RECIPE, **model: Any) -> Path:
    module, config = make(**model)
    return write_tiny(out, config, recipe, name="tiny", module=module, labels=LABELS, formats=formats)


def run(model: onnx.ModelProto | Path, inputs: np.ndarray) -> np.ndarray:
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def logits_of(module: nn.Module, inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(inputs)).numpy()


# The graph


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_gridnet_computes_in_onnxruntime_what_it_computes_in_torch(variant: str) -> None:
    module, _ = make(**VARIANTS[variant])
    model = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    onnx.checker.check_model(model, full_check=True)
    for batch in (1, 3, 64):
        inputs = SPEC.prepare(random_inputs(SPEC, batch))[0]
        np.testing.assert_allclose(run(model, inputs), logits_of(module, inputs), atol=2e-5, rtol=1e-5)


def test_an_image_of_several_channels_lies_on_several_faces() -> None:
    spec = InputSpec("image", (3, 2, 4), (0.5,) * 3, (0.25,) * 3)
    module, _ = make(spec)
    model = onnx_graph(module, Task(spec.shape, len(LABELS)))
    inputs = spec.prepare(random_inputs(spec, 5))[0]
    np.testing.assert_allclose(run(model, inputs), logits_of(module, inputs), atol=2e-5)


def test_an_empty_batch_gives_no_logits(tmp_path: Path) -> None:
    assert run(write(tmp_path / "tiny") / "model.onnx", np.zeros((0, 1, 4, 4), np.float32)).shape == (0, 3)


def test_the_file_names_its_opset_and_uses_standard_operators_only(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "tiny", inner_steps=2, normalize=True) / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert {node.domain for node in model.graph.node} == {""}
    assert len(model.functions) == 0


def test_weights_are_stored_once_and_in_the_file(tmp_path: Path) -> None:
    for separate in (False, True):
        folder = write(tmp_path / str(separate), grid=(16, 16, 8), block=4, outer_steps=12, separate_params=separate)
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        module = sdk.load(folder, backend="torch").module
        for name, tensor in module.state_dict().items():
            np.testing.assert_array_equal(stored[name], tensor)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        sizes = [(folder / name).stat().st_size for name in ("model.onnx", "model.safetensors")]
        assert sizes[0] <= 1.3 * sizes[1]


# The properties


def test_the_properties_say_what_the_model_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    properties = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert properties["name"] == "tiny"
    assert properties["family"] == "gridnet"
    assert json.loads(properties["labels"]) == LABELS
    assert InputSpec.from_json(json.loads(properties["input"])) == SPEC
    assert properties["weights_sha256"] == hash_file(folder / "model.safetensors")
    assert properties["cellzoo_version"] == sdk.__version__


# Preprocessing inside


def test_with_preprocessing_bytes_go_in_and_probabilities_come_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    module = sdk.load(folder, backend="torch")
    out = write_onnx(tmp_path / "raw.onnx", module.module, module.config, preprocessing=True)
    model = onnx.load(out)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    for batch in (0, 1, 7):
        images = random_inputs(SPEC, batch)
        np.testing.assert_allclose(run(out, images), module.predict_proba(images), atol=1e-6)


class _Linear(nn.Linear):
    """A family of tables, to see that nothing is made for gridnet alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def _linear_graph(module: nn.Linear, task: Task) -> onnx.ModelProto:
    from zoo.families.onnx_builder import GraphBuilder

    g = GraphBuilder()
    product = g.op("MatMul", "input", g.transpose(g.weight("weight", module.weight), (1, 0)))
    return g.model("linear", g.op("Add", product, g.weight("bias", module.bias)), task.input_shape, task.num_classes)


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a family named linear in the place of every other, with a graph or without."""

    def install(graph: bool) -> None:
        hook = f"{__name__}:_linear_graph" if graph else None
        family = Family(name="linear", config=FamilyConfig, about="", build="torch.nn:Linear", onnx_graph=hook)
        monkeypatch.setattr(zoo.artifacts.onnx, "get_family", lambda name: family)

    return install


def config_of(folder: Path, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(read_artifact(folder).config, **changes)


def test_another_familys_graph_and_a_table_work_the_same_way(tmp_path: Path, linear: Callable[..., None]) -> None:
    spec = InputSpec("table", (2,), (1.0, -2.0), (3.0, 0.5))
    config = config_of(write(tmp_path / "tiny"), family="linear", input=spec)
    linear(graph=True)
    module = _Linear(2, 3)
    rows = random_inputs(spec, 5)
    plain = write_onnx(tmp_path / "plain.onnx", module, config)
    np.testing.assert_allclose(run(plain, spec.prepare(rows)[0]), logits_of(module, spec.prepare(rows)[0]), atol=1e-6)
    raw = write_onnx(tmp_path / "raw.onnx", module, config, preprocessing=True)
    np.testing.assert_allclose(run(raw, rows.astype(np.float32)).sum(-1), 1, atol=1e-6)


def test_a_family_without_a_graph_says_so(tmp_path: Path, linear: Callable[..., None]) -> None:
    config = config_of(write(tmp_path / "tiny"))
    linear(graph=False)
    with pytest.raises(ExportError, match="family linear has no ONNX form; leave onnx out of the formats"):
        build_onnx(nn.Linear(2, 3), config)


# Checked before it is written


def test_a_mismatch_fails_the_export_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, _ = make(activation="relu")
    model = onnx_graph(other, Task(SPEC.shape, len(LABELS)))
    monkeypatch.setattr("zoo.families.gridnet.onnx.onnx_graph", lambda module, task: model)
    with pytest.raises(ExportError, match=r"ONNX and torch are apart by .* on a batch of 1, 0.0001 is allowed"):
        write(tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_an_unsound_graph_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = make()
    model = onnx_graph(module, Task(SPEC.shape, len(LABELS)))
    model.graph.node[0].input[0] = "nothing"
    monkeypatch.setattr("zoo.families.gridnet.onnx.onnx_graph", lambda module, task: model)
    with pytest.raises(ExportError, match="the ONNX graph is not sound: "):
        write(tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def _split(count: int) -> ArraySplit:
    images = torch.from_numpy(random_inputs(SPEC, count, seed=5))
    return ArraySplit(images, torch.zeros(count, dtype=torch.long), SPEC, AugmentConfig(), workers=0)


class _Forgetful(nn.Module):
    """Logits as the module's, until the module has seen the batches of the first check."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.module = module
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        return self.module(x) if self.calls >= 0 else -self.module(x)


def test_a_label_that_differs_on_the_test_set_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    module, config = sdk.load(folder, backend="torch").module, read_artifact(folder).config
    model = build_onnx(module, config)
    check_onnx(model, module, SPEC, _split(70))
    with pytest.raises(ExportError, match="ONNX and torch give test sample 0 another label"):
        check_onnx(model, _Forgetful(module, calls=6), SPEC, _split(70))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    model = sdk.load(folder, backend="torch")
    (tmp_path / "out.onnx").mkdir()
    with pytest.raises(ExportError, match=r"cannot write .*out\.onnx"):
        write_onnx(tmp_path / "out.onnx", model.module, model.config)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "out.onnx"}


# Recipes and the command


def test_recipes_export_onnx_unless_they_say_otherwise(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert load_recipe(tmp_path / "r.yaml").export.formats == ("safetensors",)
    assert load_recipe(tmp_path / "r.yaml", ["export={}"]).export.formats == ("safetensors", "onnx")
    for formats, message in (("[onnx]", "should include safetensors"), ("[safetensors, onnx, onnx]", "once")):
        with pytest.raises(RecipeError, match=message):
            load_recipe(tmp_path / "r.yaml", [f"export.formats={formats}"])


def test_an_export_that_fails_leaves_the_artifact_as_it_was(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", formats=("safetensors",))
    before = read_artifact(folder).config
    result = CliRunner().invoke(cli, ["export", str(folder)])  # its recipe names data of 8x8 pixels
    assert result.exit_code == 1
    assert "wrong shape" in result.output
    assert read_artifact(folder).config == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_adding_the_file_keeps_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zoo.artifacts.reexport

    monkeypatch.setattr(zoo.artifacts.reexport, "_test_part", lambda recipe, data_dir: (_split(9), None))
    folder = write(tmp_path / "tiny", formats=("safetensors",))
    before = read_artifact(folder).config
    for _ in range(2):
        result = CliRunner().invoke(cli, ["export", str(folder)])
        assert result.exit_code == 0, result.output
        after = read_artifact(folder).config
        assert set(after.files) == {*before.files, "model.onnx"}
        assert after.files["model.safetensors"] == before.files["model.safetensors"]
        assert after.metrics == before.metrics
        recipe = load_recipe(folder / "recipe.yaml")
        assert recipe.export.formats == ("safetensors", "onnx")
        assert after.provenance["recipe_sha256"] == hash_file(folder / "recipe.yaml")
        assert "onnxruntime.InferenceSession" in (folder / "README.md").read_text()
        assert sdk.load(folder).backend == "onnx"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_the_command_writes_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zoo.artifacts.reexport

    monkeypatch.setattr(zoo.artifacts.reexport, "_test_part", lambda recipe, data_dir: (None, "the data is not here"))
    folder, out = write(tmp_path / "tiny", formats=("safetensors",)), tmp_path / "raw.onnx"
    arguments = ["export", str(folder), "--preprocessing", "--out", str(out)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "note: not compared with torch on the test set: the data is not here" in result.output
    images = random_inputs(SPEC, 4)
    np.testing.assert_allclose(run(out, images), sdk.load(folder).predict_proba(images), atol=1e-6)
    assert "model.onnx" not in read_artifact(folder).config.files
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 1
    assert "raw.onnx exists; give another file or ask to overwrite it" in again.output
    assert CliRunner().invoke(cli, [*arguments, "--overwrite"]).exit_code == 0


def test_preprocessing_needs_a_file_of_its_own(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(write(tmp_path / "tiny")), "--preprocessing"])
    assert result.exit_code == 2
    assert "give --out FILE for --preprocessing" in result.output


# As the README shows


def test_the_file_runs_in_plain_onnxruntime(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    inputs = SPEC.prepare(random_inputs(SPEC, 2))[0]
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    [logits] = session.run(["logits"], {"input": inputs})
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    assert [labels[i] for i in logits.argmax(axis=1)] == sdk.load(folder).predict(random_inputs(SPEC, 2))
