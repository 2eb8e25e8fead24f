"""A page of a site in a real Chromium, which fails a test for any console error and any request to another host."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
"""The browser's executable, from $CHROMIUM or the search path."""
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
"""Options for a WebGPU device that computes on the CPU."""
READY = "document.querySelector('#stage > :not(p)') && !document.querySelector('#stage[aria-busy]')"


def wait(page: Any, condition: str, timeout: float = 60.0) -> None:
    """Wait until an expression of JavaScript is true. Playwright's own way is refused by the page's security policy."""
    end = time.monotonic() + timeout
    while not page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() < end, f"not true within {timeout:g} s: {condition}"
        page.wait_for_timeout(20)


class SitePage:
    """A tab of the browser that shows a site at ``url``."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.problems: list[str] = []
        """Console errors, exceptions, failed requests, and requests that leave the site's host."""
        page.set_default_timeout(60_000)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        page.on("request", self._check_host)

    def open(self, hash: str = "", query: str = "") -> Any:
        """Go to a model and wait for its first answer; return Playwright's page."""
        self.page.goto(f"{self.url}{query}#{hash}")
        wait(self.page, READY)
        return self.page

    def call(self, body: str, argument: Any = None) -> Any:
        """Run JavaScript in the page: ``body`` uses ``load(path)``, which imports a module, and ``given``."""
        if not self.page.url.startswith(self.url):
            self.page.goto(f"{self.url}icon.svg")  # a page of the site's origin that starts nothing
        script = f"async ([base, given]) => {{ const load = (path) => import(base + path); {body} }}"
        return self.page.evaluate(script, [self.url, argument])

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.problems.append(f"console: {text}")

    def _check_host(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.problems.append(f"foreign request: {request.url}")
