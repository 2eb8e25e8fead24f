from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import SMALL, problem_of_file
from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError


def test_overrides_set_values_by_key_path() -> None:
    recipe = load_recipe("gridnet-digits", ["train.optimizer.lr=3e-4", "model.outer_steps=3", "data.seed=7"])
    assert recipe.train.optimizer.lr == 3e-4
    assert recipe.model.outer_steps == 3  # type: ignore[attr-defined]
    assert recipe.data.seed == 7


def test_an_override_may_create_the_keys_of_its_path() -> None:
    recipe = load_recipe("gridnet-mnist", ["data.augment.crop.scale=[0.5, 1]"])
    assert recipe.data.augment.crop is not None
    assert recipe.data.augment.crop.scale == (0.5, 1.0)


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=3", ".=1"])
def test_an_override_without_key_or_value_is_refused(override: str) -> None:
    with pytest.raises(RecipeError, match=r"should be key\.path=value"):
        load_recipe("gridnet-digits", [override])


def test_an_override_whose_path_leads_through_a_value_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.batch_size holds 64, which has no keys"):
        load_recipe("gridnet-digits", ["train.batch_size.x=1"])


def test_an_override_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"override 'train.epochs=\[1':"):
        load_recipe("gridnet-digits", ["train.epochs=[1"])


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "+3e-4", "0.3e-3", "3.e-4", ".3e-3", "0.0003"])
def test_every_notation_of_a_float_is_read_as_a_float(text: str) -> None:
    assert load_recipe("gridnet-digits", [f"train.optimizer.lr={text}"]).train.optimizer.lr == pytest.approx(3e-4)


def test_a_duplicate_key_is_refused(tmp_path: Path) -> None:
    text = SMALL + "train: {epochs: 2}\n"
    assert problem_of_file(tmp_path, text) == "line 4, column 1: key 'train' is given twice"


def test_invalid_yaml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    assert problem_of_file(tmp_path, "model: {family: gridnet\ndata: 3").startswith("line 2, column ")


@pytest.mark.parametrize("text", ["", "- 1\n- 2", "just text"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert problem_of_file(tmp_path, text).startswith("should be a mapping with the sections")


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    text = SMALL + "export: !!python/object/apply:os.system ['true']\n"
    assert "line 4, column 9: tags are not allowed, found 'tag:yaml.org,2002:python" in problem_of_file(tmp_path, text)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "x.yaml")


def test_a_list_as_a_key_is_refused(tmp_path: Path) -> None:
    assert "a list or a mapping cannot be a key" in problem_of_file(tmp_path, SMALL + "? [a, b]\n: 1\n")


def test_a_number_with_a_leading_zero_is_refused_in_files_and_overrides(tmp_path: Path) -> None:
    meant = "found 010, which readers of YAML take for different values; write 10, or '010' for text"
    with pytest.raises(RecipeError, match=rf"override 'train.seed=010': line 1, column 1: {meant}"):
        load_recipe("gridnet-digits", ["train.seed=010"])
    assert problem_of_file(tmp_path, SMALL + "export: {licence: 010}\n") == f"line 4, column 19: {meant}"


def test_an_override_with_a_path_too_deep_is_refused() -> None:
    with pytest.raises(RecipeError, match="found 5001 keys in its path, allowed 32"):
        load_recipe("gridnet-digits", ["a." * 5000 + "b=1"])


def test_a_file_that_is_far_too_long_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    assert "at most 1048576 are allowed" in problem_of_file(tmp_path, SMALL + "# " + "x" * 2**22)


def test_a_file_of_aliases_that_stand_for_gigabytes_is_refused(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    assert problem_of_file(tmp_path, bomb).startswith("line 1, column 5: anchors (&name) and aliases (*name) are not")
