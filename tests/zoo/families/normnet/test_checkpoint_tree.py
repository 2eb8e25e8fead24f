"""The tree of checkpoints: saving, searching and storing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.families.normnet.checkpoint_tree import FILE, CheckpointTree, TreeError


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), value)}


def grown(errors: list[float], **options: int) -> CheckpointTree:
    """Return a tree that observed these errors; the weights hold the number of the observation."""
    tree = CheckpointTree(**options)
    for number, error in enumerate(errors, start=1):
        tree.observe(error, state(number))
    return tree


def branched() -> CheckpointTree:
    tree = grown([0.5, 0.4, 0.3])
    tree.restore(1)
    tree.observe(0.2, state(4))
    return tree


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_a_full_window_that_beats_the_best_so_far_is_saved(errors: list[float], window: int) -> None:
    tree = grown(errors, window=window)
    means = [sum(errors[i : i + window]) / window for i in range(0, len(errors) - window + 1, window)]
    expected = [m for i, m in enumerate(means) if all(m < earlier for earlier in means[:i])]
    assert [c.error for c in tree.checkpoints.values()] == expected


def test_a_checkpoint_is_a_copy_of_the_weights() -> None:
    tree = CheckpointTree()
    weights = state(1)
    tree.observe(0.5, weights)
    weights["weight"].zero_()
    assert torch.equal(tree.restore(1)["weight"], state(1)["weight"])
    tree.restore(1)["weight"].zero_()
    assert torch.equal(tree.restore(1)["weight"], state(1)["weight"])


def test_a_restored_checkpoint_is_the_parent_of_the_next() -> None:
    assert [c.parent for c in branched().checkpoints.values()] == [None, 1, 2, 1]


def test_a_restored_error_is_the_one_to_beat_so_that_branches_grow() -> None:
    tree = grown([0.5, 0.4, 0.1])
    tree.restore(1)
    assert tree.observe(0.5, state(4)) is None
    for number, error in enumerate([0.45, 0.3, 0.35], start=5):
        tree.observe(error, state(number))
    records = [(c.number, c.parent, c.error) for c in tree.checkpoints.values()]
    assert records == [(1, None, 0.5), (2, 1, 0.4), (3, 2, 0.1), (4, 1, 0.45), (5, 4, 0.3)]
    assert tree.best is not None
    assert tree.best.number == 3
    assert [c.number for c in tree.held] == [3, 5, 2, 4, 1]


def test_a_full_tree_gives_up_the_worst_but_neither_the_best_nor_the_newest() -> None:
    tree = grown([0.5, 0.4, 0.1], keep=3)
    tree.restore(1)
    tree.observe(0.49, state(4))
    assert [c.number for c in tree.held] == [3, 2, 4]
    tree.observe(0.48, state(5))
    assert [c.number for c in tree.held] == [3, 2, 5]


def test_a_tree_with_branches_is_stored_and_loaded_whole(tmp_path: Path) -> None:
    tree = grown([0.5, 0.4, 0.1], keep=3)
    tree.restore(1)
    tree.observe(0.49, state(4))
    tree.save(tmp_path / "tree")
    loaded = CheckpointTree.load(tmp_path / "tree")
    assert loaded.held == tree.held
    assert loaded.observe(0.495, state(5)) is None
    assert loaded.observe(0.48, state(5)) is not None


def test_a_restore_begins_a_new_window() -> None:
    tree = grown([0.5, 0.5, 0.9], window=2)
    tree.restore(1)
    assert tree.observe(0.1, state(4)) is None
    assert tree.observe(0.3, state(5)) is not None


def test_windows_without_improvement_are_counted_until_a_save_or_a_restore() -> None:
    tree = grown([0.5, 0.6, 0.5])
    assert tree.stale == 2
    tree.observe(0.4, state(4))
    assert tree.stale == 0
    tree.observe(0.5, state(5))
    tree.restore(1)
    assert tree.stale == 0


def test_the_tree_holds_the_weights_of_the_best_and_the_records_of_all() -> None:
    tree = grown([0.5, 0.4, 0.3], keep=2)
    assert [c.number for c in tree.held] == [3, 2]
    assert list(tree.checkpoints) == [1, 2, 3]
    with pytest.raises(TreeError, match="does not hold the weights of checkpoint 1; it holds those of 3, 2"):
        tree.restore(1)


@pytest.mark.parametrize(("pressure", "shares"), [(1, [1, 0, 0]), (0, [1 / 3] * 3), (0.5, [4 / 7, 2 / 7, 1 / 7])])
def test_the_pressure_sets_the_probabilities_of_the_search(pressure: float, shares: list[float]) -> None:
    tree = grown([0.5, 0.4, 0.3])
    generator = torch.Generator().manual_seed(0)
    picked = [tree.search(pressure, generator).number for _ in range(1000)]
    assert [picked.count(number) / 1000 for number in (3, 2, 1)] == pytest.approx(shares, abs=0.05)


@pytest.mark.parametrize("pressure", [-0.1, 1.5, float("nan")])
def test_a_pressure_out_of_range_is_refused(pressure: float) -> None:
    with pytest.raises(ValueError, match=r"pressure: found .*, expected a number in \[0, 1\]"):
        branched().search(pressure)


def test_an_empty_tree_cannot_be_searched() -> None:
    with pytest.raises(TreeError, match="holds no checkpoint yet"):
        CheckpointTree().search(0.5)


def test_an_error_that_is_not_finite_is_refused_and_changes_nothing() -> None:
    tree = branched()
    before = tree.state_dict()["tree"]
    with pytest.raises(ValueError, match="error: found nan, expected a finite number"):
        tree.observe(float("nan"), state(5))
    assert tree.state_dict()["tree"] == before


@pytest.mark.parametrize("options", [{"window": 0}, {"keep": 0}, {"window": 1.5}, {"keep": True}])
def test_sizes_are_positive_integers(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected a positive integer"):
        CheckpointTree(**options)


def test_a_tree_is_stored_as_safetensors_and_json(tmp_path: Path) -> None:
    tree = branched()
    tree.observe(0.9, state(5))
    tree.save(tmp_path / "tree")
    names = sorted(path.name for path in (tmp_path / "tree").iterdir())
    assert names == ["1.safetensors", "2.safetensors", "3.safetensors", "4.safetensors", FILE]
    loaded = CheckpointTree.load(tmp_path / "tree")
    assert loaded.state_dict()["tree"] == tree.state_dict()["tree"]
    for number in tree.checkpoints:
        assert torch.equal(loaded.restore(number)["weight"], tree.restore(number)["weight"])


def test_saving_again_replaces_the_older_tree(tmp_path: Path) -> None:
    branched().save(tmp_path)
    grown([0.5]).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.safetensors", FILE]


def test_foreign_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TreeError, match=r"holds files that do not belong to a tree: thesis\.txt"):
        branched().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_without_a_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"no checkpoint tree in .*tree\.json is missing"):
        CheckpointTree.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 9, "format 9, this version reads format 1"),
        ("current", 7, "current is 7, which is not a checkpoint"),
        ("keep", 2, r"found weights of checkpoints \[1, 2, 3, 4\], expected 2 of those up to 4"),
        ("window", 0, "window: found 0, expected a positive integer"),
        ("checkpoints", None, "checkpoints must be a list"),
        ("checkpoints", [{"number": 1, "parent": 1, "error": 0.5, "observation": 1}], "number 1 and parent 1"),
        ("colour", "red", "unknown 'colour'"),
    ],
)
def test_a_damaged_tree_is_reported_in_one_line(tmp_path: Path, key: str, value: object, message: str) -> None:
    branched().save(tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**data, key: value}))
    with pytest.raises(TreeError, match=message) as caught:
        CheckpointTree.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_reported(tmp_path: Path) -> None:
    branched().save(tmp_path)
    (tmp_path / "2.safetensors").write_bytes(b"rubbish")
    with pytest.raises(TreeError, match="cannot be read"):
        CheckpointTree.load(tmp_path)


def test_the_state_dict_holds_the_whole_tree() -> None:
    tree = branched()
    other = CheckpointTree(window=3)
    other.load_state_dict(tree.state_dict())
    assert other.state_dict()["tree"] == tree.state_dict()["tree"]
    assert torch.equal(other.restore(2)["weight"], tree.restore(2)["weight"])


def test_any_other_state_is_refused() -> None:
    with pytest.raises(TreeError, match="not the state of a checkpoint tree"):
        CheckpointTree().load_state_dict({"weights": {}})
