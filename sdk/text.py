"""Makes text from outside harmless to show: labels, licences, file names and servers' messages."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but part of ordinary words and emoji."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_unicode(text: str) -> bool:
    """Return False for text with halves of surrogate pairs, as names of files in another encoding have.

    No file of UTF-8 can hold it.
    """
    return not any(0xD800 <= ord(character) < 0xE000 for character in text)


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
