"""Makes text from outside harmless to show: labels, licences, file names and servers' messages."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but part of ordinary words and emoji."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, lines: bool = False) -> str:
    """Return text with escapes such as ``\\x1b`` for characters that a terminal obeys instead of showing.

    Those are control characters, marks that change the direction of text, separators of lines, and halves of surrogate
    pairs. With ``lines``, line breaks stay.
    """
    if text.isprintable():
        return text
    return "".join(_shown(char, lines) for char in text)


def _shown(char: str, lines: bool) -> str:
    if (lines and char == "\n") or char in _JOINERS or unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode()
