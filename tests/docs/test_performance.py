"""The figures that pages quote from the benchmarks' tables are those of the tables."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from tests.support.paths import DOCS, ROOT

PAGE = (DOCS / "guides" / "performance.md").read_text()
Rows = dict[tuple[str, ...], dict[str, str]]


def _table(block: str, title: str, keys: tuple[str, ...]) -> Rows:
    """The rows of a table that a benchmark wrote, by the cells of some columns."""
    text = re.search(rf"<!-- begin: {block} -->(.*?)<!-- end", PAGE, re.DOTALL)
    assert text is not None
    lines = text[1].split(f"**{title}", 1)[1].split("\n\n")[1].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found = [dict(zip(header, row, strict=True)) for row in rows]
    return {tuple(row[key] for key in keys): row for row in found}


def _quoted(pattern: str, text: str = PAGE) -> list[float]:
    [found] = re.findall(pattern, " ".join(text.split()))
    return [float(number) for number in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize(
    ("row", "title"),
    [
        ("twelve outer steps, forward", "Evolution of 12, forward, "),
        ("twelve outer steps, forward [+] backward", "Evolution of 12, forward + backward, "),
        ("a single step, forward", "Step, forward, "),
        ("a single step, forward [+] backward", "Step, forward + backward, "),
    ],
)
def test_the_speed_of_the_kernels_in_short(row: str, title: str) -> None:
    table = _table("bench kernels", title, ("contender",))
    ours, compiled = table["ours avx512",], table["compiled shifts",]
    factors = [ours["x reference"], ours["x eager shifts"], float(compiled["ms"]) / float(ours["ms"])]
    number = r"([\d.]+)"
    assert _quoted(rf"\| {row} \| {number} \| {number} \| {number} \|") == pytest.approx(
        [float(factor) for factor in factors], rel=0.03
    )


def test_the_speed_of_gridnet_mnist_in_short() -> None:
    training = _table("bench train gridnet-mnist", "A training step", ("contender",))
    assert _quoted(r"training step of gridnet-mnist is ([\d.]+) times") == pytest.approx(
        [float(training["kernels",]["x reference"])], rel=0.03
    )
    calls = _table("bench predict gridnet-mnist", "Latency", ("contender", "batch"))
    for words, batch in (("one image", "1"), ("64 images", "64")):
        names = ("native", "onnx", "torch", "eager shifts")
        quoted = _quoted(rf"\| {words} \|" + r" ([\d.]+) ms \|" * 4)
        assert quoted == pytest.approx([float(calls[name, batch]["p50 ms"]) for name in names], rel=0.03)
    cold = _table("bench predict gridnet-mnist", "Cold start", ("backend",))
    seconds, memory, batched = _quoted(r"ready ([\d.]+) s after .*? in (\d+) MB \((\d+) MB for 64 images")
    assert (seconds, f"{memory:.0f} MB") == (float(cold["native",]["total s"]), cold["native",]["peak memory"])
    assert f"{batched:.0f} MB" == calls["native", "64"]["peak memory"]
    seconds, memory = _quoted(r"after ([\d.]+) s with onnx, in (\d+) MB")
    assert (seconds, f"{memory:.0f} MB") == (float(cold["onnx",]["total s"]), cold["onnx",]["peak memory"])


def test_readme_quotes_the_evolution() -> None:
    pattern = r"twelve outer steps are (\d+) times as fast .*? (\d+) times with backward"
    quoted = _quoted(pattern, (ROOT / "README.md").read_text())
    rows = [
        _table("bench kernels", f"Evolution of 12, {mode}, ", ("contender",))["ours avx512",]
        for mode in ("forward", "forward + backward")
    ]
    assert quoted == pytest.approx([float(row["x reference"]) for row in rows], rel=0.03)


def test_the_page_explains_each_recipe_whose_products_or_data_stand_out() -> None:
    rows = _table("bench train", "Training steps", ("recipe",))
    [_, explained] = PAGE.split("**Reading it.** Where a step takes more than twice")
    table, _, data = explained.partition("Data take less than a tenth of a step")
    patterns = re.findall(
        r"`([\w*-]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    )
    slow = [name for (name,), row in rows.items() if float(row["x own products"].replace("-", "0")) > 2]
    assert not [name for name in slow if not any(fnmatch(name, pattern) for pattern in patterns)]
    named = set(re.findall(r"`([\w-]+)`", data.partition(". ")[0]))
    assert {name for (name,), row in rows.items() if float(row["data"].split()[0]) >= 10} == named
