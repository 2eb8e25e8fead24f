"""Kills trainings at random moments, resumes them to their end, and compares them with uninterrupted ones.

``make soak`` runs ``python -m tests.support.soak --kills 1000``. Every attempt is a fork of one process that has
imported everything, and runs ``zoo train`` as a user types it.
"""

from __future__ import annotations

import argparse
import fnmatch
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads must not fork

import torch

import zoo.artifacts.from_run  # imported here, so that no fork has to
import zoo.artifacts.preflight
import zoo.cli
import zoo.training.multi_seed  # noqa: F401
from sdk.artifact import CARD_FILE, read_artifact, read_config
from zoo.__main__ import main as main_of_zoo
from zoo.artifacts.card import NOTES_BEGIN
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint

NOTES = "Measured by hand: 42."
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_LENGTH = ["train.epochs=null", "train.steps=12", "train.checkpoint_every=3", "train.log_every=1"]
_EPOCHS = ["train.epochs=4", "train.log_every=5"]
_TIMES = {"seconds", "samples_per_second"}
_TRIGGERS = (".checkpoint.safetensors.partial", ".metrics.jsonl.partial", ".recipe.yaml.partial", ".model.*.tmp")
"""Names that exist for an instant while a file is replaced; "model" is the artifact."""


@dataclass(frozen=True)
class Scenario:
    """A training to kill."""

    recipe: str
    overrides: list[str]
    seeds: int = 1
    overwrite: bool = False
    """The target holds an older artifact with notes, which no kill may lose."""

    @property
    def title(self) -> str:
        return self.recipe + " --seeds 2" * (self.seeds > 1) + " --overwrite" * self.overwrite


_GRID = ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", *_LENGTH]
SCENARIOS = (
    Scenario("gridnet-digits", _GRID),
    Scenario("gridnet-digits", _GRID, seeds=2),
    Scenario("gridnet-digits", [*_GRID, "data.workers=1"], overwrite=True),
    Scenario("cellnet-digits", ["model.core=8", "model.hidden=8", *_LENGTH]),
    Scenario("normnet-digits", ["model.hidden=[16]", "model.tree={window: 1, patience: 1}", *_LENGTH], overwrite=True),
    Scenario("nca-iris", ["model.epochs=4", "model.meta.population=2", *_LENGTH], seeds=2),
    Scenario("snapshots-digits", _EPOCHS, overwrite=True),
)


@dataclass
class Tally:
    """The results of a soak."""

    kills: Counter[str] = field(default_factory=Counter)
    """Kills by signal."""
    moments: Counter[str] = field(default_factory=Counter)
    """Kills by what the process was doing."""
    runs: int = 0
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        total = sum(self.kills.values())
        by = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        when = ", ".join(f"{count} {name}" for name, count in sorted(self.moments.items()))
        return [f"{total} kills ({by})", f"at: {when}", f"{self.runs} runs, {len(self.lost)} lost", *self.lost]


