"""Every file and link that the documentation names exists, and the architecture page covers every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import DOCS, ROOT

PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "csrc/README.md"))])
ARCHITECTURE = DOCS / "architecture.md"
TOP_FOLDERS = ("csrc", "docs", "examples", "exports", "recipes", "sdk", "tests", "zoo")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`]+)`")
_PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(TOP_FOLDERS)})/[\w./*-]*")
_PLACEHOLDER = re.compile(r"NAME|PACKAGE|MODULE")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SOURCE_SUFFIXES = {".py", ".yaml", ".md", ".ipynb", ".h", ".cpp", ".cu", ".cuh", ".j2"}
_DOCS_PAGE = re.compile(r"\bdocs/[\w/.-]+\.(?:md|ipynb|py|png|gif)\b")


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def _relative_links(page: Path) -> list[str]:
    links = [first or second for first, second in _LINK.findall(_FENCE.sub("", page.read_text()))]
    return [link for link in links if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in _relative_links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_backticks_exist(page: Path) -> None:
    """Names in capitals, as in `exports/NAME/`, stand for any name. Commands in backticks name paths, too."""
    spans = _CODE.findall(_FENCE.sub("", page.read_text()))
    named = [path for span in spans for path in _PATH.findall(span) if not _PLACEHOLDER.search(path)]
    assert not [path for path in named if not any(ROOT.glob(path))]


def test_pages_that_code_and_recipes_name_exist() -> None:
    """Sealed artifacts name pages of the version that wrote them, so exports are left out."""
    sources = [ROOT / "pyproject.toml", ROOT / "CMakeLists.txt"]
    for top in ("csrc", "docs", "examples", "recipes", "sdk", "tests", "zoo"):
        sources += [path for path in (ROOT / top).rglob("*") if path.suffix in _SOURCE_SUFFIXES]
    named = {(page, str(path.relative_to(ROOT))) for path in sources for page in _DOCS_PAGE.findall(path.read_text())}
    assert not sorted((page, source) for page, source in named if not (ROOT / page).is_file())


def _package_rows() -> dict[str, list[str]]:
    """The folders of the architecture page's package table, each with the modules that its row names."""
    rows = re.findall(r"^\| `((?:zoo|sdk)/[\w/]*)` \|[^|]*\|([^|]*)\|$", ARCHITECTURE.read_text(), re.MULTILINE)
    return {folder: re.findall(r"`([\w./]+)`", modules) for folder, modules in rows}


def test_every_package_has_a_row_in_the_architecture_page() -> None:
    packages = {path.parent for top in ("zoo", "sdk") for path in (ROOT / top).rglob("*.py")}
    assert {f"{package.relative_to(ROOT)}/" for package in packages} == set(_package_rows())


def test_the_modules_that_a_package_row_names_exist() -> None:
    named = [(folder, module) for folder, modules in _package_rows().items() for module in modules]
    assert not [(folder, module) for folder, module in named if not (ROOT / folder / f"{module}.py").is_file()]


def test_the_rooms_of_a_family_are_marked_where_the_file_exists() -> None:
    table = re.search(r"^\| file \| role \|.*?\n\n", ARCHITECTURE.read_text(), re.MULTILINE | re.DOTALL)
    assert table is not None
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].strip().splitlines()]
    marked = {(row[0], family): mark == "●" for row in rows for family, mark in zip(header[2:], row[2:], strict=True)}
    found = {(file, family): (ROOT / "zoo/families" / family / file.strip("`")).is_file() for file, family in marked}
    assert marked == found
