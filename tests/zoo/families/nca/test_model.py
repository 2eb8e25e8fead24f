"""The Meta-NCA family: what is refused, what training changes, what is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

import sdk
from sdk.errors import InputError, LoadError
from sdk.families.nca import NcaModel
from zoo.artifacts.from_run import export_run
from zoo.artifacts.reexport import add_onnx
from zoo.config.data import IrisConfig
from zoo.data import load_data
from zoo.data.task import Task
from zoo.families.nca.config import NcaConfig, TasksConfig
from zoo.families.nca.learner import NcaLearner, delete_weights
from zoo.families.nca.model import MetaNca
from zoo.families.nca.onnx import one_layer, rule_files
from zoo.families.nca.tasks import draw_task, standardisation
from zoo.families.registry import get_family
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingError

TASK = Task((4,), 3)
SMALL = ["model.epochs=5", "train.steps=4", "train.checkpoint_every=2", "model.meta.population=2"]
TEACHING = {"rule": {"senses": "teaching", "positions": "none"}, "standardize": True, "bias": True}


def build(task: Task = TASK, **options: Any) -> MetaNca:
    torch.manual_seed(0)
    return MetaNca(NcaConfig.model_validate({"epochs": 4, **options}), task)


def learner_of(module: MetaNca) -> NcaLearner:
    return NcaLearner(module, module.config)


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(count, 4), torch.arange(count) % 3


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models hardly trained, as `zoo train` writes them."""
    root, found = tmp_path_factory.mktemp("nca"), {}
    for name in ("nca-iris", "nca-learner"):
        result = train(load_recipe(name, SMALL), run_dir=root / f"run-{name}", device="cpu", progress=False)
        found[name] = export_run(result, root / name)
    return found


# Config and module


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meta": {"tasks": {}}}, "meta.tasks needs rule.senses: teaching, found none"),
        ({"meta": {"tasks": {}}, "rule": {"senses": "teaching"}}, "meta.tasks needs standardize: true"),
        ({"meta": {"damage": 0.5}}, "meta.damage 0.5 needs meta.segments of at least 2"),
        ({"fraction": 0}, "greater than 0"),
        ({"rule": {"change": "relu"}}, "'tanh', 'sigmoid' or 'linear'"),
        ({"meta": {"tasks": {"classes": [1, 3]}}}, "classes .1, 3. should be a lower and an upper bound, at least 2"),
    ],
)
def test_a_config_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


def test_a_running_average_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("nca-iris", [*SMALL, "train.ema=0.9"])
    with pytest.raises(TrainingError, match=r"train\.ema: a running average of the weights does not fit family nca"):
        train(recipe, run_dir=tmp_path, device="cpu", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nca takes tables \[features\], the data has inputs of shape \[1, 8, 8\]"):
        build(Task((1, 8, 8), 10))


def test_a_network_that_the_position_codes_cannot_count_is_refused() -> None:
    module = build(layers=2, hidden=5)
    with pytest.raises(ValueError, match="up to 2 layers of up to 64 weights"):
        module.begin([(4, 5, 5, 3)])
    with pytest.raises(ValueError, match="cannot be counted"):
        module.begin([(4, 20, 3)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"start": "zero", "rule": {"change": "sigmoid", "activation": "relu"}},
        {"layers": 3, "hidden": 5, "rule": {"layer_norm": True}, "meta": {"layers": [1, 3], "hidden": [2, 5]}},
        {"rule": {"senses": "activations", "pooling": "sum", "scale": 0.1}},
        TEACHING | {"meta": {"tasks": {}, "layers": [1, 2], "judgements": 3}},
        {"meta": {"segments": 2, "damage": 0.5}},
    ],
    ids=str,
)
def test_every_variant_trains_all_of_the_rule_with_finite_gradients(options: dict[str, Any]) -> None:
    module = build(**options)
    results = list(learner_of(module).training_steps(*batch()))
    assert len(results) == module.config.meta.segments
    sum(result.loss for result in results).backward()  # type: ignore[union-attr]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert any(parameter.grad.any() for parameter in module.parameters() if parameter.grad is not None)


def test_training_makes_evolved_networks_better() -> None:
    data = load_data(IrisConfig(name="iris"))
    module = build(epochs=6, rule={"layer_norm": True})
    learner, optimizer = learner_of(module), torch.optim.Adam(module.parameters(), lr=1e-2)
    inputs, labels = data.train.prepare(data.train.inputs), data.train.labels
    losses = []
    for _ in range(60):
        for result in learner.training_steps(inputs, labels):
            optimizer.zero_grad()
            result.loss.backward()
            optimizer.step()
            losses.append(result.loss.item())
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_a_dead_network_teaches_the_rule_only_by_the_penalty_on_silent_units() -> None:
    for alive in (0.0, 1.0):
        module = build(layers=2, hidden=2, epochs=1, meta={"layers": [2], "hidden": [2], "alive": alive})
        with torch.no_grad():  # whatever is perceived: all weights fall below zero
            module.rule.layers[-1].bias.fill_(-5)
            module.rule.layers[-1].weight.mul_(0.01)
        learner = NcaLearner(module, module.config.model_copy(update={"fraction": 1.0, "epochs": 8}))
        for result in learner.training_steps(*batch()):
            torch.autograd.backward(result.loss)
        gradients = [p.grad for p in module.rule.parameters() if p.grad is not None]
        moved = any(bool(gradient.any()) for gradient in gradients)
        assert moved == (alive > 0)


