"""Locks end with their process, and one process alone holds one."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import zoo.utils.locks
from tests.support.paths import ROOT
from zoo.utils.locks import LOCK_FILE, LockedError, folder_lock, release, try_lock

HOLD = """
import sys, time
from pathlib import Path
from zoo.utils.locks import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
needs_flock = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")


def _holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the folder; return when it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@needs_flock
def test_a_lock_names_its_process_and_ends_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = _holder(folder)
    with pytest.raises(LockedError, match=f"in use by process {holder.pid}"), folder_lock(folder):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (folder / LOCK_FILE).exists()
    with folder_lock(folder):
        assert json.loads((folder / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert list(folder.iterdir()) == []


def test_a_thread_of_the_same_process_is_refused_as_well(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(LockedError, match="in use by process"), folder_lock(tmp_path):
        pass


def test_a_folder_that_stays_empty_is_removed_with_its_parents(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_deleted_folder_is_not_that_of_its_successor(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with folder_lock(folder):
        folder.rename(tmp_path / "moved")
        with folder_lock(folder):
            (folder / "mine").touch()
            assert (folder / LOCK_FILE).exists()
        assert [path.name for path in folder.iterdir()] == ["mine"]


@needs_flock
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
    try:
        with folder_lock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def _no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    class Fcntl:
        LOCK_EX, LOCK_NB = 2, 4

        @staticmethod
        def flock(handle: int, flags: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(zoo.utils.locks, "_fcntl", Fcntl)


@pytest.mark.usefixtures("_no_flock")
class TestWithoutLocksOfTheFileSystem:
    def test_a_file_of_ones_own_is_the_lock(self, tmp_path: Path) -> None:
        with folder_lock(tmp_path):
            with pytest.raises(LockedError, match=r"if that process has ended, remove .*owner"), folder_lock(tmp_path):
                pass
            (tmp_path / "kept").touch()
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    @pytest.mark.skipif(os.name == "nt", reason="Windows cannot ask for a process")
    def test_the_lock_of_a_dead_process_of_this_machine_is_stale(self, tmp_path: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        owner = tmp_path / f"{LOCK_FILE}.owner"
        owner.write_text(json.dumps({"pid": child.pid, "host": socket.gethostname()}))
        with folder_lock(tmp_path):
            assert json.loads(owner.read_text())["pid"] == os.getpid()

    @pytest.mark.parametrize("content", ["", "{", '{"pid": 1, "host": "another-machine"}', '{"pid": "x", "host": 1}'])
    def test_a_lock_of_which_nothing_is_known_is_kept(self, tmp_path: Path, content: str) -> None:
        (tmp_path / f"{LOCK_FILE}.owner").write_text(content)
        with pytest.raises(LockedError, match="in use by"), folder_lock(tmp_path):
            pass


@needs_flock
def test_a_held_file_and_a_missing_one_are_not_locked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert try_lock(path) is None
    path.touch()
    handle = try_lock(path)
    assert handle is not None
    assert try_lock(path) is None
    release(handle)
    again = try_lock(path)
    assert again is not None
    release(again)


@needs_flock
def test_a_lock_that_is_waited_for_is_that_of_the_file_with_the_name_at_the_end(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.touch()
    other.touch()
    first = try_lock(path)
    assert first is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(try_lock, path, wait=True)
        with pytest.raises(concurrent.futures.TimeoutError):
            waiting.result(0.05)
        os.replace(other, path)
        release(first)
        second = waiting.result(10)
    assert second is not None
    assert os.path.samestat(os.fstat(second), path.stat())
    assert try_lock(path) is None
    release(second)
