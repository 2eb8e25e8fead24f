from __future__ import annotations

import subprocess
import sys
import time

from zoo.bench.machine import Watch


def test_work_of_other_processes_is_noticed() -> None:
    watch = Watch()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])  # not waited for, so its time is not ours
    time.sleep(1)
    others = watch.others()
    busy.kill()
    busy.wait()
    assert others is None or others > 0.02
