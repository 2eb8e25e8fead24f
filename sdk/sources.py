"""Reads the encoded bytes of an image from a URL or a file object, up to a limit."""

from __future__ import annotations

import base64
import binascii
import time
import urllib.request
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes

from sdk.errors import InputError
from sdk.validation import describe

SIZE_LIMIT = 32 * 2**20
"""Largest encoded image in bytes."""
TIMEOUT = 20.0
"""Seconds for a download, from the connection to the last byte."""
_SCHEMES = ("http://", "https://", "data:")
_PIECE = 2**16
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)  # urllib's default opener would also follow redirects to ftp


def is_url(text: str) -> bool:
    """Return True if a string is an http, https or data URL; any other string is a path."""
    return text[:8].lower().startswith(_SCHEMES)


def read_url(url: str) -> bytes:
    """Return the content of an http, https or data URL.

    Raises InputError for a URL that cannot be read within TIMEOUT, and for more than SIZE_LIMIT bytes.
    """
    return _read_data_url(url) if url[:5].lower() == "data:" else _download(url)


def read_file(file: Any) -> bytes:
    """Return the rest of a binary file object. Raises InputError for text and for more than SIZE_LIMIT bytes."""
    content = file.read(SIZE_LIMIT + 1)
    if not isinstance(content, bytes):
        raise InputError(f"the file object gives {type(content).__name__}, allowed bytes; open it in mode 'rb'")
    if len(content) > SIZE_LIMIT:
        raise _too_large("the file object")
    return content


def _read_data_url(url: str) -> bytes:
    if len(url) > 4 * SIZE_LIMIT:  # percent-encoding takes three characters per byte
        raise _too_large("the data URL")
    head, comma, body = url[5:].partition(",")
    if not comma:
        raise InputError(f"{describe(url)} is not a data URL; allowed data:[type][;base64],CONTENT")
    content = unquote_to_bytes(body)
    if head.lower().endswith(";base64"):
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error as error:
            raise InputError(f"the base64 of the data URL {describe(url)} is damaged: {error}") from None
    if len(content) > SIZE_LIMIT:
        raise _too_large("the data URL")
    return content


def _download(url: str) -> bytes:
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    deadline = time.monotonic() + TIMEOUT
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "cellzoo"})
        with opener.open(request, timeout=TIMEOUT) as response:
            return _read_response(response, url, deadline)
    except HTTPError as error:
        raise InputError(f"cannot download {describe(url)}: HTTP {error.code} {error.reason}") from None
    except TimeoutError:
        raise _too_slow(url) from None
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _too_slow(url) from None
        raise InputError(f"cannot download {describe(url)}: {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot download {describe(url)}: {error}") from None


def _read_response(response: HTTPResponse, url: str, deadline: float) -> bytes:
    content = bytearray()
    while piece := response.read1(_PIECE):  # returns what has arrived, so that a slow server cannot pass the deadline
        content += piece
        if len(content) > SIZE_LIMIT:
            raise _too_large(describe(url))
        if time.monotonic() > deadline:
            raise _too_slow(url)
    if response.length:  # bytes that the server announced and did not send
        raise InputError(f"cannot download {describe(url)}: {response.length} bytes are missing at the end")
    return bytes(content)


def _too_large(what: str) -> InputError:
    return InputError(f"{what} has more than {SIZE_LIMIT:,} bytes, the most for one image; make the image smaller")


def _too_slow(url: str) -> InputError:
    return InputError(f"cannot download {describe(url)}: it took more than {TIMEOUT:g} s; download the file first")
