"""Feeds mutated files and values to everything that reads them, in processes with limits of memory and time.

    python -m tests.support.fuzz --inputs 1000000 --workers 2

Each input has a number; seed and number give the input again: ``--case N`` runs one in this process. Errors of cellzoo
are right answers. Findings are: any other exception, a crash, more time than SECONDS, more memory than GROWTH, a file
written outside the worker's folder, a program that is started, a connection that is opened. They end it with 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads should not fork

from sdk.errors import CellzooError
from tests.support.fuzz_guard import Guard, enclose
from tests.support.fuzz_targets import ATTACKS, Lab

SECONDS = 20.0
"""Most processor time for an input; most take a few milliseconds."""
PATIENCE = 600.0
"""Most seconds by the clock for an input, which others may delay on a machine with much to do."""
ASKED = "socket.connect ('127.0.0.1', 9)"
"""The connection that the URL among the hostile texts asks for."""
GROWTH = 1200 * 2**20
"""Most bytes by which one input may enlarge a worker; an image may have 134 million pixels."""
ADDRESSES = 6 * 2**30
"""Most bytes of address space that a worker may use beyond those it started with."""
_CHUNK = 5000
"""Inputs after which a worker ends."""
_STATE = struct.Struct("qdd")  # the number of the input in work (-1: none), and its start by both clocks


@dataclass
class Report:
    """The result of a fuzzing run."""

    inputs: Counter[str] = field(default_factory=Counter)
    """Number of inputs by kind."""
    accepted: Counter[str] = field(default_factory=Counter)
    """Number of those that were no error."""
    findings: dict[str, list[int]] = field(default_factory=dict)
    """The numbers of the inputs of each kind of finding."""

    def lines(self) -> list[str]:
        kinds = [f"{kind} {count:,} ({self.accepted[kind]:,} accepted)" for kind, count in sorted(self.inputs.items())]
        lines = [f"{self.inputs.total():,} inputs: {', '.join(kinds)}", f"{len(self.findings)} findings"]
        return lines + [f"{len(cases)} x {what}, first: --case {min(cases)}" for what, cases in self.findings.items()]


def attack_of(seed: int, case: int) -> tuple[str, random.Random]:
    """Return the kind of an input and the generator that makes it."""
    chance = random.Random(f"{seed}:{case}")
    return chance.choices(list(ATTACKS), [share for share, _ in ATTACKS.values()])[0], chance


def run_case(lab: Lab, seed: int, case: int) -> tuple[str, bool]:
    """Run one input; return its kind, and True if it was accepted. Raises any error but cellzoo's own."""
    kind, chance = attack_of(seed, case)
    try:
        ATTACKS[kind][1](lab, chance)
    except CellzooError as error:
        if any(isinstance(cause, MemoryError) for cause in _causes(error)):
            raise AssertionError(f"memory ran out: {error}") from error
        if "\n" in str(error) and kind != "recipe":
            raise AssertionError(f"an error of several lines: {error!r}") from error
        return kind, False
    return kind, True


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


class Worker:
    """A forked process that runs inputs and writes what happens to a file."""

    def __init__(self, folder: Path, seed: int, number: int) -> None:
        self.seed, self.folder = seed, folder / f"worker-{number}"
        self.log = folder / f"log-{number}"
        self.state = mmap.mmap(-1, _STATE.size)
        self.pid = 0

    def start(self, cases: range) -> None:
        self.state[:] = _state(-1)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.cases = cases
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._work(cases)
            except BaseException:
                self._say("finding", "the fuzzer itself", cases.start, traceback.format_exc())
            finally:
                os._exit(0)

    def current(self) -> tuple[int, str]:
        """Return the number of the input in work, and the limit of time that it exceeds, or nothing."""
        case, start, processor = _STATE.unpack(self.state[:])
        if time.monotonic() - start > PATIENCE:
            return case, f"no end in {PATIENCE:.0f} s"
        if time.monotonic() - start > SECONDS and _processor_time(self.pid) - processor > SECONDS:
            return case, f"no end in {SECONDS:.0f} s of processor time"
        return case, ""

    def _work(self, cases: range) -> None:
        parent = os.getppid()
        enclose(self.folder, ADDRESSES)
        lab = Lab(self.folder / "inside")
        lab.folder.mkdir()
        os.chdir(lab.folder)
        faulthandler.disable()
        warnings.simplefilter("ignore")
        counts, accepted = Counter[str](), Counter[str]()
        before = set(os.listdir(self.folder))
        grown = _peak()
        for case in cases:
            if os.getppid() != parent:
                return
            self.state[:] = _state(case)
            Guard.touched.clear()
            try:
                kind, good = run_case(lab, self.seed, case)
                counts[kind] += 1
                accepted[kind] += good
            except Exception as error:
                kind = attack_of(self.seed, case)[0]
                counts[kind] += 1
                self._say("finding", f"{kind}: {_signature(error)}", case, traceback.format_exc())
            for touched in dict.fromkeys(Guard.touched):
                if kind == "array" and touched == ASKED:
                    continue  # a URL is a valid input, and this one is among the hostile texts
                self._say("finding", f"{kind}: {touched}", case, "")
            peak = _peak()
            if peak - grown > GROWTH:
                self._say("finding", f"{kind}: more than {GROWTH >> 20} MiB of memory", case, "")
            grown = max(peak, grown)
            if case % 50 == 0 and (found := set(os.listdir(self.folder)) - before):
                self._say("finding", f"{kind}: files outside, {sorted(found)}", case, "")
                before |= found
        self.state[:] = _state(-1)
        self._say("counts", dict(counts), dict(accepted))

    def _say(self, *record: Any) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")


