"""A model that learns to copy its input: one task among others, from the recipe to the exported file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import sdk
from sdk.artifact import read_config
from sdk.echo import EchoModel
from sdk.errors import InputError, LoadError
from sdk.tasks import ECHO_BOUND
from tests.support.command import run
from zoo.artifacts.from_run import export_run
from zoo.artifacts.preflight import check_exportable
from zoo.data import load_data
from zoo.recipe import load_recipe
from zoo.recipe.own_data import recipe_on_data
from zoo.training.loop import train
from zoo.utils.errors import TrainingError

ECHO = [
    "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}",
    "data={name: digits, task: echo}",
    "train.epochs=6",
]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a gridnet that copies digits; run.log of its training beside it."""
    folder = tmp_path_factory.mktemp("echo")
    recipe = load_recipe("gridnet-digits", ECHO)
    result = train(recipe, run_dir=folder / "run", device="cpu", progress=False, check=lambda r, d, m: check_exportable(
        r, d, m, folder / "rehearsed"
    ), metrics={"values": lambda outputs, target: float(outputs.shape == target.shape) * outputs.shape[1]})  # fmt: skip
    assert result.history[-1]["validation_values"] == 64
    return export_run(result, folder / "gridnet-digits")


def test_an_echo_learns_to_copy_and_its_accuracy_counts_good_copies(echo: Path) -> None:
    history = json.loads((echo / "history.json").read_text())
    assert history[-1]["validation_loss"] < 0.5 * history[0]["validation_loss"]

    config, model = read_config(echo), sdk.load(echo)
    raw, _ = load_data(load_recipe("gridnet-digits", ECHO).data).test.everything()
    errors = model.errors(raw.numpy() * model.input_spec.std[0] + model.input_spec.mean[0], invert=False)  # type: ignore[attr-defined]
    assert config.metrics["test_loss"] == pytest.approx(errors.mean(), rel=1e-4)
    assert config.metrics["test_correct"] == (errors < ECHO_BOUND).sum()
    assert (config.task, config.labels, config.outputs) == ("echo", (), 64)


def test_every_backend_returns_a_copy_of_the_shape_and_in_the_units_of_the_input(echo: Path) -> None:
    image = load_data(load_recipe("gridnet-digits", ECHO).data).test.everything()[0][0].numpy()
    spec = sdk.load(echo).input_spec
    image = image * spec.std[0] + spec.mean[0]
    copies = [
        sdk.load(echo, backend=backend).predict(image, invert=False, batch=False)
        for backend in ("native", "onnx", "torch")
    ]
    assert all(copy.shape == (1, 8, 8) and np.allclose(copy, copies[0], atol=1e-4) for copy in copies)
    assert np.corrcoef(copies[0].ravel(), image.ravel())[0, 1] > 0.8
    model = pickle.loads(pickle.dumps(sdk.load(echo)))
    assert isinstance(model, EchoModel)
    assert model.predict(image[None].repeat(3, 0), invert=False).shape == (3, 1, 8, 8)
    assert model.errors(image, invert=False, batch=False) == pytest.approx(
        np.square((copies[0] - image) / spec.std[0]).mean(), rel=1e-3
    )


def test_zoo_eval_reproduces_the_error_of_the_training(echo: Path) -> None:
    found = run("eval", str(echo))
    loss = read_config(echo).metrics["test_loss"]
    assert found.exit_code == 0
    assert f"mean squared error {loss:.4f}" in found.output
    assert "the same" in found.output


def test_zoo_predict_prints_errors_and_writes_one_copy(echo: Path, tmp_path: Path) -> None:
    picture, copy = tmp_path / "a.png", tmp_path / "copy.png"
    Image.fromarray(np.uint8([[0] * 8] * 4 + [[255] * 8] * 4)).save(picture)
    found = run("predict", str(echo), str(picture), "--out", str(copy))
    assert found.exit_code == 0
    assert f"{picture}: copied with a mean squared error of " in found.output
    assert Image.open(copy).size == (8, 8)
    again = run("predict", str(echo), str(picture), "--out", str(copy))
    assert (again.exit_code, "--overwrite" in again.output) == (1, True)
    bad = run("predict", str(echo), str(picture), str(tmp_path / "no.png"), "--json")
    assert bad.exit_code == 1
    answers = json.loads(bad.stdout)
    assert answers[str(picture)]["squared_error"] > 0
    assert "no such file" in answers[str(tmp_path / "no.png")]["error"]