class Soak:
    """Runs scenarios in a folder; ``chance`` draws moments and signals."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.tally = Tally()
        self.references: dict[str, Path] = {}
        self.durations: dict[str, float] = {}

    def run(self, kills: int, scenarios: tuple[Scenario, ...] = SCENARIOS) -> Tally:
        """Kill until ``kills`` processes have died; every run is then resumed to its end and compared."""
        while sum(self.tally.kills.values()) < kills:
            scenario = scenarios[self.tally.runs % len(scenarios)]
            place = self.folder / "run"
            try:
                self._prepare(scenario)
                self._torture(scenario, place)
            except AssertionError as error:
                self.tally.lost.append(f"{scenario.title}: {error}")
                print(f"lost {self.tally.runs}: {self.tally.lost[-1]}", flush=True)
                shutil.move(place, self.folder / f"lost-{self.tally.runs}")
            self.tally.runs += 1
            shutil.rmtree(place, ignore_errors=True)
            if self.tally.runs % 10 == 0:
                print(self.tally.lines()[0], self.tally.lines()[2], flush=True)
        return self.tally

    def _prepare(self, scenario: Scenario) -> None:
        """Train once without a kill."""
        if scenario.title in self.references:
            return
        place = self.folder / f"whole-{len(self.references)}"
        _set_up(scenario, place, None)
        started = time.perf_counter()
        code = _wait(_start(scenario, place))
        assert code == 0, f"an uninterrupted run ended with {code}: {_output(place)}"
        self.references[scenario.title] = place
        self.durations[scenario.title] = time.perf_counter() - started

    def _torture(self, scenario: Scenario, place: Path) -> None:
        """Kill and resume one run until it has finished, then compare it. Raises AssertionError if it is lost."""
        reference = self.references[scenario.title]
        _set_up(scenario, place, reference)
        lives = self.chance.randint(2, 8)
        while True:
            pid = _start(scenario, place)
            number = self._kill(pid, scenario, place) if lives > 0 else None
            code = _wait(pid)
            lives -= 1
            self._check_end(code, number, place)
            _check_target(scenario, place)
            if code == 0 or (not scenario.overwrite and (place / "model").exists()):
                break
        _compare(scenario, place, reference)

    def _kill(self, pid: int, scenario: Scenario, place: Path) -> int:
        """Send a signal at a random moment, or at the instant in which a file is replaced; return the signal."""
        number = self.chance.choice(SIGNALS)
        end = time.perf_counter() + self.chance.uniform(0, self.durations[scenario.title])
        trigger = self.chance.choice(_TRIGGERS) if self.chance.random() < 0.5 else None
        while time.perf_counter() < end or trigger:
            if trigger and _appeared(trigger, place):
                time.sleep(self.chance.choice([0, 0.0002, 0.001]))
                break
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break  # it finished before its moment
            time.sleep(0.0001 if trigger else 0.001)
        self.moment = trigger.strip(".") if trigger else "a random moment"
        os.kill(pid, number)
        return number

    def _check_end(self, code: int, number: int | None, place: Path) -> None:
        """Count a kill, and check the exit code and the message of a process."""
        output = _output(place)
        if code == 0:
            return
        assert number is not None, f"ended with {code} without a kill: {output}"
        name = signal.Signals(number).name
        if number != signal.SIGKILL and code == 128 + number and output:
            assert output.count("\n") == 1, f"more than one line after {name}: {output}"
            assert "interrupted" in output, output
            kept = any(place.glob(f"folder/**/{CHECKPOINT_FILE}"))
            whole = output == "zoo: error: interrupted\n"  # before the command knew its run, or after it had ended
            assert whole or ("continue with: " in output) == kept, output
        else:
            early = not output and code == 128 + number
            assert code == -number or early, f"ended with {code} after {name}: {output}"
        self.tally.kills[name] += 1
        self.tally.moments[self.moment] += 1


def _appeared(name: str, place: Path) -> bool:
    """Return True if a file of that name exists now in the folder of a run."""
    with suppress(OSError):  # a folder may vanish while it is read
        for folder in (place, place / "folder", *place.glob("folder/seed-*")):
            if folder.is_dir() and fnmatch.filter(os.listdir(folder), name):
                return True
    return False


def _set_up(scenario: Scenario, place: Path, reference: Path | None) -> None:
    """Create the folder of a run, with an older artifact if the scenario replaces one."""
    place.mkdir()
    if scenario.overwrite and reference is not None:
        shutil.copytree(reference / "model", place / "model")
        card = place / "model" / CARD_FILE
        card.write_text(card.read_text().replace(NOTES_BEGIN, f"{NOTES_BEGIN}\n{NOTES}\n"))


def _start(scenario: Scenario, place: Path) -> int:
    """Start or resume the run in a forked process; return its pid."""
    folder = place / "folder"
    arguments = ["train", "--quiet", "--device", "cpu", "--out", str(place / "model")]
    arguments += ["--seeds", str(scenario.seeds)] if scenario.seeds > 1 else []
    arguments += ["--overwrite"] if scenario.overwrite else []
    if any(folder.glob(f"**/{CHECKPOINT_FILE}")):
        arguments += ["--resume", str(folder)]
    else:
        overrides = [part for override in scenario.overrides for part in ("-o", override)]
        arguments += [scenario.recipe, *overrides, "--run-dir", str(folder)]
    (place / "output").unlink(missing_ok=True)
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # in the child, until it can handle it
    pid = os.fork()
    if not pid:
        _zoo(arguments, place / "output")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    return pid


def _zoo(arguments: list[str], output: Path) -> None:
    """Run the command line and end this process with its exit code; SIGINT waits until the command has begun."""
    code: Any = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = io.TextIOWrapper(os.fdopen(1, "wb")), io.TextIOWrapper(os.fdopen(2, "wb"))
        sys.argv = ["zoo", *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        main_of_zoo()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # before the command began
        code = 130
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        sys.stderr.flush()
        os._exit(int(code or 0))


def _wait(pid: int) -> int:
    """Return the exit code of a process, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _output(place: Path) -> str:
    path = place / "output"
    return path.read_text() if path.exists() else ""


def _check_target(scenario: Scenario, place: Path) -> None:
    """Check that the target is a whole artifact, the older or the new one, with its notes; or none if it was none."""
    model = place / "model"
    if not scenario.overwrite and not model.exists():
        return
    config = read_config(model)
    read_artifact(model, files=[file for file in config.files if file != CARD_FILE])  # verifies them
    if scenario.overwrite:
        assert NOTES in (model / CARD_FILE).read_text(), "the notes of the older artifact are lost"


def _compare(scenario: Scenario, place: Path, reference: Path) -> None:
    """Compare weights, history and log with those of the uninterrupted run, bit for bit."""
    for file in ("model.safetensors", "model.onnx"):
        assert (place / "model" / file).read_bytes() == (reference / "model" / file).read_bytes(), f"other {file}"
    metrics, expected = (
        json.loads((root / "model" / "config.json").read_text())["metrics"] for root in (place, reference)
    )
    assert metrics == expected, f"metrics {metrics}, expected {expected}"
    for whole in reference.glob(f"folder/**/{CHECKPOINT_FILE}"):
        folder = place / whole.parent.relative_to(reference)
        found, wanted = load_checkpoint(folder), load_checkpoint(whole.parent)
        for part in ("module", "average", "optimizer", "learner"):
            assert _same(found[part], wanted[part]), f"the checkpoint has another {part}"
        lines, right = (_records(where) for where in (folder, whole.parent))
        assert lines == right, f"metrics.jsonl has {len(lines)} records, expected {len(right)}"
        files, known = ({path.name for path in where.iterdir()} for where in (folder, whole.parent))
        assert files == known, f"the run folder holds {files}, expected {known}"
    assert {path.name for path in place.iterdir()} == {path.name for path in reference.iterdir()}, "leftovers"


def _records(folder: Path) -> list[dict[str, Any]]:
    """Return the log without times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in _TIMES} for line in lines]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenarios", type=int, default=len(SCENARIOS), help="use the first of them only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zoo-soak-") as folder:
        tally = Soak(Path(folder), given.seed).run(given.kills, SCENARIOS[: given.scenarios])
    print("\n".join(tally.lines()))
    sys.exit(1 if tally.lost else 0)


if __name__ == "__main__":
    main()
