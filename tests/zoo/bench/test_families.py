from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import zoo.families.gridnet.model
from zoo.cli import cli
from zoo.families.registry import get_family, load_hook
from zoo.utils.progress import Say

ROWS = [
    {"what": "ours", "seconds": 0.5, "times baseline": 2.0},
    {"what": "baseline", "seconds": 1.0, "times baseline": None},
]


@pytest.fixture
def benching(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Replace gridnet's benchmark."""

    def use(bench: Any) -> None:
        family = zoo.families.gridnet.FAMILY
        monkeypatch.setattr(zoo.families.gridnet, "FAMILY", replace(family, bench=bench and f"{__name__}:BENCH"))
        monkeypatch.setitem(globals(), "BENCH", bench)  # found by the hook

    return use


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["bench", "family", "gridnet", *arguments])


def test_the_rows_are_shown_and_written_like_any_report(tmp_path: Path, benching: Callable[[Any], None]) -> None:
    threads: list[int] = []

    def bench(quick: bool, say: Say) -> list[dict[str, Any]]:
        threads.append(torch.get_num_threads())
        return ROWS

    benching(bench)
    before = torch.get_num_threads()
    document = tmp_path / "speed.md"
    document.write_text("<!-- begin: bench family gridnet -->\n<!-- end: bench family gridnet -->\n")
    result = run("--threads", "1", "--out", str(tmp_path / "out"), "--write-docs", str(document))
    assert result.exit_code == 0, result.output
    assert "ours" in result.output
    assert (threads, torch.get_num_threads()) == ([1], before)
    report = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert (report["kind"], report["subject"], report["results"]) == ("family", "gridnet", {"results": ROWS})
    assert [row["what"] for row in csv.DictReader((tmp_path / "out" / "bench.csv").open())] == ["ours", "baseline"]
    assert (tmp_path / "out" / "bench.png").stat().st_size > 1000
    assert "| baseline | 1 | - |" in document.read_text()


def test_a_family_without_a_benchmark_is_refused(tmp_path: Path, benching: Callable[[Any], None]) -> None:
    benching(None)
    result = run("--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "family gridnet has no benchmark; families that have one: " in result.stderr
    assert not (tmp_path / "out").exists()
    unknown = CliRunner().invoke(cli, ["bench", "family", "gridnett"])
    assert "unknown family 'gridnett' (did you mean gridnet?); known families: " in unknown.stderr


def test_a_benchmark_that_measures_nothing_is_refused(tmp_path: Path, benching: Callable[[Any], None]) -> None:
    benching(lambda quick, say: [{"what": "ours"}])
    result = run("--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "measured nothing" in result.stderr
    assert not (tmp_path / "out").exists()


def test_each_contender_has_a_line_of_progress_that_quiet_hides(
    tmp_path: Path, benching: Callable[[Any], None]
) -> None:
    asked: list[bool] = []

    def bench(quick: bool, say: Say) -> list[dict[str, Any]]:
        asked.append(quick)
        say("ours")
        say("baseline")
        return ROWS

    benching(bench)
    assert run("--out", str(tmp_path / "a")).stderr == "measuring ours\nmeasuring baseline\n"
    assert run("--quick", "--quiet", "--out", str(tmp_path / "b")).stderr == ""
    assert asked == [False, True]
    assert json.loads((tmp_path / "b" / "bench.json").read_text())["settings"] == {"quick": True}


@pytest.mark.parametrize("name", ["nca", "snapshots"])
def test_a_quick_benchmark_measures_every_kind_of_row(name: str) -> None:
    lines: list[str] = []
    rows = load_hook(get_family(name).bench)(quick=True, say=lines.append)
    assert len(lines) >= len(rows) >= 4
    assert all(any(isinstance(value, float) for value in row.values()) for row in rows)
