"""``make gpu``: build, test and measure the CUDA kernels on the GPU of this machine, and write one folder of results.

    python -m tests.support.gpu [--dry-run] [--out FOLDER] [--minutes 14] [--only STEP]... [--train RECIPE]

Runs from a checkout, with nothing installed but what the steps import (PYTHONPATH may name more). The steps are
independent: one that fails or exceeds its time is reported, and the next one runs. The exit code is 0 if all passed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tests.support.gpu_steps import TOOLKIT, Step, plan, tool
from tests.support.paths import ROOT

_TAIL = 60
"""Lines of a step's output in the report."""
_WATCHED = "timestamp,index,clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu,memory.used"


@dataclass(frozen=True)
class Outcome:
    """A step's result."""

    step: str
    result: str
    """passed, failed, timed out or not run."""
    seconds: float
    note: str
    output: str


def run_step(step: Step, left: float, log: IO[str]) -> Outcome:
    """Run a step for at most its limit and the ``left`` seconds; its output goes to ``log``, a file, as it comes."""
    print(f"\n## {step.name}\n$ {shlex.join(step.command)}", file=log, flush=True)
    missing = step.missing()
    if missing:
        return Outcome(step.name, "not run", 0.0, f"missing here: {', '.join(missing)}", "")
    limit = min(step.seconds, left)
    if limit < 1:
        return Outcome(step.name, "not run", 0.0, "no time was left", "")
    before, started = Path(log.name).stat().st_size, time.monotonic()
    code = _wait(step, limit, log)
    seconds = time.monotonic() - started
    log.seek(0, os.SEEK_END)
    with Path(log.name).open("rb") as file:
        file.seek(before)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    if code is None:
        note = f"killed after {limit:.0f} s"
    else:
        note = (lines[-1] if lines else "") if code == 0 else f"exit code {code}: {lines[-1] if lines else ''}"
    result = {None: "timed out", 0: "passed"}.get(code, "failed")
    return Outcome(step.name, result, seconds, note, "\n".join(lines[-_TAIL:]))


def _wait(step: Step, limit: float, output: IO[str]) -> int | None:
    """Return the exit code; None if the process and its children were killed at the limit."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    tools = os.pathsep.join([os.environ.get("PATH", ""), str(TOOLKIT)])
    environment = {**os.environ, "PYTHONPATH": path, "PATH": tools, **step.environment}
    process = subprocess.Popen(
        step.command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what the step left behind
        process.wait()


def run(steps: Sequence[Step], out: Path, minutes: float) -> list[Outcome]:
    """Run the steps and write the report, ``log.txt``, ``clocks.csv`` and the results of the benchmarks to ``out``.

    The report is written again after every step, so that it holds what was done if the machine is taken away.
    """
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    outcomes: list[Outcome] = []
    with (out / "log.txt").open("w", encoding="utf-8") as log, _clocks(out / "clocks.csv"):
        for step in steps:
            print(f"{step.name}: at most {step.seconds} s ...", flush=True)
            outcome = run_step(step, end - time.monotonic(), log)
            print(f"{step.name}: {outcome.result} in {outcome.seconds:.0f} s; {outcome.note}", flush=True)
            outcomes.append(outcome)
            if step.result is not None and step.result.exists():
                shutil.copyfile(step.result, out / f"{step.name.replace(' ', '-')}.json")
            (out / "report.json").write_text(json.dumps([asdict(o) for o in outcomes], indent=2) + "\n")
            (out / "report.md").write_text(markdown(outcomes), encoding="utf-8")
    return outcomes


@contextmanager
def _clocks(path: Path) -> Iterator[None]:
    """Write the GPUs' clocks, temperature, power and load to a file, once a second, where nvidia-smi is there."""
    program = tool("nvidia-smi")
    if program is None:
        yield
        return
    command = [program, f"--query-gpu={_WATCHED}", "--format=csv,nounits", "--loop=1"]
    with path.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def _stop(number: int, _frame: object) -> None:
    """End as on Ctrl-C, so that the running step ends, too."""
    raise SystemExit(128 + number)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the report: a table of all steps, then the end of each one's output."""
    lines = ["# GPU report", "", "| step | result | seconds | note |", "|---|---|---|---|"]
    lines += [f"| {o.step} | {o.result} | {o.seconds:.0f} | {o.note.replace('|', '/')} |" for o in outcomes]
    for outcome in outcomes:
        if outcome.output:
            lines += ["", f"## {outcome.step}", "", "```text", outcome.output, "```"]
    return "\n".join(lines) + "\n"


def describe(steps: Sequence[Step], minutes: float) -> str:
    """Return what a run would do here, a paragraph per step."""
    lines = []
    for step in steps:
        missing = step.missing()
        lacks = f"; missing here: {', '.join(missing)}" if missing else ""
        lines += [f"{step.name} (at most {step.seconds} s{lacks})", f"  {shlex.join(step.command)}"]
    total = sum(step.seconds for step in steps)
    return "\n".join([*lines, f"at most {total / 60:.1f} minutes in all, cut at {minutes:g}"])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.gpu", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print the steps, and what is missing for them here")
    parser.add_argument("--out", type=Path, help="folder of the report (default: runs/gpu-TIME)")
    parser.add_argument("--minutes", type=float, default=14, help="limit of the whole run (default: 14)")
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="run this step (repeatable)")
    parser.add_argument("--train", default="gridnet-digits", metavar="RECIPE", help="recipe of bench train")
    parser.add_argument("--predict", default="gridnet-mnist", metavar="MODEL", help="model of bench predict")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: rehearse without a GPU")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        steps = plan(Path(work), given.train, given.predict, given.device)
        unknown = set(given.only) - {step.name for step in steps}
        if unknown:
            parser.error(f"--only {sorted(unknown)[0]!r}: the steps are {', '.join(step.name for step in steps)}")
        chosen = [step for step in steps if not given.only or step.name in given.only]
        if given.dry_run:
            print(describe(chosen, given.minutes))
            return 0
        out = given.out or ROOT / "runs" / f"gpu-{time.strftime('%Y%m%d-%H%M%S')}"
        outcomes = run(chosen, out.absolute(), given.minutes)
        print(f"written: {out}")
    return int(any(outcome.result != "passed" for outcome in outcomes))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