def test_evolutions_grow_longer_during_the_first_steps_and_a_resumed_run_knows_where_it_is() -> None:
    module = build(epochs=10, meta={"grow_steps": 20})
    learner = learner_of(module)
    lengths = []
    for step in range(1, 31):
        lengths.append(learner.epochs)
        learner.on_step_end(step)
    assert lengths[0] == 1
    assert lengths[-1] == 10
    assert lengths == sorted(lengths)
    resumed = learner_of(module)
    resumed.load_state_dict(learner.state_dict())
    assert resumed.epochs == 10


def test_the_network_that_answers_is_the_one_that_the_rule_grows_from_the_seed() -> None:
    module = build(**TEACHING)
    inputs, labels = batch()
    learner = learner_of(module)
    next(learner.training_steps(inputs, labels))
    learner.before_validation(1)
    expected = module.grow_one(inputs, labels, module.architecture())
    x = torch.cat([(inputs - inputs.mean(0)) / inputs.std(0, correction=0), torch.ones(len(inputs), 1)], 1)
    torch.testing.assert_close(module(inputs), x @ expected.weights[0])
    other = module.grow_one(inputs, labels, module.architecture(), seed=1)
    assert not torch.equal(other.weights[0], expected.weights[0])


def test_a_deleted_weight_is_zero_with_a_fresh_state_and_the_others_are_as_they_were() -> None:
    module = build()
    wiring, state = module.begin([(4, 3)])
    evolved = module.evolve(state, wiring, 1).detach() + 1
    deleted = torch.zeros_like(wiring.mask)
    deleted[0, 0, 1, 2] = True
    after = delete_weights(module, evolved, wiring, deleted)
    assert after[0, 0, 1, 2, 0] == 0
    assert torch.equal(after[0, 0, 1, 2, 1:], state[0, 0, 1, 2, 1:])
    assert torch.equal(after[~deleted], evolved[~deleted])


# Generated tasks


def test_generated_tasks_stay_in_their_bounds_and_are_standardised_by_what_is_shown() -> None:
    config = TasksConfig(features=(2, 5), classes=(2, 4), examples=50, queries=20)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        task = draw_task(config, generator)
        assert 2 <= task.features <= 5
        assert 2 <= task.classes <= 4
        assert task.shown.inputs.shape == (50, task.features)
        assert task.asked.labels.shape == (20,)
        assert task.shown.inputs.mean(0).abs().max() < 1e-4
        assert int(task.shown.labels.max()) < task.classes


def test_a_constant_feature_is_centred_and_not_scaled() -> None:
    shift, scale = standardisation(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    assert shift.tolist() == [2, 7]
    assert scale.tolist() == [1, 1]


# The artifact


@pytest.mark.parametrize("name", ["nca-iris", "nca-learner"])
def test_a_trained_model_answers_the_same_on_both_backends(artifacts: dict[str, Path], name: str) -> None:
    flowers = load_data(IrisConfig(name="iris")).test.inputs.numpy()  # type: ignore[attr-defined]
    models = [sdk.load(artifacts[name], backend=backend) for backend in ("onnx", "torch")]
    assert all(isinstance(model, NcaModel) for model in models)
    np.testing.assert_allclose(models[0].logits(flowers), models[1].logits(flowers), atol=1e-4)
    assert set(models[0].predict(flowers)) <= {"setosa", "versicolor", "virginica"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": {"layer_norm": True, "pooling": "sum", "activation": "relu", "change": "sigmoid"}},
        {"rule": {"senses": "activations", "positions": "none", "change": "linear"}},
        {"rule": {"positions": "none"}},
        TEACHING,
    ],
    ids=str,
)
def test_the_rule_file_applies_one_masked_epoch_to_a_layer_of_any_size(options: dict[str, Any]) -> None:
    module = build(**options)
    with torch.no_grad():
        module.rule.layers[-1].weight.normal_()
    session = onnxruntime.InferenceSession(rule_files(module, TASK)["rule.onnx"].SerializeToString())
    noise, sizes = np.random.default_rng(3), {"inputs": 7, "outputs": 1, "examples": 2}
    given = {
        entry.name: noise.standard_normal([sizes.get(axis, axis) for axis in entry.shape]).astype(np.float32)
        for entry in session.get_inputs()
    }
    given["mask"] = (np.arange(7)[:, None] % 2).astype(np.float32)
    weights, states = session.run(["new_weights", "new_states"], given)
    expected = one_layer(module, given)
    np.testing.assert_allclose(weights, expected[0], atol=1e-5)
    np.testing.assert_allclose(states, expected[1], atol=1e-5)
    assert np.array_equal(weights[::2], given["weights"][::2])
    assert (weights[1::2] != given["weights"][1::2]).all()


