"""The folder or Hub model that a name means. No test here contacts the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdk import LoadError, ShadowedModelWarning, catalog
from sdk.hub.reference import HubReference
from sdk.resolve import find_model, resolve_model, shortest_spelling
from tests.support.artifacts import write_tiny


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, no bundled models, no default namespace."""
    (tmp_path / "here" / "exports").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(catalog, "exports_folder", lambda: tmp_path / "here" / "exports")
    monkeypatch.delenv("ZOO_HUB_NAMESPACE", raising=False)


@pytest.mark.parametrize(
    ("text", "revision", "expected"),
    [
        ("alice/tiny", None, HubReference("alice/tiny", "main")),
        ("alice/tiny@v1.0", None, HubReference("alice/tiny", "v1.0")),
        ("alice/tiny@refs/pr/1", None, HubReference("alice/tiny", "refs/pr/1")),
        ("alice/tiny", "v1.0", HubReference("alice/tiny", "v1.0")),
        ("Alice_B/Ti.ny-2", None, HubReference("Alice_B/Ti.ny-2", "main")),
    ],
)
def test_user_slash_name_means_a_model_on_the_hub(text: str, revision: str | None, expected: HubReference) -> None:
    assert resolve_model(text, revision) == expected


def test_a_plain_name_means_a_bundled_model_before_one_on_the_hub(
    make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LoadError, match="no model named 'tiny'"):
        resolve_model("tiny")
    monkeypatch.setenv("ZOO_HUB_NAMESPACE", "alice")
    assert resolve_model("tiny") == HubReference("alice/tiny", "main")
    assert resolve_model("tiny@v1") == HubReference("alice/tiny", "v1")
    bundled = make_artifact("tiny", Path("exports").absolute())
    assert resolve_model("tiny") == bundled
    assert resolve_model("tiny", "v1") == HubReference("alice/tiny", "v1")  # only the Hub has revisions


