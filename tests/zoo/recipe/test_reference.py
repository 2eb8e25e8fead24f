"""The reference of keys: complete, in step with the schema, and naming keys as errors do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import DOCS, ROOT
from zoo.config.base import Section
from zoo.families.registry import family_names, get_family
from zoo.recipe import load_recipe, recipe_names
from zoo.recipe.recipe import Recipe
from zoo.recipe.reference import Key, keys_of, markdown, notes_of, topics, write
from zoo.utils.errors import RecipeError

PAGE = DOCS / "guides" / "recipe-keys.md"
KEYS = {key.path: key for topic in topics() for keys in keys_of(topic).values() for key in keys}


def sections(kind: type[Section] = Section) -> list[type[Section]]:
    for name in family_names():
        get_family(name)
    return [found for child in kind.__subclasses__() for found in (child, *sections(child))]


def flatten(tree: Any, place: str = "") -> list[str]:
    """Return the paths of all keys in a resolved recipe; N stands for the number of a list's entry."""
    if isinstance(tree, list):
        return [path for entry in tree if isinstance(entry, dict) for path in flatten(entry, f"{place}.N")]
    if not isinstance(tree, dict):
        return []
    paths = {key: f"{place}.{key}" if place else key for key in tree}
    return [found for key, path in paths.items() for found in (path, *flatten(tree[key], path))]


def key(topic: str, path: str) -> Key:
    return next(key for keys in keys_of(topic).values() for key in keys if key.path == path)


def test_the_page_is_generated_from_the_schema(tmp_path: Path) -> None:
    copy = tmp_path / "keys.md"
    copy.write_text(PAGE.read_text())
    assert not write(copy), "run python -m zoo.recipe.reference"


def test_a_page_that_disagrees_with_the_schema_is_written_again(tmp_path: Path) -> None:
    copy = tmp_path / "keys.md"
    copy.write_text(
        PAGE.read_text().replace("`train.batch_size` | integer > 0 | `32`", "`train.batch_size` | any | `1`")
    )
    assert write(copy)
    assert copy.read_text() == PAGE.read_text()


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    copy = tmp_path / "keys.md"
    copy.write_text("# Mine\n\n<!-- keys: begin -->\n<!-- keys: end -->\n\nThe end.\n")
    command = [sys.executable, "-m", "zoo.recipe.reference", str(copy)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == f"{copy}: written\n"
    assert markdown() in copy.read_text()
    assert copy.read_text().endswith("The end.\n")


@pytest.mark.parametrize("section", [s for s in sections() if s is not Recipe and s.__module__.startswith("zoo.")])
def test_every_key_has_a_description(section: type[Section]) -> None:
    assert not [name for name, field in section.model_fields.items() if not field.description]


@pytest.mark.parametrize("name", recipe_names())
def test_every_key_of_a_resolved_recipe_is_in_the_reference(name: str) -> None:
    sections = {"model", "data", "train", "export"}
    assert set(flatten(load_recipe(name).to_dict())) - sections <= KEYS.keys()


def test_required_keys_are_marked() -> None:
    every = [key for topic in topics() for keys in keys_of(topic).values() for key in keys]
    required = {key.path for key in every if key.default == "required"}
    assert required == {
        "data.name", "data.path", "model.family", "model.grid", "model.cells", "model.topology.name",
        "model.topology.size",
        "model.topology.edges", "model.convolutions.N.channels", "model.phases.N.name", "model.phases.N.until",
        "model.phases.N.structures", "model.phases.N.snapshots", "model.sparsity.method", "model.sparsity.density",
            "model.sparsity.stop", "train.optimizer.name", "train.optimizer.lr",
        "train.schedule.name", "train.schedule.ends",
    }  # fmt: skip
    assert "| `model.grid` | list of 3: integer > 0 | **required** |" in PAGE.read_text()


@pytest.mark.parametrize(
    ("topic", "path", "allowed", "default"),
    [
        ("image_folder", "data.resize", "integer in [1, 8192]", "image_size * 256 / 224"),
        ("image_folder", "data.test", "count ≥ 0, or fraction in [0, 1) or null", "null"),
        ("mnist", "data.validation", "count ≥ 0, or fraction in [0, 1)", "5000"),
        ("train", "train.epochs", "integer > 0 or null", "10, without steps"),
        ("train", "train.ema", "number in (0, 1) or null", "null"),
        ("train", "train.optimizer", "section with name: sgd, adam, adamw, adadelta", "name: adamw"),
        ("optimizer", "train.optimizer.betas", "list of 2: number in [0, 1)", "[0.9, 0.999]"),
        ("augment", "data.augment.crop.ratio", "list of 2: number > 0", "[0.75, 1.333]"),
        ("cellnet", "model.core", "integer > 0 or list of: integer > 0", "128"),
        ("snapshots", "model.hidden", "list of 1 to 8: integer in [1, 8192]", "[256, 128]"),
        ("mlp", "model.hidden", "list of 0 to 64: integer in [1, 8192]", "[256, 128]"),
        ("snapshots", "model.trigger.every", "epoch or integer > 0", "epoch"),
        ("gridnet", "model.gated", "true, false", "false"),
        ("export", "export.formats", "list of: safetensors, onnx", "[safetensors, onnx]"),
    ],
)
def test_a_key_says_what_is_allowed_and_its_default(topic: str, path: str, allowed: str, default: str) -> None:
    found = key(topic, path)
    assert (found.allowed, found.default) == (allowed, default)


def test_defaults_of_a_family_are_explained() -> None:
    assert notes_of("snapshots").startswith("In `train:`, this family's own defaults are `epochs: 150`: the last of")
    assert notes_of("gridnet") == notes_of("train") == ""
    assert notes_of("nca") in " ".join(PAGE.read_text().split())


def test_an_unknown_topic_is_refused_with_the_closest() -> None:
    with pytest.raises(
        RecipeError, match=r"keys of 'optimiser': unknown \(did you mean optimizer\?\); allowed: data, "
    ):
        keys_of("optimiser")


def test_keys_that_messages_name_exist() -> None:
    """A message that names a key with its section must name one of the reference."""
    pattern = re.compile(
        r"(?<![\w.-])(?:data|train|export)\.[a-z_]+(?:\.[a-z_]+)*|model\.(?!onnx|safetensors)[a-z_.]*[a-z_]"
    )
    unknown = []
    for path in (ROOT / "zoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error"):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                named = [name for text in texts if isinstance(text, str) for name in pattern.findall(text)]
                unknown += [f"{path.name}: {name}" for name in named if name not in KEYS]
    assert not unknown
