"""Generates the tables and the figure of docs/compare.md from the stored results: ``python -m zoo.compare.docs``.

README's short table is generated as well, where README has the two markers. The text around the blocks is written by
hand.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.compare.figures import draw_pareto
from zoo.compare.record import Record, Results, read_results
from zoo.compare.robustness import summary
from zoo.compare.table import NOTES, groups, rows
from zoo.utils.errors import CompareError
from zoo.utils.figures import save_png
from zoo.utils.files import replace_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compare.md"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "pictures" / "compare" / "pareto.png"
DATA = ("digits", "mnist", "fashion_mnist", "cifar10", "iris")
"""The data sets of the page, in order."""
_TITLES = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "iris": "Iris",
}
_CLOSE = 0.01
"""Accuracy within which a cheaper model counts as close to the best."""


def blocks(results: Results) -> dict[str, str]:
    """Return the text of each generated block of the page by its name."""
    found = groups(list(results.models.values()))
    made = {f"compare {data}": _table(rows(found[data])) for data in DATA if data in found}
    made["compare notes"] = _wrap(NOTES)
    made["compare robustness"] = "\n\n".join(
        f"**{_TITLES[data]}**\n\n{_table(summary.rows(chosen))}"
        for data in DATA
        if (chosen := {name: one for name, one in results.robustness.items() if one["data"] == data})
    )
    made["compare robustness notes"] = _wrap(summary.NOTES)
    return made


def short_table(results: Results) -> str:
    """Return README's table: the best of the zoo and the best baseline per data set, and the cheapest close to it."""
    found = groups(list(results.models.values()))
    return _table([_short(data, found[data]) for data in DATA if data in found])


def _short(data: str, records: Sequence[Record]) -> dict[str, str]:
    ours = [record for record in records if not record.baseline]
    others = [record for record in records if record.baseline]
    close = [r for r in records if r.accuracy >= records[0].accuracy - _CLOSE and r.multiply_adds is not None]
    cheapest = min(close, key=lambda record: record.multiply_adds or 0)
    return {
        "data": _TITLES[data],
        "best of the zoo": _named(ours[0]) if ours else "-",
        "best baseline": _named(others[0]) if others else "-",
        "fewest multiply-adds within a point of the best": f"{_named(cheapest)}, {cheapest.multiply_adds:,}",
    }


def _named(record: Record) -> str:
    return f"`{record.name}` {record.accuracy:.2%}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _table(lines: Sequence[Mapping[str, str]]) -> str:
    cells = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def fill(text: str, made: Mapping[str, str]) -> str:
    """Replace what is between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``; raises CompareError without them."""
    for name, block in made.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise CompareError(f"found no block {name!r}; add a line {begin} and below it a line {end}")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{block}\n\n{end}{rest.split(end)[1]}"
    return text


def write() -> None:
    """Write the page, its figure and README's table."""
    results = read_results()
    replace_file(PAGE, fill(PAGE.read_text(encoding="utf-8"), blocks(results)).encode())
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    chosen = [record for record in results.models.values() if record.data in DATA[:4] and "literal" not in record.name]
    save_png(draw_pareto(chosen), PICTURE, dpi=90)
    readme = README.read_text(encoding="utf-8")
    if "<!-- begin: compare -->" in readme:
        replace_file(README, fill(readme, {"compare": short_table(results)}).encode())


if __name__ == "__main__":
    write()
