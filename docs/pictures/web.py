"""Draw the pictures of the browser's pages: ``python docs/pictures/web.py [SITE]``.

Needs Chromium, playwright, and a site of the five models of ``make web`` (by default in the folder ``site``).
"""

from __future__ import annotations

import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.browser import CHROMIUM, WEBGPU, SitePage
from zoo.web.serve import address, site_server

FOLDER = Path(__file__).resolve().parent / "web"
SIZE = {"width": 1100, "height": 1120}
COLOURS = 128
PHONE = {"width": 390, "height": 844}


def shoot(browser: Any, url: str, name: str, file: str, scheme: str, size: dict[str, int] = SIZE) -> None:
    """Open a model, put its page into the state of the picture, and store the picture."""
    context = browser.new_context(viewport=size, color_scheme=scheme)
    shown = SitePage(context.new_page(), url)
    page = shown.open(name)
    if name == "gridnet-mnist":
        page.get_by_role("button", name="Test image 12:").click()
        page.evaluate("document.querySelector('#step').value = 9")
        page.locator("#step").dispatch_event("input")
    if name == "nca-iris":
        for _ in range(25):
            page.get_by_role("button", name="One epoch").click()
            page.wait_for_timeout(60)
        page.get_by_role("button", name="Delete half").click()
        for _ in range(12):
            page.get_by_role("button", name="One epoch").click()
            page.wait_for_timeout(60)
    if name == "normnet-mnist-conv":
        page.evaluate("document.querySelector('#prune').value = 60")
        page.locator("#prune").dispatch_event("input")
    page.wait_for_timeout(1500)
    taken = Image.open(BytesIO(page.screenshot()))
    few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / file, optimize=True)
    context.close()
    assert shown.problems == []


def main(site: Path) -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with site_server(site) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *WEBGPU])
        for name, file, scheme in (
            ("gridnet-mnist", "gridnet.png", "light"),
            ("cellnet-mnist", "cellnet.png", "light"),
            ("nca-iris", "nca.png", "dark"),
            ("snapshots-mnist", "snapshots.png", "dark"),
            ("normnet-mnist-conv", "normnet.png", "light"),
        ):
            shoot(browser, address(server), name, file, scheme)
        shoot(browser, address(server), "gridnet-mnist", "phone.png", "dark", PHONE)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