def test_the_onnx_file_and_its_half_precision_copy_as_the_module_does(echo: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    found = run("export", str(echo), "--precision", "fp16", "--out", str(half), "--max-drop", "5")
    assert found.exit_code == 0, found.output
    inputs = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    (outputs,) = onnxruntime.InferenceSession(half).run(["logits"], {"input": inputs})
    with torch.inference_mode():
        expected = sdk.load(echo, backend="torch").module(torch.from_numpy(inputs)).numpy()
    assert np.allclose(outputs, expected, atol=0.05)


def test_the_card_says_that_the_model_copies(echo: Path) -> None:
    card = (echo / "README.md").read_text()
    assert "copies it: each of its 64 outputs is one value of the input" in card
    assert "test loss (mean squared error)" in card
    assert f"a mean squared error below {ECHO_BOUND}" in card
    assert "classes" not in card.split("## Limits")[1].split("## Training")[0]
    assert "pipeline_tag: image-to-image" in card


@pytest.mark.parametrize(
    "command",
    [["probe"], ["compare"], ["web", "--out", "OUT"], ["export", "--preprocessing", "--out", "OUT"]],
    ids=lambda command: command[0],
)
def test_commands_for_classifiers_refuse_an_echo_in_one_line(echo: Path, tmp_path: Path, command: list[str]) -> None:
    name, *rest = [part.replace("OUT", str(tmp_path / "out")) for part in command]
    found = run(name, str(echo), *rest)
    assert found.exit_code == 1
    assert "echo" in found.output
    assert len(found.output.strip().splitlines()) == 1


def test_what_needs_classes_refuses_an_echo(echo: Path) -> None:
    model = sdk.load(echo)
    for call, error in ((model.predict_proba, InputError), (model.trace, LoadError)):
        with pytest.raises(error, match="copies its input"):
            call(np.zeros((8, 8), np.float32))
    with pytest.raises(LoadError, match="no classifier"):
        model.to_sklearn()
    with pytest.raises(InputError, match="allowed classifiers"):
        _ = sdk.BatchPredictor(str(echo)).model


@pytest.mark.parametrize("name", ["cellnet-digits", "normnet-digits", "snapshots-digits", "nca-iris"])
def test_a_family_whose_losses_are_those_of_classes_refuses_an_echo(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingError, match=r"data\.task: found echo, family \w+ learns classification"):
        train(load_recipe(name, ["data.task=echo"]), run_dir=tmp_path / "run", device="cpu", progress=False)


def test_a_table_is_copied_too(tmp_path: Path) -> None:
    recipe = load_recipe("mlp-digits", ["data={name: iris, task: echo}", "train.epochs=2", "train.batch_size=16"])
    model = sdk.load(export_run(train(recipe, run_dir=tmp_path / "run", device="cpu", progress=False), tmp_path / "a"))
    assert model.predict([5.1, 3.5, 1.4, 0.2]).shape == (4,)


def test_an_echo_starts_from_an_echo_with_all_its_weights(echo: Path, tmp_path: Path) -> None:
    recipe = load_recipe("gridnet-digits", [*ECHO, "train.epochs=1", f"train.start_from={echo}"])
    result = train(recipe, run_dir=tmp_path / "run", device="cpu", progress=False)
    assert result.start is not None
    assert not result.start.provenance()["new_parameters"]


def test_a_classifier_starts_from_an_echo_without_its_readout(echo: Path, tmp_path: Path) -> None:
    overrides = [ECHO[0], "train.epochs=1", f"train.start_from={echo}"]
    result = train(load_recipe("gridnet-digits", overrides), run_dir=tmp_path / "run", device="cpu", progress=False)
    assert result.start is not None
    assert result.start.provenance()["new_parameters"] == 10 * 64 + 10


def test_a_recipe_on_data_of_ones_own_keeps_its_task(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "pictures" / label / "one.png")
    recipe, _ = recipe_on_data("gridnet-echo", str(tmp_path / "pictures"))
    assert recipe.data.task == "echo"
    assert recipe_on_data("gridnet-digits", str(tmp_path / "pictures"))[0].data.task == "classification"


def test_a_recipe_without_a_task_keeps_its_hash() -> None:
    assert "task" not in load_recipe("gridnet-digits").to_dict()["data"]
    assert "task" not in load_recipe("nca-iris").to_dict()["data"]
    assert load_recipe("gridnet-digits", ["data.task=echo"]).to_dict()["data"]["task"] == "echo"
