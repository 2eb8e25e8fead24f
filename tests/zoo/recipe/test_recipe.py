from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import ROOT
from zoo.data.task import Task
from zoo.families.registry import get_family, load_hook
from zoo.recipe import load_recipe, recipe_names
from zoo.utils.errors import RecipeError

TASKS = {
    "digits": Task((1, 8, 8), 10),
    "mnist": Task((1, 28, 28), 10),
    "iris": Task((4,), 3),
    "image_folder": Task((3, 256, 256), 1000),
}

SMALL = """\
model: {family: gridnet, grid: [8, 8, 2], block: 2}
data: {name: digits}
train: {epochs: 1, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
"""


def problem(*overrides: str, name: str = "gridnet-digits") -> str:
    """The one line of the error, without the file's name."""
    with pytest.raises(RecipeError) as info:
        load_recipe(name, overrides)
    assert "\n" not in str(info.value)
    return str(info.value).split(": ", 1)[1]


def problem_of_file(folder: Path, text: str) -> str:
    path = folder / "small.yaml"
    path.write_text(text)
    return problem(name=str(path))


# Shipped recipes


def test_every_recipe_of_the_house_is_listed() -> None:
    expected = {"digits", "mnist", "mnist-gated", "mnist-literal", "imagenet"}
    assert {f"gridnet-{name}" for name in expected} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_builds_its_module(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    # Without memory, for the largest take gigabytes; but a growing network lays its first edges while it is built.
    with torch.device("cpu" if recipe.model.family == "snapshots" else "meta"):
        module = load_hook(get_family(recipe.model.family).build)(recipe.model, TASKS[recipe.data.name])
    assert sum(parameter.numel() for parameter in module.parameters()) > 0


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_says_in_a_header_what_it_is(name: str) -> None:
    path = ROOT / "recipes" / f"{name}.yaml"
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("name", recipe_names())
def test_the_resolved_recipe_loads_to_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / f"{name}.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).sha256() == recipe.sha256()


# Finding


def test_a_file_is_found_by_its_path_and_gives_the_model_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my-own.yaml"
    path.write_text(SMALL)
    assert load_recipe(str(path)).name == "my-own"


def test_an_unknown_name_lists_what_there_is_and_what_is_close() -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe 'gridnet-mnst' \(did you mean gridnet-mnist") as info:
        load_recipe("gridnet-mnst")
    assert "gridnet-imagenet" in str(info.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere/x\.yaml: no such recipe file"):
        load_recipe("nowhere/x.yaml")


def test_a_file_name_that_is_no_model_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "My Model.yaml").write_text(SMALL)
    with pytest.raises(RecipeError, match="found 'My Model'"):
        load_recipe(tmp_path / "My Model.yaml")


# Overrides


def test_overrides_set_values_by_their_key_path() -> None:
    recipe = load_recipe("gridnet-digits", ["train.optimizer.lr=3e-4", "model.outer_steps=3", "data.seed=7"])
    assert recipe.train.optimizer.lr == 3e-4
    assert recipe.model.outer_steps == 3  # type: ignore[attr-defined]
    assert recipe.data.seed == 7


def test_an_override_may_replace_a_whole_section() -> None:
    recipe = load_recipe("gridnet-digits", ["train.optimizer={name: sgd, lr: 1, momentum: 0.9}"])
    assert recipe.train.optimizer.model_dump() == {
        "name": "sgd", "lr": 1.0, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False,
    }  # fmt: skip


def test_an_override_may_create_the_keys_it_names() -> None:
    recipe = load_recipe("gridnet-mnist", ["data.augment.crop.scale=[0.5, 1]"])
    assert recipe.data.augment.crop is not None
    assert recipe.data.augment.crop.scale == (0.5, 1.0)


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=3", ".=1"])
def test_an_override_without_key_or_value_is_refused(override: str) -> None:
    with pytest.raises(RecipeError, match=r"should be key\.path=value"):
        load_recipe("gridnet-digits", [override])


def test_an_override_below_a_value_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.batch_size holds 64, which has no keys"):
        load_recipe("gridnet-digits", ["train.batch_size.x=1"])


def test_an_override_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"override 'train.epochs=\[1':"):
        load_recipe("gridnet-digits", ["train.epochs=[1"])


@given(
    lr=st.floats(1e-8, 1e3),
    epochs=st.integers(1, 10**6),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    flip=st.booleans(),
)
def test_what_an_override_says_is_what_the_recipe_holds(
    lr: float, epochs: int, betas: tuple[float, float], flip: bool
) -> None:
    values = {
        "train.optimizer.lr": lr,
        "train.epochs": epochs,
        "train.optimizer.betas": list(betas),
        "data.augment.flip": flip,
    }
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in values.items()]
    recipe = load_recipe("gridnet-digits", overrides)
    assert recipe.train.optimizer.lr == lr
    assert recipe.train.epochs == epochs
    assert recipe.train.optimizer.betas == betas  # type: ignore[union-attr]
    assert recipe.data.augment.flip == flip


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "+3e-4", "0.3e-3", "3.e-4", ".3e-3", "0.0003"])
def test_every_way_to_write_a_float_is_a_float(text: str) -> None:
    assert load_recipe("gridnet-digits", [f"train.optimizer.lr={text}"]).train.optimizer.lr == pytest.approx(3e-4)


