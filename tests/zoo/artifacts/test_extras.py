from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import sdk
import zoo.artifacts.writer
from sdk.artifact import read_artifact
from tests.support.artifacts import write_tiny
from tests.support.command import QUICK, run
from zoo.artifacts.extras import Extras
from zoo.utils.errors import ExportError, IncompleteArtifactError
from zoo.utils.signals import stop_signals


def _fail(error: Exception) -> Any:
    def fail(*given: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("function", "missing"),
    [("write_onnx", "model.onnx"), ("write_extra_onnx", "model.onnx"), ("_draw_portrait", "figures"),
     ("card_text", "README.md")],
)  # fmt: skip
@pytest.mark.parametrize("error", [RuntimeError("no\nluck"), MemoryError(), KeyError("font"), ExportError("differs")])
def test_a_file_that_fails_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, missing: str, error: Exception
) -> None:
    monkeypatch.setattr(zoo.artifacts.writer, function, _fail(error))
    with pytest.raises(IncompleteArtifactError, match=f"without {missing} .*the weights are complete"):
        write_tiny(tmp_path / "tiny", formats=("safetensors", "onnx"))
    files = read_artifact(tmp_path / "tiny").config.files
    assert "model.safetensors" in files
    assert missing not in files
    assert sdk.load(tmp_path / "tiny", backend="torch").module is not None


def test_a_folder_that_was_begun_is_removed_with_its_files(tmp_path: Path) -> None:
    extras = Extras(tmp_path)
    with extras.trying("figures", "probe.md"):
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "a.png").touch()
        (tmp_path / "probe.md").touch()
        raise ValueError("no luck")
    assert list(tmp_path.iterdir()) == []
    assert extras.failed == {"figures": "no luck"}


def test_a_signal_is_no_failure_of_a_file(tmp_path: Path) -> None:
    def import_half() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("half an import") from None

    extras = Extras(tmp_path)
    with pytest.raises(KeyboardInterrupt), stop_signals(), extras.trying("model.onnx"):
        import_half()
    assert extras.failed == {}


def test_a_full_disk_fails_the_whole_artifact_and_keeps_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "tiny")
    before = (tmp_path / "tiny" / "config.json").read_bytes()
    monkeypatch.setattr(zoo.artifacts.writer, "write_onnx", _fail(OSError(28, "No space left on device")))
    with pytest.raises(ExportError, match="No space left"):
        write_tiny(tmp_path / "tiny", formats=("safetensors", "onnx"), overwrite=True)
    assert (tmp_path / "tiny" / "config.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_training_says_what_is_missing_after_its_result_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.artifacts.writer, "write_onnx", _fail(RuntimeError("no luck")))
    out = tmp_path / "model"
    result = run("train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run"), "--out", str(out))
    assert result.exit_code == 1
    assert f"artifact: {out}" in result.stdout
    assert "zoo: error: gridnet-digits was written to" in result.stderr
    assert "without model.onnx (model.onnx: no luck)" in result.stderr
    assert sdk.load(out, backend="torch").metrics["test_total"] == 360
