"""``python -m tests.support.gpu_tests FILE...``: run the tests marked cuda of each file in a process of its own.

After an illegal address, every later call of CUDA in a process fails. So a file cannot hide what the others would find,
and one that hangs is killed. Prints the output of each file as it ends, then all tests that failed; exits with 1 if one
did.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

_AT_ONCE = 4
"""Files that run side by side; a test measures no time."""
_SECONDS = 110
"""Limit of a file; a test that takes a third of it prints where it is."""
_PASSED, _NO_TESTS, _KILLED = 0, 5, -9


def run_file(file: str, seconds: float = _SECONDS) -> tuple[int, str]:
    """Return pytest's exit code and its output, whose last line names the test that ran when the limit was reached."""
    options = ["-m", "cuda", "-v", "-rfEs", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={seconds / 3:g}"]
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pytest", *options, file], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = _KILLED
        output.seek(0)
        return code, output.read()


def _failures(file: str, code: int, output: str) -> list[str]:
    """Return a line per test of a file that failed, and for a process that ended early its last line."""
    lines = output.strip().splitlines()
    found = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return found or [f"{file}: exit code {code} after: {lines[-1] if lines else 'no output'}"]


def main(files: Sequence[str]) -> int:
    failed: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(run_file, file): file for file in files}
        for future in as_completed(running):
            code, output = future.result()
            print(f"== {running[future]}: exit code {code}\n{output}", flush=True)
            if code not in (_PASSED, _NO_TESTS):
                failed[running[future]] = _failures(running[future], code, output)
    print("\n".join(line for lines in failed.values() for line in lines))
    print(f"{len(files) - len(failed)} of {len(files)} files passed{': not ' if failed else ''}{', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