def test_an_artifact_has_the_rule_file_and_a_rule_without_senses_its_animation(artifacts: dict[str, Path]) -> None:
    for folder in artifacts.values():
        onnx.checker.check_model(onnx.load(folder / "rule.onnx"), full_check=True)
        assert "rule.onnx" in sdk.load(folder).config.files
    with Image.open(artifacts["nca-iris"] / "figures" / "evolution.gif") as animation:
        assert animation.n_frames == 6  # type: ignore[attr-defined]
    assert "evolution.gif" in (artifacts["nca-iris"] / "README.md").read_text()
    assert not (artifacts["nca-learner"] / "figures").exists()


def test_the_rule_file_comes_back_when_onnx_is_added_anew(artifacts: dict[str, Path]) -> None:
    folder = artifacts["nca-learner"]
    before = onnx.load(folder / "rule.onnx")
    add_onnx(str(folder))
    assert onnx.load(folder / "rule.onnx").graph == before.graph


# evolve


def test_a_rule_that_learns_grows_a_classifier_of_any_table_with_any_labels(artifacts: dict[str, Path]) -> None:
    model = sdk.load(artifacts["nca-learner"], backend="torch")
    assert isinstance(model, NcaModel)
    noise = np.random.default_rng(0)
    inputs, labels = noise.normal(size=(30, 6)), np.array(["yes", "no", "maybe"] * 10)
    grown = model.evolve(inputs, labels, layers=2, hidden=4, steps=5, seed=3)
    assert [weight.shape for weight in grown.weights] == [(7, 4), (4, 3)]
    assert len(grown.history) == 6
    assert set(grown.predict(inputs)) <= {"yes", "no", "maybe"}
    np.testing.assert_allclose(grown.predict_proba(inputs).sum(1), 1, atol=1e-5)
    assert 0 <= grown.score(inputs, labels) <= 1
    again = model.evolve(inputs, labels, layers=2, hidden=4, steps=5, seed=3)
    assert np.array_equal(again.weights[0], grown.weights[0])
    assert grown.fit(inputs[:, :2], labels).n_features_in_ == 2


def test_a_rule_that_encodes_its_data_grows_from_a_seed_alone(artifacts: dict[str, Path]) -> None:
    model = sdk.load(artifacts["nca-iris"], backend="torch")
    assert isinstance(model, NcaModel)
    flowers = load_data(IrisConfig(name="iris")).test.inputs.numpy()  # type: ignore[attr-defined]
    same = model.evolve(seed=0)
    assert same.predict(flowers).tolist() == model.predict(flowers)
    assert not np.array_equal(model.evolve(seed=1).weights[0], same.weights[0])


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("nca-iris", ([[1, 2, 3, 4]], [0]), {}, "encodes one data set and takes no labels"),
        ("nca-iris", (), {"layers": 2}, "cannot be counted"),
        ("nca-iris", (), {"layers": 0}, "layers must be a whole number of at least 1, found 0"),
        ("nca-iris", (), {"steps": 1.5}, "steps must be a whole number"),
        ("nca-iris", (), {"seed": -1}, "seed must be a whole number"),
        ("nca-learner", (), {}, "learns from examples"),
        ("nca-learner", ([[1.0, 2.0]], [0, 1]), {}, r"y has shape \[2\]"),
        ("nca-learner", ([[1.0], [2.0]], [1, 1]), {}, "at least 2 are needed"),
        ("nca-learner", ([[1.0], [np.nan]], [0, 1]), {}, "NaN"),
        ("nca-learner", ([1.0, 2.0], [0, 1]), {}, r"found shape \[2\]"),
        ("nca-learner", (["a", "b"], [0, 1]), {}, "should be numbers"),
    ],
)
def test_what_cannot_be_evolved_is_refused_in_one_line(
    artifacts: dict[str, Path], name: str, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    model = sdk.load(artifacts[name], backend="torch")
    with pytest.raises(InputError, match=message) as caught:
        model.evolve(*arguments, **options)  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)


def test_evolving_on_the_onnx_backend_says_what_to_do(artifacts: dict[str, Path]) -> None:
    with pytest.raises(LoadError, match="load nca-iris with backend='torch'"):
        sdk.load(artifacts["nca-iris"], backend="onnx").evolve()  # type: ignore[attr-defined]


def test_the_family_brings_a_probe_and_a_bench() -> None:
    family = get_family("nca")
    assert family.probe is not None
    assert family.bench is not None
