"""The table of keys on a family's page has every key of its config, with its default."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tests.support.paths import DOCS
from zoo.families.registry import get_family

FAMILIES = ("cellnet", "gridnet", "nca", "normnet")
"""Those whose page has such a table; that of snapshots lists its keys by rule."""
_TABLE = re.compile(r"^\| key of `model:` \|.*?\n\n", re.MULTILINE | re.DOTALL)


def _rows(family: str) -> list[tuple[list[str], list[Any]]]:
    """The keys of each row by their path below ``model:``, and its defaults."""
    table = _TABLE.search((DOCS / "families" / f"{family}.md").read_text())
    assert table is not None
    rows = []
    for line in table[0].strip().splitlines()[2:]:
        keys, *_, default = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        names = re.findall(r"`([\w.]+)`", keys)
        section = names[0].rpartition(".")[0]
        paths = [f"{section}.{name}" if section and "." not in name else name for name in names]
        rows.append((paths, yaml.safe_load(f"[{default.replace('`', '')}]")))
    return rows


def _field(config: type[BaseModel], path: str) -> FieldInfo:
    section, _, rest = path.partition(".")
    field = config.model_fields[section]
    if not rest:
        return field
    kinds = [
        kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if hasattr(kind, "model_fields")
    ]
    return _field(kinds[0], rest)


def _shown(value: Any) -> Any:
    """A default as YAML reads it on a page."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return "none" if value in (None, ()) else list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_is_there_with_its_default(family: str) -> None:
    config = get_family(family).config
    rows = _rows(family)
    top = {path.partition(".")[0] for paths, _ in rows for path in paths}
    assert top == set(config.model_fields) - {"family"}
    for paths, defaults in rows:
        fields = [_field(config, path) for path in paths]
        if all(field.is_required() for field in fields):
            assert defaults == [], paths
            continue
        assert len(defaults) == len(paths), (paths, defaults)
        for path, field, shown in zip(paths, fields, defaults, strict=True):
            if field.default_factory is not None:  # it depends on other keys, and the reference of keys says how
                assert str(field.json_schema_extra["default"]).startswith(str(shown)), path  # type: ignore[index]
            else:
                shown = "none" if shown is None else float(shown) if isinstance(field.default, float) else shown
                assert shown == _shown(field.default), path
