"""A short form of ``make fuzz``, and what the fuzzer itself finds."""

from __future__ import annotations

import mmap
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from sdk.errors import InputError
from tests.support import fuzz as fuzzer
from tests.support.fuzz import fuzz
from tests.support.fuzz_targets import ATTACKS, Lab


def test_mutated_inputs_give_our_errors_alone() -> None:
    report = fuzz(300, seed=100)
    assert not report.findings, "\n".join(report.lines())
    assert report.inputs.total() == 300
    assert report.inputs.keys() == ATTACKS.keys()
    assert 20 < report.accepted.total() < 280  # mutations are neither all harmless nor all refused at the door


@pytest.mark.slow
def test_twenty_thousand_mutated_inputs_give_our_errors_alone() -> None:
    report = fuzz(20_000, seed=200)
    assert not report.findings, "\n".join(report.lines())
    assert report.inputs.total() == 20_000


def _raise(lab: Lab, chance: random.Random) -> None:
    raise KeyError("raw")


def _raise_ours(lab: Lab, chance: random.Random) -> None:
    raise InputError("found x, allowed y")


def _crash(lab: Lab, chance: random.Random) -> None:
    os.abort()


def _hang(lab: Lab, chance: random.Random) -> None:
    time.sleep(60)


def _spin(lab: Lab, chance: random.Random) -> None:
    while True:
        pass


def _blow_up(lab: Lab, chance: random.Random) -> None:
    pages = fuzzer.GROWTH // mmap.PAGESIZE + 4096
    mmap.mmap(-1, pages * mmap.PAGESIZE)[:: mmap.PAGESIZE] = bytes(pages)  # not in a block that was freed before


def _hide_memory(lab: Lab, chance: random.Random) -> None:
    try:
        bytearray(2**40)
    except MemoryError:
        raise InputError("not enough memory") from None


def _escape(lab: Lab, chance: random.Random) -> None:
    Path(os.environ["PYTEST_OUTSIDE"]).write_text("x")


def _start(lab: Lab, chance: random.Random) -> None:
    os.system("true")


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        (_raise, "KeyError in test_fuzz.py, _raise"),
        (_crash, "crash with SIGABRT"),
        (_hang, "no end in 3 s"),
        (_spin, "no end in 1 s of processor time"),
        (_blow_up, "MiB of memory"),
        (_hide_memory, "AssertionError"),
        (_escape, "open outside: "),
        (_start, "os.system"),
    ],
)
def test_the_fuzzer_finds(
    attack: Any, finding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTEST_OUTSIDE", str(tmp_path / "outside"))
    monkeypatch.setattr(fuzzer, "SECONDS", 1.0)
    monkeypatch.setattr(fuzzer, "PATIENCE", 30.0 if attack is _spin else 3.0)
    monkeypatch.setattr(fuzzer, "GROWTH", 64 * 2**20)
    monkeypatch.setattr(fuzzer, "ATTACKS", {"bad": (1, attack), "good": (1, _raise_ours)})
    report = fuzz(4, seed=1)
    assert report.inputs.total() == 4
    [(found, cases)] = report.findings.items()
    assert found.startswith("bad: ")
    assert finding in found
    assert report.inputs["bad"] >= len(cases) > 0


def test_a_seed_and_a_number_give_an_input_again() -> None:
    assert fuzzer.attack_of(3, 7)[1].random() == fuzzer.attack_of(3, 7)[1].random()
    assert fuzzer.attack_of(3, 7)[1].random() != fuzzer.attack_of(3, 8)[1].random()
