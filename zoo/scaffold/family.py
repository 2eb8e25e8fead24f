"""Writes a package with a family that trains: entry point, config, module, ONNX graph, probe, recipe and test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from sdk import __version__
from zoo.families.registry import RESERVED, family_names
from zoo.utils.errors import FamilyError
from zoo.utils.files import replacing_folder, write_text

_TEMPLATE = Path(__file__).with_name("template")
_SUFFIX = ".tmpl"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def write_family(name: str, folder: Path | None = None) -> Path:
    """Write the package of family ``name`` to a new ``folder`` (default: ``cellzoo-NAME`` here), and return that.

    Raises FamilyError for a name that cannot be a family's and for a folder that exists.
    """
    _check_name(name)
    out = (folder or Path(f"cellzoo-{name.replace('_', '-')}")).absolute()
    if out.exists():
        raise FamilyError(f"{out} exists; give another --out, or remove it")
    words = {
        "name": name,
        "package": f"cellzoo_{name}",
        "distribution": f"cellzoo-{name.replace('_', '-')}",
        "recipe": f"{name.replace('_', '-')}-digits",
        "title": "".join(part.capitalize() for part in name.split("_")),
        "version": __version__,
    }
    try:
        with replacing_folder(out) as place:
            for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
                target = place / _file_name(source, words)
                target.parent.mkdir(parents=True, exist_ok=True)
                write_text(target, Template(source.read_text(encoding="utf-8")).substitute(words))
    except OSError as error:
        raise FamilyError(f"cannot write {out}: {error.strerror or error}; give another --out") from error
    return out


def _file_name(source: Path, words: dict[str, str]) -> str:
    """Return the path of a file of the template in the package: its folders and name have words in capitals."""
    relative = source.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX)
    for word in ("package", "recipe", "name"):
        relative = relative.replace(word.upper(), words[word])
    return relative


def _check_name(name: str) -> None:
    """Raise FamilyError unless a package can give its family this name."""
    if not _NAME.fullmatch(name) or len(name) > 40 or keyword.iskeyword(name):
        raise FamilyError(
            f"family name: found {name!r}, allowed up to 40 lower-case letters, digits and single underscores, the "
            "first a letter; no word of Python's"
        )
    if name in (*RESERVED, *family_names()):
        raise FamilyError(f"family name: {name} is taken; choose another one")
