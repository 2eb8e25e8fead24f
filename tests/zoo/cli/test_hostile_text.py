"""No command prints a character that a terminal obeys, whatever labels, licences, names and files hold."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.zoo.artifacts.test_card import artifact
from zoo.cli import cli
from zoo.cli.console import print_table, showing_progress

EVIL = "a\x1b]0;owned\x07\x9b31m\u202eb[/red][bold"
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(char) in _OBEYED and char != "\n" for char in text)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return artifact(folder, data=EVIL, labels=[EVIL, "one", "two"], licence=EVIL)


@pytest.mark.parametrize(
    "command",
    [
        ("info",),
        ("info", "--json"),
        ("card",),
        ("predict",),
        ("predict", "--json"),
        ("predict", "--top", "3"),
        ("eval",),
    ],
)
def test_a_model_of_a_stranger_is_shown_harmlessly(model: Path, command: tuple[str, ...], tmp_path: Path) -> None:
    picture = tmp_path / f"{EVIL.replace('/', '')}.png"
    Image.new("L", (8, 8)).save(picture)
    inputs = (picture,) if command[0] == "predict" else ()
    result = run(command[0], model, *inputs, *command[1:])
    assert result.exit_code in (0, 1)  # zoo eval has no data of that name
    assert "bug" not in result.output
    assert is_harmless(result.output)


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", EVIL),
        ("train", EVIL),
        ("predict", "nca-iris", f"{EVIL}.csv"),
        ("predict", EVIL, "x.png"),
        ("eval", EVIL),
        ("card", EVIL),
        ("export", EVIL),
        ("pull", EVIL),
        ("pull", f"user/{EVIL}"),
        ("recipe", EVIL),
        ("list", "--family", EVIL),
        (EVIL,),
        ("list", f"--{EVIL}"),
        ("train", "nca-iris", "-o", f"{EVIL}=1"),
        ("train", "nca-iris", "-o", f"model.{EVIL}=1"),
        ("train", "nca-iris", "--out", f"{EVIL}/../x", "-o", "train.epochs=0"),
    ],
)
def test_errors_show_names_harmlessly(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert is_harmless(result.output)


def test_own_models_with_hostile_folders_are_listed_harmlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / EVIL.replace("/", "")).mkdir()
    (tmp_path / EVIL.replace("/", "") / "config.json").write_text("{")
    monkeypatch.setenv("ZOO_MODELS", str(tmp_path))
    result = run("list")
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output)


def test_tables_take_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": EVIL, "labels": [EVIL]}])
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert "[bold" in shown


def test_progress_takes_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # shown as on a terminal
    with showing_progress(EVIL, quiet=False) as progress:
        progress(EVIL, 1, 2)
    shown = capsys.readouterr().err
    assert "[bold" in shown
    assert not any(part in shown for part in ("\x1b]0", "\x07", "\x9b", "\u202e"))
