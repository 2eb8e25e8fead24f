"""The thread pool of the kernels keeps its threads on processors of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SHARED_PROCESSOR = """
import json, os
import numpy as np
import sdk

def threads():
    return {int(thread) for thread in os.listdir("/proc/self/task")}

first, second, *_ = sorted(os.sched_getaffinity(0))
model = sdk.load("exports/gridnet-digits", backend="native", threads=2)
images, before = np.zeros((64, 8, 8), np.float32), threads()
os.sched_setaffinity(0, {first})
model.predict(images)  # starts the worker, which inherits the caller's only processor
(worker,) = threads() - before
model.predict(images)
confined = os.sched_getaffinity(worker)
os.sched_setaffinity(0, {first, second})
for _ in range(1000):
    model.predict(images)
    if os.sched_getaffinity(worker) != confined:
        break
print(json.dumps({"first": first, "second": second, "confined": [*confined], "moved": [*os.sched_getaffinity(worker)]}))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two processors"
)
def test_a_worker_leaves_the_processor_of_its_caller_but_not_those_that_the_caller_may_use() -> None:
    command = [sys.executable, "-c", SHARED_PROCESSOR]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["confined"] == [found["first"]]
    assert found["moved"] == [found["second"]]