def _state(case: int) -> bytes:
    return _STATE.pack(case, time.monotonic(), time.process_time())


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _signature(error: BaseException) -> str:
    """Name an error by its type and its place, so that equal ones are counted together."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, {frame.name}: {str(error)[:80]!r}".replace(
        "\n", " "
    )


def fuzz(inputs: int, workers: int = 2, seed: int = 0, say: bool = False) -> Report:
    """Run inputs 0 to ``inputs`` and return what was found."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="zoo-fuzz-", dir=_fast_folder()) as folder:
        chunk = max(1, min(_CHUNK, -(-inputs // workers)))
        todo = [range(first, min(first + chunk, inputs)) for first in range(0, inputs, chunk)][::-1]
        crew = [Worker(Path(folder), seed, number) for number in range(workers)]
        done = 0
        while todo or any(worker.pid for worker in crew):
            for worker in crew:
                if worker.pid:
                    done += _attend(worker, report, todo)
                if not worker.pid:
                    _collect(worker, report)
                if not worker.pid and todo:
                    worker.start(todo.pop())
            if say and done >= inputs // 50:
                done = 0
                print("\n".join(report.lines()), flush=True)
            time.sleep(0.02)
    return report


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _attend(worker: Worker, report: Report, todo: list[range]) -> int:
    """See whether a worker lives and is in time; return the number of inputs that it has ended with."""
    case, late = worker.current()
    late = late if case >= 0 else ""
    if late:
        os.kill(worker.pid, signal.SIGKILL)
    pid, status = os.waitpid(worker.pid, 0 if late else os.WNOHANG)
    if not pid:
        return 0
    worker.pid = 0
    case = _STATE.unpack(worker.state[:])[0]
    if case < 0:
        return len(worker.cases)
    kind = attack_of(worker.seed, case)[0]
    ended = late or f"crash with {_ending(status)}"
    report.findings.setdefault(f"{kind}: {ended}", []).append(case)
    for number in range(worker.cases.start, case + 1):
        report.inputs[attack_of(worker.seed, number)[0]] += 1
    if case + 1 < worker.cases.stop:
        todo.append(range(case + 1, worker.cases.stop))
    return case + 1 - worker.cases.start


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _collect(worker: Worker, report: Report) -> None:
    """Move what an ended worker has written to the report."""
    if not worker.log.exists():
        return
    for line in worker.log.read_text().splitlines():
        what, first, second, *rest = json.loads(line)
        if what == "counts":
            report.inputs.update(first)
            report.accepted.update(second)
            continue
        if first not in report.findings:
            print(f"{first}: --case {second}\n{rest[0] if rest else ''}", flush=True)
        report.findings.setdefault(first, []).append(second)
    worker.log.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this input alone, in this process")
    given = parser.parse_args()
    if given.case is not None:
        with tempfile.TemporaryDirectory(prefix="zoo-fuzz-") as folder:
            print(run_case(Lab(Path(folder)), given.seed, given.case))
        return
    report = fuzz(given.inputs, given.workers, given.seed, say=True)
    print("\n".join(report.lines()))
    sys.exit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