# Errors of the file


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    text = SMALL + "train: {epochs: 2}\n"
    assert problem_of_file(tmp_path, text) == "line 4, column 1: key 'train' is given twice"


def test_broken_yaml_names_its_place(tmp_path: Path) -> None:
    assert problem_of_file(tmp_path, "model: {family: gridnet\ndata: 3").startswith("line 2, column ")


@pytest.mark.parametrize("text", ["", "- 1\n- 2", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert problem_of_file(tmp_path, text).startswith("should be a mapping with the sections")


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    text = SMALL + "export: !!python/object/apply:os.system ['true']\n"
    assert "could not determine a constructor" in problem_of_file(tmp_path, text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "x.yaml")


def test_a_list_as_a_key_is_refused(tmp_path: Path) -> None:
    assert "unhashable" in problem_of_file(tmp_path, SMALL + "? [a, b]\n: 1\n")


@pytest.mark.parametrize("section", ["model", "data", "train"])
def test_a_missing_section_is_named(section: str) -> None:
    assert problem(f"{section}=null").startswith(f"{section}: ")


# Errors of the values


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("extra=1", "extra: unknown section; allowed: model, data, train, export"),
        ("modle={}", "modle: unknown section (did you mean model?); allowed: model, data, train, export"),
        ("model.family=gridnot", 'model.family: unknown family "gridnot" (did you mean gridnet?)'),
        ("model=3", "model: should be a mapping with a family, found 3; families: "),
        ("model={grid: [8, 8, 2]}", "model.family: this key is missing; families: "),
        ("model.block=5", "model.block: block 5 must divide every axis of the grid"),
        ("model.outer_step=5", "model.outer_step: unknown key (did you mean outer_steps?); allowed keys: "),
        ("model.outer_steps=many", 'model.outer_steps: found "many", should be a valid integer'),
        ("model.outer_steps=2.5", "model.outer_steps: found 2.5, should be a valid integer"),
        ("model.outer_steps=true", "model.outer_steps: found true, should be a valid integer"),
        ("model.outer_steps='5'", 'model.outer_steps: found "5", should be a valid integer'),
        ("model.outer_steps=0", "model.outer_steps: found 0, should be greater than 0"),
        ("model.init_scale=.nan", "model.init_scale: found nan, should be a finite number"),
        ("train.optimizer.lr=.inf", "train.optimizer.lr: found inf, should be a finite number"),
        ("train.optimizer.lr=-1", "train.optimizer.lr: found -1, should be greater than 0"),
        ("train.optimizer.lr=null", "train.optimizer.lr: found nothing, should be a valid number"),
        ("train.optimizer={name: sgd}", "train.optimizer.lr: this key is missing"),
        ("train.optimizer.name=lion", 'train.optimizer.name: found "lion", allowed: sgd, adam'),
        ("train.optimizer={lr: 1}", "train.optimizer.name: this key is missing; allowed: sgd, adam, adamw"),
        ("train.optimizer.momentum=0.9", "train.optimizer.momentum: unknown key; allowed keys: lr, "),
        ("train.optimizer={name: sgd, lr: 1, betas: [0, 0]}", "train.optimizer.betas: unknown key"),
        ("train.optimizer={name: sgd, lr: 1, nesterov: true}", "train.optimizer.nesterov: nesterov needs"),
        ("train.optimizer.betas=[0.9]", "train.optimizer.betas"),
        ("train.optimizer.betas=[0.9, 1.0]", "train.optimizer.betas.1: found 1.0, should be less than 1"),
        ("train.schedule.name=step", 'train.schedule.name: found "step", allowed: constant, cosine'),
        ("train.schedule={name: constant, final: 0}", "train.schedule.final: unknown key; allowed keys: "),
        ("train.schedule.warmup=1.5", "train.schedule.warmup: found 1.5, should be a whole number"),
        ("train.schedule.warmup=-1", "train.schedule.warmup: found -1, should be a whole number"),
        ("train.schedule.warmup=long", 'train.schedule.warmup: found "long", should be a whole number'),
        ("train.steps=5", "train.epochs: epochs 60 and steps 5 exclude each other: set one of them to null"),
        ("train.epochs=null", "train.epochs: epochs or steps is missing"),
        ("train.precision=int8", "train.precision: found \"int8\", should be 'fp32', 'bf16' or 'fp16'"),
        ("train.ema=1", "train.ema: found 1, should be less than 1"),
        ("data.name=cifar", 'data.name: found "cifar", allowed: digits, mnist, iris, image_folder'),
        ("data.image_size=8", "data.image_size: unknown key; allowed keys: "),
        ("data.validation=0", "data.validation: validation should be above 0"),
        ("data.augment.shift=1.5", "data.augment.shift: found 1.5, should be a valid integer"),
        ("data.augment.shft=1", "data.augment.shft: unknown key (did you mean shift?); allowed keys: crop"),
        ("data.augment.crop.scale=[0.9, 0.1]", "data.augment.crop.scale: scale [0.9, 0.1] should be a lower"),
        ("data.augment=[1]", "data.augment: found [1], should be an object"),
        ("export.formats=[pickle]", "export.formats.0: found \"pickle\", should be 'safetensors'"),
        ("export.licence=''", 'export.licence: found "", '),
    ],
)  # fmt: skip
def test_a_bad_value_gives_one_line_with_its_key_path(override: str, line: str) -> None:
    assert problem(override).startswith(line)


def test_the_line_names_the_file() -> None:
    with pytest.raises(RecipeError, match=r"recipes/gridnet-digits\.yaml: model\.block: "):
        load_recipe("gridnet-digits", ["model.block=5"])


def test_every_problem_gets_its_own_line() -> None:
    with pytest.raises(RecipeError) as info:
        load_recipe("gridnet-digits", ["model.block=0", "data.seed=x", "train.batch_size=0", "train.colour=1"])
    places = [line.split(": ")[1] for line in str(info.value).splitlines()]
    assert places == ["model.block", "data.seed", "train.batch_size", "train.colour"]


def test_cycled_momentum_needs_an_optimizer_with_momentum() -> None:
    line = problem("train.optimizer={name: adadelta}", "train.schedule={name: one_cycle, cycle_momentum: true}")
    assert line.startswith("train.schedule.cycle_momentum: ")


def test_a_recipe_cannot_be_changed_once_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("gridnet-digits").train.batch_size = 3  # type: ignore[misc]


def test_an_export_without_safetensors_is_refused() -> None:
    assert problem("export.formats=[]").startswith("export.formats: formats should include safetensors")
