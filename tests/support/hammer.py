"""Many threads in many processes predict with one model: results stay the same bits and memory stays flat.

    python -m tests.support.hammer gridnet-mnist --backend torch --processes 8 --threads 32 --seconds 600

Every process loads the model once; its threads share it and predict batches of different sizes. Each answer is compared
with the one that this process computed alone, and that one with the other processes'. Memory is the largest resident
set of a process in MB, in the second, third and last quarter of the time. Ends with 1 if results differ, or if the last
quarter's exceeds the third's by more than 32 MB: caches of threads fill at first, a leak goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing as mp
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import sdk

BATCHES = (1, 2, 7, 64)
MOST_GROWTH = 32.0  # MB
SAMPLES = 40


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class Hammer:
    """One process: a model, the right answers, and threads that ask for them."""

    def __init__(self, name: str, backend: str, seconds: float) -> None:
        self.model = sdk.load(name, backend=backend)
        generator = np.random.default_rng(0)
        self.inputs = [generator.random((n, *self.model.input_spec.shape), dtype=np.float32) for n in BATCHES]
        self.answers = [self.ask(x) for x in self.inputs]
        self.end = time.monotonic() + seconds
        self.counts: list[int] = []
        self.problems: list[str] = []

    def ask(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.model._runner.logits(x)  # predict's own thread-safe path, without the preparation of inputs

    def work(self, number: int) -> None:
        count = 0
        while time.monotonic() < self.end and not self.problems:
            which = (number + count) % len(BATCHES)
            try:
                if not np.array_equal(self.ask(self.inputs[which]), self.answers[which]):
                    self.problems.append(f"thread {number}, call {count}: another result for batch {BATCHES[which]}")
            except Exception as error:  # any error under load is a finding
                self.problems.append(f"thread {number}, call {count}: {error!r}")
            count += 1
        self.counts.append(count)


def run_process(name: str, backend: str, threads: int, seconds: float, results: Any) -> None:
    hammer = Hammer(name, backend, seconds)
    workers = [threading.Thread(target=hammer.work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    memory = []
    for _ in range(SAMPLES):
        time.sleep(seconds / SAMPLES)
        memory.append(resident_mb())
    for worker in workers:
        worker.join()
    digest = hashlib.sha256(b"".join(answer.tobytes() for answer in hammer.answers)).hexdigest()
    quarters = [round(max(memory[n * SAMPLES // 4 : (n + 1) * SAMPLES // 4])) for n in range(1, 4)]
    results.put({"calls": sum(hammer.counts), "problems": hammer.problems, "digest": digest, "memory": quarters})


def hammer(name: str, backend: str, processes: int, threads: int, seconds: float) -> dict[str, Any]:
    """Run all processes and return the figures."""
    context = mp.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=run_process, args=(name, backend, threads, seconds, results)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=seconds * 2 + 300) for _ in workers]
    for worker in workers:
        worker.join()
    return {
        "model": name, "backend": backend, "processes": processes, "threads": threads, "seconds": seconds,
        "calls": sum(one["calls"] for one in found),
        "problems": [problem for one in found for problem in one["problems"]],
        "different answers": len({one["digest"] for one in found}) - 1,
        "resident MB": [one["memory"] for one in found],
    }  # fmt: skip


def failed(figures: dict[str, Any]) -> bool:
    growth = max(last - third for _, third, last in figures["resident MB"])
    return bool(figures["problems"] or figures["different answers"] or growth > MOST_GROWTH)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=600)
    figures = hammer(**{("name" if key == "model" else key): value for key, value in vars(parser.parse_args()).items()})
    print(json.dumps(figures, indent=1))
    raise SystemExit(failed(figures))
