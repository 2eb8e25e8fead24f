"""Every command of the documentation exists, takes the options that a page gives it, and hides none of them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.support.paths import DOCS, ROOT
from zoo.cli import cli

PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "csrc/README.md"))])
_CODE = re.compile(r"`(zoo [^`]+)`|^(?:\$ )?(zoo .+)$", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def _commands(page: Path) -> list[str]:
    """Commands in code spans and at the start of a line, without comments; alternatives (``a|b``) are left out."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    found = [" ".join((span or line).split("  #")[0].split()) for span, line in _CODE.findall(text)]
    return [command for command in found if "|" not in command]


def _faults(command: str) -> list[str]:
    """The words of a command that are no command, and its options that are unknown or hidden."""
    found: click.Command = cli
    known = {option for param in cli.params for option in param.opts}
    for word in command.split()[1:]:
        if word.startswith("-"):
            continue
        if not isinstance(found, click.Group):
            break
        step = found.get_command(click.Context(found), word)
        if step is None:
            return [word]
        found = step
        known |= {
            option
            for param in found.params
            if isinstance(param, click.Option) and not param.hidden
            for option in (*param.opts, *param.secondary_opts)
        }
    return [option for option in _OPTION.findall(command) if option not in {*known, "--help"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    faults = {command: found for command in _commands(page) if (found := _faults(command))}
    assert not {command: found for command, found in faults.items() if found not in (["COMMAND"], ["..."])}


def test_the_pages_name_many_commands_and_the_check_sees_what_is_wrong() -> None:
    assert sum(len(_commands(page)) for page in PAGES) > 150
    assert _faults("zoo train NAME --seeds 3 -o train.epochs=5") == []
    assert _faults("zoo train NAME --tensorboard --sedes 3") == ["--tensorboard", "--sedes"]
    assert _faults("zoo trian NAME") == ["trian"]
