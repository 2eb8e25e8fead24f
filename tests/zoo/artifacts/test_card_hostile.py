"""A card shows text of strangers as text, whatever an artifact's files hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from sdk import ArtifactError
from sdk.artifact import ArtifactConfig, read_config
from tests.support.paths import ROOT
from tests.zoo.artifacts.test_card import METRICS, RECIPE, SEEDS, artifact
from zoo.artifacts.card import NOTES_BEGIN, NOTES_END, card_text, read_notes
from zoo.cli import cli
from zoo.utils.errors import CardError

EVIL = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](http://evil.example)",
    "![](http://evil.example/pixel)",
    f"{NOTES_BEGIN}",
    f"{NOTES_END}",
    f"a{NOTES_BEGIN}b{NOTES_END}c",
    "```\n# title",
    "\x1b]0;owned\x07",
    "a\n---\nlicense: mit",
    "$\\frac{",
)


def _obeyed(card: str) -> bool:
    """Return True if a card holds a text in a form that Markdown, HTML or a terminal would obey."""
    body = card.split("\n---\n", 1)[1].split(NOTES_BEGIN)[0]
    for own in ("<details>\n<summary>The recipe</summary>\n", "\n</details>\n"):  # the template's, once each
        body = body.replace(own, "", 1)
    tokens = [token for one in MarkdownIt().enable("table").parse(body) for token in (one, *(one.children or []))]
    links = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in tokens]
    html = any(token.type.startswith("html") for token in tokens)
    titles = [token.content for token in tokens if token.type == "inline" and token.content == "title"]
    return html or bool(titles) or "\x1b" in card or any("javascript:" in link or "evil" in link for link in links)


@pytest.mark.parametrize("evil", EVIL)
def test_labels_and_licences_are_shown_as_text(tmp_path: Path, evil: str) -> None:
    folder = artifact(tmp_path, labels=[evil, "one", f"{evil}2"], licence=evil)
    card = (folder / "README.md").read_text()
    assert not _obeyed(card)
    assert (card.count(NOTES_BEGIN), card.count(NOTES_END)) == (1, 1)
    assert ModelCard.load(folder / "README.md").data.license == "other"
    (folder / "README.md").write_text(card.replace(f"{NOTES_BEGIN}\n", f"{NOTES_BEGIN}\nmine\n"))
    for _ in range(2):  # a card can be rendered again and again
        result = CliRunner().invoke(cli, ["card", str(folder)])
        assert result.exit_code == 0, result.output
        assert read_notes(folder / "README.md").strip() == "mine"


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("place", ["data", "date", "version", "machine", "start", "repo"])
def test_facts_about_the_training_are_shown_as_text(evil: str, place: str) -> None:
    folder = ROOT / "exports" / "gridnet-digits"
    made: dict[str, Any] = read_config(folder).provenance
    start = {"name": "x", "origin": "x", "weights_sha256": "0" * 64, "taken_parameters": 1, "new_parameters": 2}
    changes: dict[str, dict[str, Any]] = {
        "data": {"data": {"name": evil}},
        "date": {"date": evil},
        "version": {"versions": {"torch": evil}},
        "machine": {"platform": {"machine": evil}},
        "start": {"start_from": {**start, "name": evil, "weights_sha256": evil}},
        "repo": {"start_from": {**start, "repo": evil, "commit": evil}},
    }
    card = _render(folder, {"provenance": {**made, **changes[place]}})
    assert not _obeyed(card)
    assert card.count(NOTES_BEGIN) == 1


def test_the_check_of_this_module_sees_what_is_obeyed() -> None:
    for text in ("<script>", "[a](http://evil.example)", "![](http://evil.example/p)", "# title", "\x1b"):
        assert _obeyed(f"---\na: b\n---\n\n{text}\n")
    assert not _obeyed("---\na: b\n---\n\n`<script>` [a](b)\n")


def test_a_recipe_cannot_leave_its_block(tmp_path: Path) -> None:
    folder = artifact(tmp_path)
    (folder / "recipe.yaml").write_text(f"{RECIPE}\n# ```\n# <script>\n```\n# title\n{NOTES_BEGIN}\n")
    card = _render(folder, {})
    assert "````yaml\n" in card
    assert (folder / "recipe.yaml").read_text().count("```") == 2
    assert card.count(NOTES_BEGIN) == 1


@pytest.mark.parametrize("missing", ["steps", "seed", "wall_seconds", "date", "versions", "platform", "data"])
def test_a_fact_that_is_not_recorded_is_left_out(missing: str) -> None:
    folder = ROOT / "exports" / "gridnet-digits"
    made = json.loads((folder / "config.json").read_text())["provenance"]
    without = {key: value for key, value in made.items() if key != missing}
    for provenance in (without, {**made, missing: None}):
        assert "To repeat it, save this recipe" in _render(folder, {"provenance": provenance})


@pytest.mark.parametrize("missing", ["test_correct", "test_interval_95", "seeds", "test_accuracy_std", "test_accuracy"])
def test_a_result_that_is_not_recorded_has_no_row(missing: str) -> None:
    metrics = {key: value for key, value in {**METRICS, **SEEDS}.items() if key != missing}
    assert "## Results" in _render(ROOT / "exports" / "gridnet-digits", {"metrics": metrics})


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({"steps": "many"}, "provenance steps must be an integer, found 'many'"),
        ({"data": ["digits"]}, "provenance data must be an object"),
        ({"data": {"name": True}}, "provenance data name must be a string"),
        ({"date": 2026}, "provenance date must be a string"),
        ({"versions": {"torch": 2}}, "provenance versions 'torch' must be a string"),
        ({"start_from": {"taken_parameters": "1"}}, "provenance start_from taken_parameters must be an integer"),
        ({"data": {"appearance": {"border": "dark"}}}, "provenance data appearance border must be a number"),
    ],
)
def test_a_fact_of_the_wrong_type_is_refused(tmp_path: Path, provenance: dict[str, Any], message: str) -> None:
    folder = shutil.copytree(ROOT / "exports" / "nca-iris", tmp_path / "nca-iris")
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**tree, "provenance": {**tree["provenance"], **provenance}}))
    with pytest.raises(ArtifactError, match=message):
        read_config(folder)
    result = CliRunner().invoke(cli, ["info", str(folder)])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)


@pytest.mark.parametrize("content", [b"\xed\xa0\x80", b"\xff\xfe", b"a\0\x80"])
def test_a_card_that_is_no_text_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README.md").write_bytes(content)
    with pytest.raises(CardError, match=r"README\.md: cannot be read"):
        read_notes(tmp_path / "README.md")


def _render(folder: Path, changes: dict[str, Any]) -> str:
    """Return the card of an artifact whose config.json has changed."""
    tree = {**json.loads((folder / "config.json").read_text()), **changes}
    return card_text(folder, ArtifactConfig.from_json(tree))