def test_a_folder_here_means_more_than_the_default_namespace(
    make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact("tiny", Path.cwd())
    monkeypatch.setenv("ZOO_HUB_NAMESPACE", "alice")
    assert resolve_model("tiny") == resolve_model("./tiny") == Path("tiny")
    assert resolve_model("alice/tiny@main") == HubReference("alice/tiny", "main")


def test_a_plain_name_means_a_folder_here_then_an_own_then_a_bundled_model(
    make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    bundled = make_artifact("tiny", Path("exports").absolute())
    assert resolve_model("tiny") == bundled
    own = make_artifact("tiny", own_models_folder)
    with pytest.warns(ShadowedModelWarning, match=rf"'tiny' means the model in {own}; write 'bundled:tiny' for"):
        assert resolve_model("tiny") == own
    make_artifact("tiny", Path.cwd())
    with pytest.warns(ShadowedModelWarning, match=rf"/here/tiny; write '{own}' or 'bundled:tiny' for the other one"):
        assert resolve_model("tiny") == Path("tiny")
    assert resolve_model("bundled:tiny") == bundled
    assert resolve_model(str(own)) == own


@pytest.mark.filterwarnings("error")
def test_one_folder_under_two_names_is_no_ambiguity(
    make_artifact: Callable[..., Path], own_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_artifact("tiny", own_models_folder)
    (Path("exports") / "tiny").symlink_to(own)
    monkeypatch.chdir(own_models_folder)
    assert resolve_model("tiny") == Path("tiny")


def test_an_own_folder_without_a_model_hides_nothing(
    make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    (own_models_folder / "tiny").mkdir(parents=True)
    bundled = make_artifact("tiny", Path("exports").absolute())
    assert resolve_model("tiny") == bundled


def test_a_file_in_the_place_of_the_own_models_hides_nothing(
    make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    own_models_folder.parent.mkdir(exist_ok=True)
    own_models_folder.touch()
    bundled = make_artifact("tiny", Path("exports").absolute())
    assert resolve_model("tiny") == bundled


def test_an_unknown_bundled_model_is_refused_with_the_closest_name(make_artifact: Callable[..., Path]) -> None:
    make_artifact("tiny", Path("exports").absolute())
    with pytest.raises(LoadError, match=r"no bundled model named 'tinny' \(did you mean tiny\?\); `zoo list` shows"):
        resolve_model("bundled:tinny")


def test_a_name_longer_than_the_file_system_allows_is_unknown() -> None:
    with pytest.raises(LoadError, match="no model named"):
        resolve_model("n" * 300)


def test_a_folder_that_holds_a_model_means_that_model_even_if_it_looks_like_user_slash_name(
    make_artifact: Callable[..., Path],
) -> None:
    make_artifact("tiny", Path("alice").absolute())
    assert resolve_model("alice/tiny") == Path("alice/tiny")
    assert resolve_model("./alice/tiny") == Path("alice/tiny")
    assert resolve_model("alice/tiny/") == Path("alice/tiny")
    assert resolve_model(Path("alice/tiny")) == Path("alice/tiny")
    assert resolve_model("alice/tiny@main") == resolve_model("alice/tiny", "main") == HubReference("alice/tiny", "main")


def test_the_shortest_spelling_of_a_folder_is_its_name_where_that_means_the_folder(
    make_artifact: Callable[..., Path], own_models_folder: Path
) -> None:
    own = make_artifact("tiny", own_models_folder)
    assert shortest_spelling(own) == "tiny"
    elsewhere = make_artifact("tiny", Path("out").absolute())
    assert shortest_spelling(elsewhere) == str(elsewhere)
    make_artifact("tiny", Path.cwd())
    assert shortest_spelling(own) == str(own)


def test_the_path_of_a_bundled_model_means_that_model(make_artifact: Callable[..., Path]) -> None:
    make_artifact("tiny", Path("exports").absolute())
    assert resolve_model("exports/tiny") == Path("exports/tiny")


def test_a_folder_without_a_model_does_not_hide_the_hub() -> None:
    Path("alice/tiny").mkdir(parents=True)
    assert resolve_model("alice/tiny") == HubReference("alice/tiny", "main")


@pytest.mark.parametrize(
    ("text", "revision", "message"),
    [
        ("alice/tiny@v1", "v2", "names a revision already; leave out revision='v2'"),
        ("alice/tiny", 3, "revision must name a branch, a tag or a commit, found 3"),
        ("alice/tiny", "", "revision must name a branch, a tag or a commit, found ''"),
        ("tiny", "v1", "'tiny' names none; write 'user/name', or set ZOO_HUB_NAMESPACE for plain names"),
        ("./alice/tiny", "v1", "names none"),
        (Path("alice/tiny"), "v1", "names none"),
        ("alice/tiny@", None, "no such folder"),
        ("a/b/c", None, "no such folder; a model on the Hub is 'user/name' or 'user/name@revision'"),
    ],
)
def test_a_reference_that_cannot_be_on_the_hub_is_refused(text: Any, revision: Any, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        resolve_model(text, revision)


def test_an_invalid_default_namespace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HUB_NAMESPACE", "alice/models")
    with pytest.raises(LoadError, match="ZOO_HUB_NAMESPACE must be a user or an organization on the Hub, found 'alice"):
        resolve_model("tiny")


def test_the_error_for_a_folder_without_a_model_says_so() -> None:
    Path("runs/tiny").mkdir(parents=True)
    with pytest.raises(LoadError, match=r"no model named 'runs' \(the folder runs here has no config.json\)"):
        resolve_model("runs")
    with pytest.raises(LoadError, match=r"'runs/tiny' is a folder without config.json; "):
        find_model("runs/tiny")


def test_a_hub_model_where_a_folder_is_needed_is_refused_with_the_command_to_pull_it() -> None:
    with pytest.raises(
        LoadError, match=r"'alice/tiny' is not a folder here.*`zoo pull alice/tiny@main --out FOLDER` first"
    ):
        find_model("alice/tiny")


def test_a_folder_that_does_not_exist_below_one_that_does_is_not_taken_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "exports" / "shapes")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LoadError, match=r"no such folder \(did you mean shapes\?\); write 'exports/shape@main' for the Hub"
    ):
        resolve_model("exports/shape")
    assert str(resolve_model("exports/shape@main")) == "exports/shape@main"


def test_a_name_that_is_too_long_for_a_file_is_no_folder() -> None:
    name, path = "x" * 300, "/".join(["y" * 200] * 30)
    assert resolve_model(f"{name}/{name}") == HubReference(f"{name}/{name}", "main")
    for text in (name, f"./{name}", path):
        with pytest.raises(LoadError, match="no model"):
            resolve_model(text)
