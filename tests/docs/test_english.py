"""Docstrings open with a verb or a noun, pages have short lines, modules are short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.paths import DOCS, ROOT

LINE = 120
MODULE = 300
PAGES = sorted(
    [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "csrc/README.md"))]
)
SOURCES = sorted(path for top in ("zoo", "sdk", "tests", "docs", "examples") for path in (ROOT / top).rglob("*.py"))
_QUESTION = re.compile(r"(What|How|Which|Whether|Where|Who)\b")
# Code, tables, the targets of links, and what `zoo bench --write-docs` writes.
_UNWRAPPED = re.compile(r"^ *```.*?^ *```$|<!-- begin: bench.*?<!-- end: bench|^ *\|.*?$|(?<=\])\(.*?\)", re.M | re.S)


def _docstrings(path: Path) -> list[tuple[int, str]]:
    """Line and text of each docstring, those of attributes included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                text = statement.value.value
                if isinstance(text, str):
                    found.append((statement.lineno, text.strip()))
    return found


def test_no_docstring_opens_with_a_question_word() -> None:
    opened = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in _docstrings(path)
        if _QUESTION.match(text)
    ]
    assert not opened


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_short_lines_except_in_tables_links_and_code(page: Path) -> None:
    prose = _UNWRAPPED.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    assert not [f"{number}: {line}" for number, line in enumerate(prose.splitlines(), 1) if len(line) > LINE]


def test_modules_have_fewer_than_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): path.read_text().count("\n")
        for top in ("zoo", "sdk")
        for path in (ROOT / top).rglob("*.py")
    }
    assert not {path: length for path, length in lengths.items() if length >= MODULE}
