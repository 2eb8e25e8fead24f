"""Fixtures: a site with every shipped model, served below a sub-path, and pages of it in Chromium.

They skip where Chromium, playwright or onnxruntime-web are missing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdk.catalog import bundled_models
from tests.support.browser import CHROMIUM, WEBGPU, SitePage
from zoo.web.runtime import FILES, RuntimeFilesError, find_runtime
from zoo.web.serve import address, site_server
from zoo.web.site import build_site


@pytest.fixture
def fake_runtime(tmp_path: Path) -> Path:
    """A folder with the names of onnxruntime-web's files."""
    folder = tmp_path / "fake-runtime"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(b"not really")
    return folder


@pytest.fixture(scope="package")
def runtime() -> Path:
    """The folder of onnxruntime-web."""
    try:
        return find_runtime()
    except RuntimeFilesError as error:
        pytest.skip(f"no onnxruntime-web: {error}")


@pytest.fixture(scope="package")
def site(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of all shipped models but those of CIFAR-10, in a subfolder of what is served."""
    out = tmp_path_factory.mktemp("served") / "below" / "zoo site"
    names = [name for name in sorted(bundled_models()) if "cifar10" not in name]
    return build_site(names, out, runtime=runtime).folder


@pytest.fixture(scope="package")
def cifar_site(site: Path, runtime: Path) -> Path:
    """A site of the models of CIFAR-10, whose images take long to read, beside the other."""
    names = [name for name in sorted(bundled_models()) if "cifar10" in name]
    return build_site(names, site.with_name("cifar"), runtime=runtime).folder


@pytest.fixture(scope="package")
def site_url(site: Path) -> Iterator[str]:
    """The URL of the site, below a sub-path with a space in it."""
    with site_server(site.parents[1]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{address(server)}below/zoo%20site/"
        server.shutdown()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The system's Chromium with WebGPU on the CPU; the package's only one, since it occupies the event loop."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it, or set CHROMIUM to its path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *WEBGPU])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, site_url: str) -> Iterator[SitePage]:
    """A new tab; the test fails if the console shows an error or a request leaves the site."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    shown = SitePage(context.new_page(), site_url)
    yield shown
    problems = list(shown.problems)
    context.close()
    assert problems == []


@pytest.fixture(scope="package")
def cifar_tab(chromium: Any, site_url: str, cifar_site: Path) -> Iterator[SitePage]:
    """A tab for calls of the modules of the site of CIFAR-10."""
    context = chromium.new_context()
    yield SitePage(context.new_page(), site_url.replace("zoo%20site", cifar_site.name))
    context.close()


@pytest.fixture(scope="package")
def tab(chromium: Any, site_url: str) -> Iterator[SitePage]:
    """A tab for calls of the site's modules, shared by tests that change nothing."""
    context = chromium.new_context()
    yield SitePage(context.new_page(), site_url)
    context.close()
