"""The snippets of docs/guides/scaling.md, as far as one machine without GPUs, SLURM and Spark can run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_iris

import sdk
from tests.support.paths import DOCS, ROOT

PAGE = (DOCS / "guides" / "scaling.md").read_text()
BLOCKS = dict.fromkeys(re.findall(r"^```(python|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COUNT = 23


def block(word: str) -> str:
    """Return the one snippet that contains a word."""
    [found] = [text for _, text in BLOCKS if word in text]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the page names: photos, a table, and ``zoo`` on the PATH."""
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:03}.png")
    flowers = load_iris(as_frame=True).data
    flowers.to_csv(tmp_path / "flowers.csv", index=False)
    (tmp_path / "bin").mkdir()
    zoo = tmp_path / "bin" / "zoo"
    zoo.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoo "$@"\n')
    zoo.chmod(0o755)
    return tmp_path


@pytest.fixture
def execute(folder: Path) -> Callable[..., str]:
    """Run a command in that folder and return its stdout."""

    def run(*command: str, **variables: str) -> str:
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **variables,
        }  # fmt: skip
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def expected(folder: Path) -> list[str]:
    labels: list[str] = sdk.load("gridnet-mnist").predict(sorted((folder / "photos").iterdir()), batch=True)
    return labels


def test_the_commands_for_one_machine_write_their_files(folder: Path, execute: Callable[..., str]) -> None:
    execute("bash", "-ec", block("--out labels.parquet"))
    assert pd.read_parquet(folder / "labels.parquet")["label"].tolist() == expected(folder)
    found = pd.read_csv(folder / "labels.csv")
    assert found["label"].tolist() == sdk.load("nca-iris").predict(folder / "flowers.csv")
    assert list(found)[-3:] == ["label_3", "probability_3", "error"]


def test_the_processes_of_the_page_answer_every_file(folder: Path, execute: Callable[..., str]) -> None:
    (folder / "script.py").write_text(block("ProcessPoolExecutor").replace("256", "10"))
    assert re.findall(r"'(\d)'", execute(sys.executable, "script.py")) == expected(folder)


@pytest.mark.slow  # Ray starts once in tests/sdk/test_batch_predictor.py
def test_the_ray_job_writes_every_label(folder: Path, execute: Callable[..., str]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cellzoo[ray]'")
    place = tempfile.mkdtemp(prefix="ray")  # short: it holds sockets, whose paths have a limit
    start = f"import ray\nray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir={place!r})\n"
    try:
        execute(sys.executable, "-c", start + block("read_binary_files"))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    found = pd.read_parquet(folder / "labels").sort_values("path")
    assert found["label"].tolist() == expected(folder)
    assert set(found["error"]) == {""}


class Frames:
    """Stands for a DataFrame of Spark: calls the function of mapInPandas as an executor does."""

    def mapInPandas(self, function: Any, schema: str) -> pd.DataFrame:  # noqa: N802 (Spark's name)
        rows = load_iris(as_frame=True).data.assign(id=range(150))
        parts: Iterator[pd.DataFrame] = iter([rows[:70], rows[70:70], rows[70:]])
        answered = pd.concat(function(parts))
        kinds = {"long": "i", "double": "f", "string": "OUT"}
        for name, kind in (field.split() for field in schema.split(", ")):
            assert answered[name].dtype.kind in kinds[kind]
        assert [field.split()[0] for field in schema.split(", ")] == list(answered)
        return answered


def test_the_spark_job_gives_the_columns_of_its_schema() -> None:
    names: dict[str, Any] = {"flowers": Frames()}
    exec(block("mapInPandas"), names)
    assert names["labels"]["label"].tolist() == sdk.load("nca-iris").predict(load_iris(as_frame=True).data)
    assert names["labels"]["id"].tolist() == list(range(150))


def test_the_slurm_jobs_share_the_photos(folder: Path, execute: Callable[..., str]) -> None:
    tasks = (0, 2, 9)
    for task in tasks:
        execute("bash", "-ec", block("--array=0-9"), SLURM_ARRAY_TASK_ID=str(task))
    found = pd.concat(pd.read_csv(folder / f"labels-{task}.csv", dtype={"label": str}) for task in tasks)
    shared = [label for number, label in enumerate(expected(folder)) if number % 10 in tasks]
    assert found.sort_values("input")["label"].tolist() == shared
    execute("bash", "-n", "-c", block("scontrol"))


@pytest.mark.slow
def test_the_training_on_a_processor_runs_in_two_processes(folder: Path, execute: Callable[..., str]) -> None:
    [command] = [line for line in block("accelerate launch").splitlines() if "--device cpu" in line]
    execute(
        sys.executable, "-m", "torch.distributed.run", "--standalone", *command.split()[1:],
        "-o", "train.epochs=2", "--out", "model",
    )  # fmt: skip
    assert sdk.load(folder / "model").name
