"""Parses and writes the plain part of YAML in which recipes are written.

YAML has features that make a small file large or a value ambiguous. A recipe needs none of them, and each is refused
with its place: aliases (a few lines can stand for gigabytes), tags, nesting without end, and the forms in which YAML
1.1 and 1.2 read different values, such as ``010``, ``0o10``, ``1_000``, ``1:30`` and ``yes``. Dates are text.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import yaml

from zoo.utils.errors import RecipeError

SIZE_LIMIT = 2**20
"""Largest recipe in bytes; the longest shipped one has 2 kB."""
DEPTH_LIMIT = 32
"""Most lists and mappings inside each other; recipes need five."""
_DIGITS = 40
"""Most characters of a number."""

_Kind: TypeAlias = Literal["null", "bool", "int", "float", "str"]
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_KINDS: tuple[tuple[_Kind, re.Pattern[str]], ...] = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", _INTEGER),
    ("float", _FLOAT),
    ("float", re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")),
)
_OLD_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_NUMBER_LIKE = re.compile(r"[-+]?[0-9.][0-9a-fA-F_.:oxeE+-]*|[-+]?0b[01_]+")


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values in a YAML text; raises RecipeError, which begins with ``where``, line and column."""
    if len(text) > SIZE_LIMIT:
        raise RecipeError(f"{where}: found {len(text)} characters, at most {SIZE_LIMIT} are allowed")
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader, which constructs plain values only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise RecipeError(f"{where}:{place} {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def to_yaml(recipe: dict[str, Any]) -> str:
    """Return the sections of a recipe as YAML that :func:`parse_yaml` reads."""
    return yaml.dump(recipe, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110)


class _Loader(yaml.SafeLoader):
    """Reads the plain part of YAML, in which a duplicate key is an error."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal("anchors (&name) and aliases (*name) are not allowed; write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal(f"tags are not allowed, found {event.tag!r}; put text in quotes", event)
        if self.depth >= DEPTH_LIMIT:
            raise _refusal(f"more than {DEPTH_LIMIT} lists and mappings inside each other", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        return f"tag:yaml.org,2002:{_kind_of(value) if implicit[0] else 'str'}"

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            problem = _problem_of(node.value, plain=node.style is None, number=node.tag[-3:] in ("int", "oat"))
            if problem:
                raise _refusal(problem, node)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a list or a mapping cannot be a key", key)
            if not key.tag.endswith(":str"):
                raise _refusal(f"a key should be a word, found {key.value or 'nothing'}", key)
            if key.value in seen:
                raise _refusal(f"key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads: no aliases, and text in quotes where it looks like a number or a boolean."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if _kind_of(text) != "str" or _ambiguity(text) else None
    )


_Dumper.add_representer(str, _represent_text)


def _kind_of(text: str) -> _Kind:
    """Return the kind of a scalar that is written without quotes."""
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(text)), "str")


def _refusal(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)


def _problem_of(text: str, plain: bool, number: bool) -> str | None:
    """Return the reason why a scalar is refused, or None."""
    if number and len(text) > _DIGITS:
        return f"found a number of {len(text)} characters, at most {_DIGITS} are allowed"
    strange = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"), None)
    if strange is not None:
        return f"the character {strange!r} is not allowed in text"
    return _ambiguity(text) if plain else None


def _ambiguity(text: str) -> str | None:
    """Explain a plain scalar that YAML 1.1 and 1.2 read as different values; None for any other."""
    meant = _OLD_BOOLEANS.get(text.lower())
    if meant is not None:
        return f"found {text}, which some readers of YAML take for {meant}; write {meant}, or '{text}' for text"
    if not _NUMBER_LIKE.fullmatch(text) or len(text) > _DIGITS:
        return None
    if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        return None
    number = _number(text)
    if number is None:
        return None
    return f"found {text}, which readers of YAML take for different values; write {number}, or '{text}' for text"


def _number(text: str) -> str | None:
    """Return in plain decimals the number that an unusual notation most likely means; None if it is no number."""
    digits, sign = text.lstrip("+-").replace("_", ""), "-" if text.startswith("-") else ""
    with suppress(ValueError):
        if re.fullmatch(r"[0-9]{1,3}(:[0-5]?[0-9])+(\.[0-9]*)?", digits):
            *parts, last = digits.split(":")
            whole = 0
            for part in parts:
                whole = 60 * (whole + int(part))
            return f"{sign}{whole + (float(last) if '.' in last else int(last))}"
        if digits[:2].lower() in ("0x", "0o", "0b"):
            return f"{sign}{int(digits, 0)}"
        if re.fullmatch(r"[0-9]+", digits):
            return f"{sign}{int(digits)}"
        if re.fullmatch(r"[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?", digits):
            return f"{sign}{float(digits):g}"
    return None
