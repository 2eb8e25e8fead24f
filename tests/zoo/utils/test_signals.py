"""A signal ends a command in order, also where Python loses its exception."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.command import QUICK, run
from tests.support.paths import ROOT
from zoo.utils.signals import StopSignal, check_stopped, exit_code, stop_behind, stop_signals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_raises_and_its_code_is_that_of_shells(number: int) -> None:
    usual = signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    try:
        with pytest.raises(StopSignal) as caught, stop_signals():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, usual)  # `nohup` ignores SIGHUP
    assert exit_code(caught.value) == 128 + number


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_is_ignored_stays_ignored(number: int) -> None:
    usual = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_signals():
            os.kill(os.getpid(), number)
            check_stopped()
    finally:
        signal.signal(number, usual)


def test_handlers_are_put_back_and_signals_forgotten() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with pytest.raises(StopSignal), stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in NUMBERS] == before
    assert stop_behind(ValueError()) is None
    check_stopped()


class _Swallowing:
    """Its finalizer receives a signal, whose exception Python prints and drops."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class _Failing:
    """Its finalizer raises an error, which Python prints and drops."""

    def __del__(self) -> None:
        raise IndexError("pop from empty list")


def test_errors_that_are_lost_are_shown_until_a_signal_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: shown.append(str(lost.exc_value)))
    with stop_signals():
        one = _Failing()
        del one
        with suppress(StopSignal):
            os.kill(os.getpid(), signal.SIGTERM)
        one = _Failing()
        del one
    assert shown == ["pop from empty list"]


def test_a_signal_that_a_finalizer_swallowed_is_found_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with stop_signals():
        one = _Swallowing()
        del one
        assert exit_code(stop_behind(ImportError("initialization failed")) or KeyboardInterrupt()) == 143
        with pytest.raises(StopSignal):
            check_stopped()
    assert capsys.readouterr().err == ""


def _signal_and_fail(*given: object, **options: object) -> Iterator[None]:
    """Do as an import of compiled code that a signal ends."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
    raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("zoo.training.loop.train_steps", "interrupted at step 0 of 20; the checkpoint of step 0 is in"),
        ("zoo.artifacts.writer.card_text", "interrupted while the artifact was written; continue with"),
        ("zoo.artifacts.target.check_writable", "interrupted while the training was prepared"),
    ],
)
def test_an_error_that_hides_a_signal_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, message: str
) -> None:
    monkeypatch.setattr("zoo.artifacts.preflight.check_exportable", lambda *given, **options: None)
    monkeypatch.setattr(place, _signal_and_fail)
    out = tmp_path / "model"
    result = run("train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run"), "--out", str(out))
    assert result.exit_code == 143, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_any_command_ends_on_a_signal_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.listing.say", _signal_and_fail)
    monkeypatch.setattr("zoo.cli.listing.print_table", _signal_and_fail)
    result = run("list")
    assert (result.exit_code, result.stderr) == (143, "zoo: error: interrupted\n")


def test_ctrl_c_while_the_command_is_imported_ends_it_silently(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "zoo", "list"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, "")
