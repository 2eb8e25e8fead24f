from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

import zoo.training.trackers
from tests.support.command import fails, run
from tests.support.paths import ROOT
from tests.support.training import SMALL, fit, metrics
from zoo.training.trackers import flat
from zoo.utils.errors import RunWarning, TrainingError


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


def test_tensorboard_holds_every_number_of_the_log_the_recipe_and_figures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(tmp_path, track=("tensorboard",))
    [folder] = {path.parent for path in (tmp_path / "tensorboard" / "gridnet-digits").glob("events.*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    for kind in ("step", "round", "test"):
        for key, value in metrics(tmp_path, kind)[-1].items():
            if isinstance(value, int | float) and key != "step":
                assert events.Scalars(f"{kind}/{key}")[-1].value == pytest.approx(value, rel=1e-5)
    assert [scalar.step for scalar in events.Scalars("round/validation_loss")] == [2, 4, 6]
    assert events.Tags()["images"] == ["curves"]
    [config] = folder.glob("*/hparams.yml")
    assert "train.batch_size: 16" in config.read_text()


@needs("mlflow")
def test_mlflow_stores_a_run_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.chdir(tmp_path)
    fit(tmp_path / "run", track=("mlflow",))
    with sqlite3.connect(database) as found:
        logged = dict(found.execute("select key, value from latest_metrics").fetchall())
        parameters = dict(found.execute("select key, value from params").fetchall())
    assert logged["test/accuracy"] == pytest.approx(metrics(tmp_path / "run", "test")[0]["accuracy"])
    assert parameters["train.batch_size"] == "16"
    assert list(tmp_path.rglob("curves.png"))


@needs("wandb")
def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    fit(tmp_path, track=("wandb",))
    [folder] = tmp_path.glob("wandb/offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert list(folder.rglob("curves*.png"))


@needs("trackio")
def test_trackio_stores_a_run_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import os
os.environ["TRACKIO_DIR"] = {str(tmp_path / "trackio")!r}
from pathlib import Path
from tests.support.training import fit
fit(Path({str(tmp_path / "run")!r}), track=("trackio",))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300, capture_output=True)
    [database] = (tmp_path / "trackio").glob("gridnet-digits*.db")
    with sqlite3.connect(database) as found:
        logged = [json.loads(text) for (text,) in found.execute("select metrics from metrics").fetchall()]
    assert any("test/accuracy" in record for record in logged)


def test_a_tracker_that_is_unknown_or_missing_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [part for override in SMALL for part in ("-o", override)]
    line = fails(1, "train", "gridnet-digits", *overrides, "--track", "tensorbord")
    assert "did you mean tensorboard?" in line
    monkeypatch.setattr(zoo.training.trackers, "get_available_trackers", list)
    line = fails(1, "train", "gridnet-digits", *overrides, "--track", "aim")
    assert line == "zoo: error: tracker aim is not installed; install it with `pip install aim`"
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_does_not_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("no\nserver")

    monkeypatch.setattr("accelerate.Accelerator.init_trackers", failing)
    with pytest.raises(TrainingError, match=r"^tracker tensorboard does not start: no server$"):
        fit(tmp_path, track=("tensorboard",))


def test_a_tracker_that_fails_in_between_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError("the server is gone")

    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.log", failing)
    message = "tracker tensorboard has failed and gets no more: the server is gone"
    assert fit(tmp_path / "shown", track=("tensorboard",), progress=True).steps == 6
    assert capsys.readouterr().err.count(message) == 1
    with pytest.warns(RunWarning, match=message) as found:
        assert fit(tmp_path / "silent", track=("tensorboard",)).steps == 6
    assert len(found) == 1


def test_of_two_trackers_the_other_one_goes_on_and_figures_that_fail_lose_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory(GeneralTracker):
        name, requires_logging_directory, tracker = "memory", False, None
        logged: ClassVar[list[str]] = []

        def __init__(self, run_name: str, **_: Any) -> None:
            super().__init__()

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            self.logged.append("configuration")

        def log(self, values: dict[str, Any], step: int | None, **_: Any) -> None:
            self.logged.extend(values)

        def finish(self) -> None:
            self.logged.append("finished")

    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("gone")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "memory", Memory)
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.log", failing)
    monkeypatch.setattr("zoo.training.curves.draw_figures", failing)
    monkeypatch.setattr(zoo.training.trackers, "get_available_trackers", lambda: ["tensorboard", "memory"])
    monkeypatch.setattr("accelerate.accelerator.filter_trackers", lambda names, *_: names)
    with pytest.warns(RunWarning) as found:
        fit(tmp_path, track=("tensorboard", "memory", "memory"))
    assert [str(warning.message) for warning in found] == [
        "tracker tensorboard has failed and gets no more: gone",
        "the trackers get no figures, because one cannot be drawn: gone",
    ]
    assert Memory.logged.count("test/accuracy") == Memory.logged.count("finished") == 1
    assert Memory.logged[0] == "configuration"
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.start", failing)
    with pytest.raises(TrainingError, match=r"^tracker tensorboard does not start: gone$"):
        fit(tmp_path / "other", track=("memory", "tensorboard"))
    assert Memory.logged[-1] == "finished"  # the one that had started was closed
    with pytest.raises(TrainingError, match=r"allowed a sequence of names, such as \('memory',\)"):
        fit(tmp_path / "text", track="memory")


def test_the_old_option_for_tensorboard_still_works(tmp_path: Path) -> None:
    overrides = [part for override in SMALL for part in ("-o", override)]
    places = ["--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    result = run("train", "gridnet-digits", *overrides, *places, "--tensorboard", "--quiet")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "run" / "tensorboard").rglob("events.*"))


def test_settings_become_plain_values_by_dotted_key() -> None:
    assert flat({"a": {"b": [1, 2], "c": None}, "d": True, "e": "x"}) == {"a.b": "[1, 2]", "a.c": "null", "d": True,
                                                                        "e": "x"}  # fmt: skip
