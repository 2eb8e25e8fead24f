from __future__ import annotations

from pathlib import Path

import pytest

from zoo.utils.files import check_creatable, replacing_folder, write_text


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
