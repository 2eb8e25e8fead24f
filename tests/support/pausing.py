"""``zoo train`` that stops in its first training step until it may go on; a program of its own.

    python -m tests.support.pausing READY GO TIME ARGUMENTS

It creates READY there, and goes on when GO exists. Its clock says TIME, for the names of run folders.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import zoo.training.loop
from zoo.__main__ import main

ready, go, now = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
sys.argv[1:] = sys.argv[4:]
usual = zoo.training.loop.train_steps
time.strftime = lambda *given: now


def train_steps(*given: Any) -> Any:
    ready.touch()
    while not go.exists():
        time.sleep(0.01)
    return usual(*given)


zoo.training.loop.train_steps = train_steps
main()
