"""The files of a comparison: compare.json, compare.csv, compare.md, compare.png and compare.svg."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from zoo.compare.figures import draw_curves, draw_pareto
from zoo.compare.pairs import all_pairs
from zoo.compare.record import Record, facts
from zoo.compare.table import NOTES, to_csv, to_markdown
from zoo.utils.errors import CompareError
from zoo.utils.figures import save_png
from zoo.utils.files import check_creatable, replacing_folder

_OURS = ("compare.json", "compare.csv", "compare.md", "compare.png", "compare.svg")


def models_json(records: Sequence[Record], machine: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison of models as plain JSON values: facts, and the paired tests of all models."""
    return {
        "machine": machine,
        "models": [dict(facts(record)) for record in records],
        "pairs": [asdict(pair) for pair in all_pairs(records)],
        "notes": NOTES,
    }


def save_models(records: Sequence[Record], machine: dict[str, Any], folder: Path) -> None:
    """Write a comparison of models; raises CompareError if the folder holds other files or cannot be written."""
    texts = {
        "compare.json": json.dumps(models_json(records, machine), indent=2) + "\n",
        "compare.csv": to_csv(records),
        "compare.md": to_markdown(records),
    }
    _save(texts, draw_pareto(records), folder)


def save_runs(curves: dict[str, list[dict[str, Any]]], table: list[dict[str, Any]], folder: Path) -> None:
    """Write a comparison of runs, with all rounds of all runs in compare.csv; raises CompareError as above."""
    keys = ["run", *dict.fromkeys(key for rounds in curves.values() for one in rounds for key in one)]
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, restval="", lineterminator="\n")
    writer.writeheader()
    for name, rounds in curves.items():
        writer.writerows({"run": name, **one} for one in rounds)
    rows = [list(table[0]), ["---"] * len(table[0]), *([str(value) for value in row.values()] for row in table)]
    texts = {
        "compare.json": json.dumps({"runs": table, "curves": curves}, indent=2) + "\n",
        "compare.csv": out.getvalue(),
        "compare.md": "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n",
    }
    _save(texts, draw_curves(curves), folder)


def check_folder(folder: Path) -> None:
    """Raise CompareError unless a comparison can be written to ``folder``; an older one may be replaced."""
    if folder.exists():
        foreign = sorted({path.name for path in folder.iterdir()} - set(_OURS)) if folder.is_dir() else [folder.name]
        if foreign:
            raise CompareError(f"{folder} holds other files ({', '.join(foreign)}); give --out a new folder")
    try:
        check_creatable(folder.absolute())
    except OSError as error:
        raise CompareError(f"cannot write {folder}: {error.strerror or error}; give --out a new folder") from error


def _save(texts: dict[str, str], figure: Figure, folder: Path) -> None:
    check_folder(folder)
    with replacing_folder(folder.absolute(), overwrite=True, check=lambda old, _: check_folder(old)) as place:
        for name, text in texts.items():
            (place / name).write_text(text, encoding="utf-8")
        save_png(figure, place / "compare.png", dpi=110)
        with matplotlib.rc_context({"svg.hashsalt": "cellzoo"}):  # the same bytes for the same figure
            figure.savefig(place / "compare.svg", metadata={"Date": None})
