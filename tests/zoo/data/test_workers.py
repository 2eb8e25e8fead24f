"""Workers that die or find no shared memory end a training with an error instead of a hang."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info

from sdk.inputs import InputSpec
from tests.support.paths import ROOT
from zoo.data.sampling import Batch, evaluation_batches
from zoo.data.split import Split
from zoo.data.workers import end_quietly, explain
from zoo.utils.errors import DataError

SPEC = InputSpec(kind="table", shape=(4096,), mean=(0.0,) * 4096, std=(1.0,) * 4096)
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and shared memory of Linux")


class Zeros(Split):
    """Zeros, prepared by one worker."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(SPEC, torch.zeros(64).long(), workers)

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if get_worker_info() is not None:
            self.disturb(batch)
        return torch.zeros(len(batch.indices), 4096), self.labels[batch.indices]

    def disturb(self, batch: Batch) -> None: ...


class Killed(Zeros):
    def disturb(self, batch: Batch) -> None:
        if 32 in batch.indices:
            os.kill(os.getpid(), signal.SIGKILL)


class Exits(Zeros):
    def disturb(self, batch: Batch) -> None:
        if 32 in batch.indices:
            os._exit(3)


class NoRoom(Zeros):
    def disturb(self, batch: Batch) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


class TooManyFiles(Zeros):
    def disturb(self, batch: Batch) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Damaged(Zeros):
    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        raise DataError("a/DataError: b/1.png: cut")


class Fails(Zeros):
    def disturb(self, batch: Batch) -> None:
        raise RuntimeError("no reason")


def consume(split: Split) -> None:
    with closing(split.stream(evaluation_batches(64, 8), CPU)) as stream:
        for _ in stream:
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Killed, r"a data worker died \(SIGKILL\); .*; lower data\.workers, or set it to 0"),
        (Exits, r"a data worker died \(exit code 3\); .*; lower data\.workers, or set it to 0"),
        (NoRoom, r"a data worker found no room in shared memory: /dev/shm has .* free; set data\.workers: 0, or make"),
        (TooManyFiles, r"a data worker found too many open files; raise the limit"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_go_on_is_an_error_in_one_line(kind: type[Zeros], message: str, workers: int) -> None:
    before = children()
    with pytest.raises(DataError, match=message) as info:
        consume(kind(workers))
    assert "\n" not in str(info.value)
    assert children() == before  # ended, and not left to the garbage collector


def test_batches_reach_a_worker_without_shared_memory() -> None:
    batch = Batch(torch.arange(5), seed=3, rank=1, world=2)
    content = ForkingPickler.dumps(batch)
    restored = pickle.loads(content)
    assert torch.equal(restored.indices, batch.indices)
    assert (restored.seed, restored.rank, restored.world) == (3, 1, 2)
    assert b"rebuild_storage" not in bytes(content)


def test_a_full_shared_memory_is_named_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=65536)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="found no room in shared memory: /dev/shm has 64 KiB free"):
        consume(NoRoom())
    dead = multiprocessing.Process(target=os._exit, args=(9,))
    dead.start()
    dead.join()
    found = explain(RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly"), [dead])
    assert str(found).startswith("a data worker died (exit code 9); /dev/shm has 64 KiB free; lower data.workers")


def children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(map(int, file.read().split()))


def test_a_worker_that_is_killed_while_the_training_computes_is_noticed() -> None:
    def train(stream: Any) -> None:
        next(stream)
        os.kill(max(children() - before), signal.SIGKILL)
        for _ in range(200):
            time.sleep(0.05)
            next(stream)

    before = children()
    with (
        closing(Zeros().stream(evaluation_batches(64, 1), CPU)) as stream,
        pytest.raises(DataError, match="a data worker died"),
    ):
        train(stream)


def test_other_errors_pass() -> None:
    assert explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), []) is None
    with pytest.raises(RuntimeError, match="no reason"):
        consume(Fails())


def test_workers_deliver_what_the_process_itself_does() -> None:
    alone, helped = ([x for x, _ in Zeros(n).stream(evaluation_batches(64, 8), CPU)] for n in (0, 2))
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


@pytest.mark.slow
def test_a_small_shared_memory_is_named_by_a_training(tmp_path: Any) -> None:
    command = (
        f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec {sys.executable} -m zoo train normnet-digits "
        f"-o data.workers=2 -o train.epochs=1 --run-dir {tmp_path / 'run'} --out {tmp_path / 'out'}"
    )
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 1
    assert "a data worker" in done.stderr
    assert "/dev/shm has" in done.stderr


def test_a_worker_says_nothing_of_a_training_that_left_it_and_shows_other_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: shown.append(kind))
    end_quietly(0)
    for error in (EOFError(), ConnectionResetError(), BrokenPipeError(), ValueError(), OSError(28, "full")):
        sys.excepthook(type(error), error, None)
    assert shown == [ValueError, OSError]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_message_of_a_workers_error_is_whole(workers: int) -> None:
    with pytest.raises(DataError, match=r"^a/DataError: b/1\.png: cut$"):
        next(Damaged(workers).stream(evaluation_batches(64, 8), CPU))
