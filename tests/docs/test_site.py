"""The documentation as a site: a strict build, its pages, and the addresses that name it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import sdk
from docs.site_hooks import on_page_markdown
from tests.support.paths import DOCS, ROOT

SEEDS = ("gridnet", "CellNet", "Meta-NCA", "Multi-scale snapshots", "NormNet")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "DISABLE_MKDOCS_2_WARNING": "true", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_part_of_the_site(site: Path) -> None:
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    built = [path.with_suffix("") / "index.html" if path.stem != "README" else Path("index.html") for path in pages]
    assert not [str(page) for page in built if not (site / page).is_file()]


def test_the_reference_describes_the_public_api(site: Path) -> None:
    page = (site / "api" / "sdk" / "index.html").read_text()
    for name in ("sdk.load", "sdk.Model.predict", "sdk.Model.trace", "sdk.families.gridnet.GridnetModel.trace"):
        assert f'id="{name}"' in page
    page = (site / "api" / "zoo" / "index.html").read_text()
    for name in ("GridnetLayer", "NormLinear", "CellBlock", "SparseLinear", "GrowingNetwork", "GrownClassifier"):
        assert f'.{name}"' in page


def test_the_search_finds_text_of_pages_and_of_docstrings(site: Path) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    text = " ".join(entry["text"] for entry in entries)
    assert "stale" in text
    assert "the states of a network step by step" in text


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\" >]+)")
    for page in ("index.html", "families/gridnet/index.html", "api/sdk/index.html"):
        found = [address for address in loaded.findall((site / page).read_text()) if "cellzoo" not in address]
        assert not found


def test_links_that_leave_the_documentation_lead_to_the_repository() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="guides/web.md"))
    config = SimpleNamespace(repo_url="https://example.org/zoo/")
    text = "[a](../../zoo/layers.py) [b](../README.md#x) [c](../../tests) [d](gone.md)\n```\n[e](../../zoo)\n```\n"
    found = on_page_markdown(text, page, config)
    assert found == (
        "[a](https://example.org/zoo/blob/main/zoo/layers.py) [b](../README.md#x) "
        "[c](https://example.org/zoo/tree/main/tests) [d](gone.md)\n```\n[e](../../zoo)\n```\n"
    )


def test_the_project_has_one_home_and_one_version() -> None:
    urls = dict(re.findall(r'^(\w+) = "(https://.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    config = (ROOT / "mkdocs.yml").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f"repo_url: {urls['Homepage']}\n" in config
    assert f"site_url: {urls['Documentation']}\n" in config
    assert (citation["repository-code"], citation["url"]) == (urls["Homepage"], urls["Documentation"])
    assert citation["version"] == sdk.__version__


@pytest.mark.parametrize("seed", SEEDS)
def test_each_original_has_a_table_of_promises_with_evidence(seed: str) -> None:
    """Each row names a call, a page or a result; a promise that is not kept says so."""
    text = (DOCS / "promises.md").read_text()
    section = re.split(r"^## ", text.partition(f"\n## {seed}\n")[2], flags=re.MULTILINE)[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in section.splitlines() if row[:1] == "|"][2:]
    assert len(rows) >= 9
    assert all(len(row) == 4 for row in rows)
    assert not [row[0] for row in rows if not any(row[1:3]) and not row[3].startswith("no")]
