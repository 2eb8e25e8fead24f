from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import run
from tests.support.paths import DOCS
from zoo.bench.docs import write_docs
from zoo.bench.machine import machine_facts
from zoo.bench.report import Report, Table


def report_of(kind: str, subject: str) -> Report:
    machine = {**machine_facts(), "other_processes": 1.5}
    return Report(kind, subject, machine, {}, {}, {"results": [{"a": 1}]})


def test_tables_replace_only_their_block(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    block = "<!-- begin: bench train x -->{}<!-- end: bench train x -->"
    document.write_text("before\n" + block.format("\nold\n") + "\nafter\n")
    report = report_of("train", "x")
    for value in ("1", "2"):
        write_docs(document, report, [Table("Title", [{"column": value, "other": "a|b"}])])
        text = document.read_text()
        assert text.startswith("before\n<!-- begin: bench train x -->\n")
        assert text.endswith("<!-- end: bench train x -->\nafter\n")
        assert f"**Title**\n\n| column | other |\n| --- | --- |\n| {value} | a/b |\n" in text
        assert text.count("| column |") == 1
        assert "old" not in text
    assert list(tmp_path.iterdir()) == [document]


def test_a_document_without_the_block_is_refused_before_measuring(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("no block\n")
    result = run("kernels", "--quick", "--write-docs", str(document), "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "add one line <!-- begin: bench kernels -->" in result.stderr
    assert "measuring" not in result.stderr
    assert document.read_text() == "no block\n"


@pytest.mark.usefixtures("brisk")
def test_the_performance_page_has_a_block_for_every_report(tmp_path: Path) -> None:
    page = DOCS / "guides" / "performance.md"
    copy = tmp_path / "performance.md"
    copy.write_text(page.read_text())
    arguments = ["--quick", "--sweep", "--isa", "baseline", "--write-docs", str(copy)]
    result = run("kernels", *arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "**The machine's limits**" in copy.read_text()
    titles = ("train", "train gridnet-mnist", "train gridnet-digits", "predict gridnet-mnist", "predict gridnet-digits")
    for title in titles:
        assert f"<!-- begin: bench {title} -->" in copy.read_text()
