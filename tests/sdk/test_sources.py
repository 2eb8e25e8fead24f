"""Images from URLs, bytes and file objects. The server is on this machine."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from sdk import InputError, InputSpec, sources

SPEC = InputSpec("image", (1, 4, 6), (0.0,), (1.0,))
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name in ("away", "ftp"):
            self.send_response(302)
            self.send_header("Location", "/picture.png" if name == "away" else "ftp://127.0.0.1/picture.png")
            self.end_headers()
        elif name == "missing":
            self.send_error(404)
        elif name == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b"0")
                time.sleep(0.05)
        else:
            content = b"<html>" if name == "page" else png()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + (name == "short")))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server on this machine."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_bytes_files_and_urls_give_the_pixels_of_the_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_bytes(png())
    expected = SPEC.prepare(PIXELS)[0]
    data = base64.b64encode(png()).decode()
    with (tmp_path / "digit.png").open("rb") as file:
        forms = [
            png(), bytearray(png()), memoryview(png()), io.BytesIO(png()), file, f"{server}/picture.png",
            f"{server}/away", f"data:image/png;base64,{data}", f"DATA:;base64,{data}", f"data:image/png,{quote(png())}",
        ]  # fmt: skip
        for form in forms:
            prepared, single = SPEC.prepare(form)
            assert single
            np.testing.assert_array_equal(prepared, expected)
    np.testing.assert_array_equal(SPEC.prepare([png(), f"{server}/picture.png", PIXELS])[0], np.repeat(expected, 3, 0))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "cannot download 'http.*/missing': HTTP 404 Not Found"),
        ("page", "'http.*/page' is not a readable image"),
        ("short", "cannot download 'http.*/short': 1 bytes are missing at the end"),
        ("ftp", "cannot download 'http.*/ftp': HTTP 302"),
    ],
)
def test_a_url_that_gives_no_image_is_refused(server: str, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SPEC.prepare(f"{server}/{path}")


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(InputError, match=r"cannot download 'http://127\.0\.0\.1:9/x\.png': .*refused"):
        SPEC.prepare("http://127.0.0.1:9/x.png")
    with pytest.raises(InputError, match="cannot download 'http://'"):
        SPEC.prepare("http://")


def test_a_download_has_a_deadline_however_it_dribbles(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"took more than 0\.3 s; download the file first"):
        SPEC.prepare(f"{server}/slow")
    assert time.monotonic() - started < 1.5


def test_more_bytes_than_the_limit_are_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SIZE_LIMIT", 20)
    data = base64.b64encode(png()).decode()
    for source in (f"{server}/picture.png", io.BytesIO(png()), f"data:;base64,{data}", f"data:,{quote(png())}"):
        with pytest.raises(InputError, match="has more than 20 bytes, the most for one image"):
            SPEC.prepare(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data:image/png;base64,====", "the base64 of the data URL .* is damaged"),
        ("data:image/png", "is not a data URL; allowed data:"),
        (io.StringIO("text"), "the file object gives str, allowed bytes; open it in mode 'rb'"),
        (io.BytesIO(b"nothing"), "the file object .*BytesIO.* is not a readable image"),
        (b"", "the content of 0 bytes is not a readable image"),
    ],
)
def test_content_that_is_no_image_is_refused(source: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SPEC.prepare(source)


def test_tables_take_neither_bytes_nor_urls() -> None:
    table = InputSpec("table", (2,), (0.0,) * 2, (1.0,) * 2)
    for source in (b"12", "http://127.0.0.1:9/x"):
        with pytest.raises(InputError, match="the model takes numbers or an array"):
            table.prepare(source)


@pytest.mark.parametrize("ink", [0, 60, 120])
def test_dark_ink_on_a_transparent_background_stays_visible(ink: int) -> None:
    drawing = np.full((4, 6, 4), ink, np.uint8)
    drawing[..., 3] = 0
    drawing[1, 2:5, 3] = 255
    found = SPEC.prepare(Image.fromarray(drawing))[0][0, 0]
    np.testing.assert_array_equal(found[1, 2:5], ink / np.float32(255))
    assert (found == 1).sum() == 4 * 6 - 3


def test_light_ink_and_nothing_at_all_are_laid_on_black() -> None:
    drawing = np.full((4, 6, 4), 200, np.uint8)
    drawing[..., 3] = 0
    assert SPEC.prepare(Image.fromarray(drawing))[0].max() == 0
    drawing[1, 2:5, 3] = 255
    found = SPEC.prepare(Image.fromarray(drawing))[0][0, 0]
    assert (found == 0).sum() == 4 * 6 - 3
    assert SPEC.prepare(Image.fromarray(np.zeros((4, 6, 4), np.uint8)))[0].max() == 0
