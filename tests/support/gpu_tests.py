"""``python -m tests.support.gpu_tests FILE...``: run the tests marked cuda of each file in a process of its own.

After an illegal address, every later call of CUDA in a process fails. So a file cannot hide what the others would find.
Prints the output of each file as it ends; exits with 1 if one failed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

_AT_ONCE = 4
"""Files that run side by side; a test measures no time."""
_PASSED, _NO_TESTS = 0, 5


def run_file(file: str) -> tuple[int, str]:
    """Return pytest's exit code and its output."""
    options = ["-m", "cuda", "-q", "-rfEs", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, file]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def main(files: Sequence[str]) -> int:
    failed = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(run_file, file): file for file in files}
        for future in as_completed(running):
            code, output = future.result()
            print(f"== {running[future]}: exit code {code}\n{output}", flush=True)
            if code not in (_PASSED, _NO_TESTS):
                failed.append(running[future])
    print(f"{len(files) - len(failed)} of {len(files)} files passed{': not ' if failed else ''}{', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
