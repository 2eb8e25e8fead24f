from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from zoo.utils.files import check_creatable, clean_leftovers, new_file, replace_file, replacing_folder, write_text


def test_a_filled_folder_replaces_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with replacing_folder(out, overwrite=True) as new:
        (new / "fresh").touch()
        assert (out / "old").exists()
    assert [path.name for path in out.iterdir()] == ["fresh"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()

    def fail_halfway() -> None:
        with replacing_folder(out, overwrite=True) as new:
            (new / "fresh").touch()
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert [path.name for path in out.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_missing_parents_are_created(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "a" / "b") as new:
        (new / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_the_check_for_a_creatable_folder_leaves_no_trace(tmp_path: Path) -> None:
    check_creatable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        check_creatable(tmp_path / "file" / "b")


def test_text_is_written_as_utf8_with_its_line_breaks(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "ü\nb\r\n")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xbc\nb\r\n"


def _two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace folders as where names cannot be swapped, such as on NFS or Windows."""
    monkeypatch.setattr("zoo.utils.files.exchange", lambda one, other: False)


def _fill(out: Path, text: str) -> None:
    with replacing_folder(out, overwrite=True) as new:
        (new / "notes").write_text(text)


KILLED = """
import os, shutil, sys
from pathlib import Path
from zoo.utils import files
out, moment = Path(sys.argv[1]), sys.argv[2]
def die(*given, **options):
    os._exit(9)
if moment == "between the renames":
    files.exchange = lambda one, other: False
    files.rename_new_folder = die
elif moment == "after the renames":
    files.exchange = lambda one, other: False
    shutil.rmtree = die
elif moment == "after the swap":
    shutil.rmtree = die
elif moment == "while it is written":
    files._sync_tree = die
with files.replacing_folder(out, overwrite=True) as new:
    (new / "notes").write_text("new")
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [("while it is written", "old"), ("between the renames", "old"), ("after the renames", "new"),
     ("after the swap", "new")],
)  # fmt: skip
def test_a_kill_during_an_overwrite_leaves_one_whole_folder_and_its_leftovers_go(
    tmp_path: Path, moment: str, left: str
) -> None:
    out = tmp_path / "out"
    _fill(out, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(out), moment], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert len(list(tmp_path.iterdir())) >= (1 if out.exists() else 2)
    clean_leftovers(out)  # what the next writer of this folder does first
    assert (out / "notes").read_text() == left
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool, overwrite: bool
) -> None:
    out = tmp_path / "out"
    if not swap:
        _two_steps(monkeypatch)

    def refuse(old: Path, new: Path) -> None:
        raise FileExistsError(f"{old.name} is not ours")

    def write() -> None:
        with replacing_folder(out, overwrite=overwrite, check=refuse) as new:
            (new / "file").touch()
            out.mkdir()
            (out / "foreign").touch()

    with pytest.raises(FileExistsError):
        write()
    assert [path.name for path in out.iterdir()] == ["foreign"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "file"

    def write(foreign: bool) -> None:
        with new_file(path) as temporary:
            temporary.write_text("new")
            if foreign:
                path.write_text("foreign")

    with pytest.raises(FileExistsError, match="appeared there meanwhile"):
        write(foreign=True)
    assert path.read_text() == "foreign"
    path.unlink()
    write(foreign=False)
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", [".out.0123456789ab.tmp", ".out.0123456789ab.old", ".out.0123456789ab.probe"])
def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path: Path, name: str) -> None:
    _fill(tmp_path / "out", "old")
    (tmp_path / name).mkdir()
    (tmp_path / name / "half").touch()
    foreign = [tmp_path / other for other in (".out.tmp", ".other.0123456789ab.tmp", "out.0123456789ab.tmp")]
    for folder in foreign:
        folder.mkdir()
    _fill(tmp_path / "out", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"out", *(folder.name for folder in foreign)}


def test_the_unfinished_folder_of_a_living_process_stays(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "out", overwrite=True) as slow:
        (slow / "notes").write_text("slow")
        _fill(tmp_path / "out", "fast")
        assert (slow / "notes").exists()
        assert (tmp_path / "out" / "notes").read_text() == "fast"
    assert (tmp_path / "out" / "notes").read_text() == "slow"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(path: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("zoo.utils.files.sync", fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
