from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.artifacts import artifact_arguments
from zoo.artifacts.target import check_new_file, check_writable
from zoo.artifacts.writer import write_artifact
from zoo.utils.errors import ExportError


def test_an_obstacle_is_named_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ExportError, match="file exists and is not a folder"):
        check_writable(tmp_path / "file", overwrite=True)
    with pytest.raises(ExportError, match="link is a symbolic link"):
        check_writable(tmp_path / "link", overwrite=True)
    with pytest.raises(ExportError, match=r"cannot write .*Not a directory"):
        check_writable(tmp_path / "file" / "tiny", overwrite=False)


def test_an_unwritable_parent_is_named_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ExportError, match=r"cannot write .*tiny: Permission denied"):
        check_writable(tmp_path / "tiny", overwrite=False)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_parent_is_named_before_training(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ExportError, match="Permission denied"):
            check_writable(tmp_path / "tiny", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


def test_the_check_before_training_leaves_no_trace(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a" / "tiny", overwrite=False) == tmp_path / "a" / "tiny"
    assert list(tmp_path.iterdir()) == []


def test_overwriting_never_removes_foreign_files(tmp_path: Path) -> None:
    out = write_artifact(tmp_path / "tiny", **artifact_arguments())
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("hours of work")
    with pytest.raises(ExportError, match=r"not the model's: notes/mine\.txt; move them away first"):
        write_artifact(out, **artifact_arguments(), overwrite=True)
    other = tmp_path / "home"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match=r"no config\.json in it.*not overwritten"):
        write_artifact(other, **artifact_arguments(), overwrite=True)
    assert (out / "notes" / "mine.txt").exists()
    assert (other / "thesis.tex").exists()


@pytest.mark.parametrize("place", ["model.onnx", "model-fp16.onnx", "figures/mine.onnx", "new.onnx"])
def test_a_separate_file_is_not_written_into_a_model(tmp_path: Path, place: str) -> None:
    folder = write_artifact(tmp_path / "tiny", **artifact_arguments())
    (tmp_path / "link").symlink_to(folder)
    (folder / "figures").mkdir(exist_ok=True)
    for out in (folder / place, tmp_path / "link" / place):
        with pytest.raises(ExportError, match=r"the files of model .*tiny are sealed; give a file elsewhere"):
            check_new_file(out, overwrite=True)
    check_new_file(tmp_path / "mine.onnx", overwrite=False)
