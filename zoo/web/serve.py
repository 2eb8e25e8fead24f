"""Serves a site on this machine, with the headers that let WebAssembly use several threads."""

from __future__ import annotations

import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sdk.errors import CellzooError

HEADERS = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""They isolate the page from other origins, so that a browser lends its threads memory to share."""
ADDRESS = "127.0.0.1"


class ServeError(CellzooError):
    """A port that cannot be served on."""


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}  # noqa: RUF012

    def end_headers(self) -> None:
        for name, value in {**HEADERS, "Cache-Control": "no-cache"}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print no line per request."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a visitor who leaves before a file has been sent."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def site_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a folder on the loopback address; port 0 means any that is free. Raises ServeError."""
    try:
        return _Server((ADDRESS, port), functools.partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise ServeError(f"--port {port}: cannot be used ({error.strerror}); give another, or 0 for any") from None


def address(server: ThreadingHTTPServer) -> str:
    """Return the URL of a server's site."""
    return f"http://{ADDRESS}:{server.server_address[1]}/"
