"""Puts text from outside, such as labels, licences and names of data, into Markdown as text that stays text."""

from __future__ import annotations

import re

from sdk.text import printable

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ACTIVE = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)|://|@(?=\w)|^(?:[-+#=]|\d+[.)])(?=\s|$)|&(?=#?\w+;)|[<>]")
_MARKERS = re.compile("<(?=!--)")


def plain(text: str) -> str:
    """Return one line of Markdown that shows the text: no markup, HTML, links or line breaks."""
    line = " ".join(printable(" ".join(text.split())).split())
    return _ACTIVE.sub(lambda found: _escaped(found[0]), line)


def code(text: str) -> str:
    """Return one line of text as code, also in a cell of a table."""
    shown = printable(" ".join(text.split())).replace("|", "\\|")
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", shown))))
    return f"{fence} {shown} {fence}"


def block(text: str, language: str = "") -> str:
    """Return text as a block of code, which no line of it can end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{printable(text, lines=True)}\n{fence}"


def without_comments(text: str) -> str:
    """Return Markdown in which nothing starts an HTML comment, such as the markers of a card's notes."""
    return _MARKERS.sub("&lt;", text)


def _escaped(found: str) -> str:
    if found in _ENTITIES:
        return _ENTITIES[found]
    if found == "://":
        return ":\\//"
    if found == "@":
        return "&#64;"
    return f"{found[:-1]}\\{found[-1]}"
