"""Batches of tables go in, batches with predictions come out, also elsewhere."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_iris

import sdk
from sdk import BatchPredictor, InputError
from sdk.batch_predictor import _models
from tests.support.paths import ROOT

DIGITS = (load_digits().images[:20] * 15.9).astype(np.uint8)
NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("digits")
    for number, pixels in enumerate(DIGITS):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def iris() -> pd.DataFrame:
    return pd.DataFrame(load_iris().data, columns=list(NAMES))


def test_pictures_of_every_form_give_the_labels_of_predict(files: list[str]) -> None:
    expected = sdk.load("gridnet-digits").predict(list(DIGITS))
    predictor = BatchPredictor("gridnet-digits")
    contents = [Path(file).read_bytes() for file in files]
    forms: dict[str, Any] = {
        "image": DIGITS,
        "image ": np.array([None, *DIGITS], dtype=object)[1:],
        "bytes": np.array(contents, dtype=object),
        "content": contents,
        "path": np.array(files),
        "img": [{"bytes": content, "path": None} for content in contents],
        "picture": [{"bytes": None, "path": file} for file in files],
        "anything": DIGITS[:, None],
    }
    for name, column in forms.items():
        found = predictor({name: column})
        assert list(found) == ["label", "probability", "error"]
        assert found["label"].tolist() == expected
        assert set(found["error"]) == {""}
        assert found["probability"].min() > 0.1
        frame = predictor(pd.DataFrame({name: list(column)}))
        assert frame["label"].tolist() == expected
        assert frame["error"].isna().all()


def test_a_bad_row_gets_its_reason_and_the_others_their_labels(files: list[str]) -> None:
    paths = [*files[:2], "missing.png", files[2]]
    found = BatchPredictor("gridnet-digits", top_k=2)({"path": np.array(paths), "id": np.arange(4)})
    assert list(found) == ["id", "label", "probability", "label_2", "probability_2", "error"]
    assert found["error"].tolist() == ["", "", "no such file: 'missing.png'", ""]
    assert found["label"].tolist()[2] == found["label_2"].tolist()[2] == ""
    assert np.isnan([found["probability"][2], found["probability_2"][2]]).all()
    labels = sdk.load("gridnet-digits").predict([*files[:3]])
    assert [*found["label"][:2], found["label"][3]] == labels
    for bad in (None, b"", np.zeros((3, 3), np.uint8), np.full((8, 8), np.nan), {"bytes": None}):
        frame = BatchPredictor("gridnet-digits", "x")(pd.DataFrame({"x": [DIGITS[0], bad]}))
        assert frame["label"].tolist()[0] == labels[0]
        assert frame[["label", "error"]].isna().values.tolist() == [[False, True], [True, False]]
        assert isinstance(frame["error"][1], str)
    with pytest.raises(InputError, match="input 2: no such file"):
        BatchPredictor("gridnet-digits", errors="raise")({"path": paths})


def test_rows_of_tables_are_found_by_name_and_keep_their_other_columns() -> None:
    frame = iris()
    expected = sdk.load("nca-iris").predict(frame)
    shuffled = frame[list(reversed(NAMES))].assign(id=range(150))
    predictor = BatchPredictor("nca-iris", prefix="predicted_", keep=["id"])
    found = predictor(shuffled)
    assert list(found) == ["id", "predicted_label", "predicted_probability", "predicted_error"]
    assert found["predicted_label"].tolist() == expected
    columns = predictor({name: shuffled[name].to_numpy() for name in shuffled})
    assert columns["predicted_label"].tolist() == expected
    assert list(BatchPredictor("nca-iris")(frame)) == [*NAMES, "label", "probability", "error"]
    broken = frame.astype(object)[:3]
    broken.iloc[1, 2] = "long"
    found = BatchPredictor("nca-iris", keep=())(broken)
    assert found["label"].dropna().tolist() == [expected[0], expected[2]]
    assert found["error"].tolist()[1].startswith("column 'petal length (cm)': found 'long'")
    assert found.index.tolist() == broken.index.tolist()


def test_one_row_and_no_row_have_the_columns_of_many() -> None:
    predictor = BatchPredictor("nca-iris", keep=())
    many = predictor(iris())
    for count in (1, 0):
        few = predictor(iris()[:count])
        assert list(few) == list(many)
        assert len(few) == count
        columns = predictor({name: iris()[name].to_numpy()[:count] for name in NAMES})
        assert [(c.dtype.kind, len(c)) for c in columns.values()] == [("U", count), ("f", count), ("U", count)]
    assert BatchPredictor("gridnet-digits")({"image": DIGITS[:1]})["label"].shape == (1,)
    assert BatchPredictor("gridnet-digits")({"image": DIGITS[:0]})["label"].shape == (0,)


def test_an_iterator_of_frames_is_answered_frame_by_frame_as_spark_asks() -> None:
    """Spark calls the function of mapInPandas with such an iterator; there is no Spark here."""
    taken: list[int] = []

    def frames() -> Iterator[pd.DataFrame]:
        for first in range(0, 150, 50):
            taken.append(first)
            yield iris()[first : first + 50]

    answered = BatchPredictor("nca-iris", keep=())(frames())
    assert taken == []
    assert len(next(answered)) == 50
    assert taken == [0]
    rest = pd.concat(answered)
    assert rest["label"].tolist() == sdk.load("nca-iris").predict(iris())[50:]
    assert BatchPredictor("nca-iris").schema == "label string, probability double, error string"


def test_a_predictor_is_pickled_by_name_and_loads_once_per_process(tmp_path: Path, monkeypatch: Any) -> None:
    loads: list[str] = []
    real = sdk.batch_predictor.load  # type: ignore[attr-defined]
    monkeypatch.setattr("sdk.batch_predictor.load", lambda name, **o: loads.append(name) or real(name, **o))
    _models.clear()
    content = pickle.dumps(BatchPredictor("gridnet-digits"))
    assert len(content) < 1000
    assert loads == []
    for _ in range(3):
        assert len(pickle.loads(content)({"image": DIGITS})["label"]) == 20
    assert loads == ["gridnet-digits"]
    BatchPredictor("gridnet-digits", threads=1)({"image": DIGITS})
    assert len(loads) == 2
    used = BatchPredictor("gridnet-digits")
    used({"image": DIGITS})
    assert len(pickle.dumps(used)) == len(content)


def test_a_folder_is_meant_by_its_place_wherever_the_pickle_goes(tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(ROOT / "exports" / "gridnet-digits", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(BatchPredictor("mine"))
    monkeypatch.chdir(ROOT)
    assert pickle.loads(content)({"image": DIGITS})["label"].shape == (20,)


@pytest.mark.parametrize("threads", [1, 2])
def test_processes_that_are_spawned_or_forked_answer_alike(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    predictor = BatchPredictor("gridnet-digits", threads=threads)
    expected = predictor({"image": DIGITS})
    parts = [{"image": DIGITS[:10]}, {"image": DIGITS[10:]}]
    for method in ("spawn", "fork"):
        if method not in multiprocessing.get_all_start_methods():
            continue
        with multiprocessing.get_context(method).Pool(1) as pool:
            found = pool.map_async(predictor, parts).get(timeout=60)
        np.testing.assert_array_equal(np.concatenate([part["label"] for part in found]), expected["label"])


@pytest.mark.parametrize(
    ("make", "batch", "message"),
    [
        (lambda: BatchPredictor(sdk.load("nca-iris")), None, "model: found .*allowed a name"),  # type: ignore[arg-type]
        (lambda: BatchPredictor("nca-iris", top_k=0), None, "top_k"),
        (lambda: BatchPredictor("nca-iris", keep="id"), None, "keep: found 'id', allowed a list"),
        (lambda: BatchPredictor("nca-iris", keep=5), None, "keep: found 5, allowed a list"),  # type: ignore[arg-type]
        (lambda: BatchPredictor("nca-iris", prefix=5), None, "prefix: found 5, allowed a"),  # type: ignore[arg-type]
        (lambda: BatchPredictor("nca-iris", keep=["x"]), iris().set_axis(range(4), axis=1), "keep: .*columns 0, 1, 2"),
        (lambda: BatchPredictor("gridnet-digits"), {"image": "a.png"}, "column 'image': found str 'a.png', allowed a"),
        (lambda: BatchPredictor("gridnet-digits"), {"image": DIGITS, "id": [1]}, "found columns of the lengths 1, 20"),
        (lambda: BatchPredictor("gridnet-digits"), pd.DataFrame([["a", "b"]], columns=["path"] * 2), "'path' more th"),
        (lambda: BatchPredictor("nca-iris", errors="skip"), None, "errors: found 'skip'"),  # type: ignore[arg-type]
        (lambda: BatchPredictor("nca-iris", "x"), {"x": [1]}, "column: found 'x', allowed None"),
        (lambda: BatchPredictor("nca-iris"), {"x": [1]}, "found no column"),
        (lambda: BatchPredictor("gridnet-digits"), {"x": [1], "y": [1]}, "the columns x, y, and none .*; set col"),
        (lambda: BatchPredictor("gridnet-digits", "z"), {"x": [1]}, "found the columns x, allowed one named 'z'"),
        (lambda: BatchPredictor("gridnet-digits"), {"image": DIGITS, "label": DIGITS}, "a column 'label'.*prefix="),
        (lambda: BatchPredictor("gridnet-digits", keep=["id"]), {"image": DIGITS}, "keep: found 'id', allowed"),
        (lambda: BatchPredictor("gridnet-digits"), DIGITS, "batch: found ndarray"),
        (lambda: BatchPredictor("gridnet-digits"), "a.png", "batch: found str 'a.png'"),
    ],
)  # fmt: skip
def test_what_a_predictor_cannot_take_is_named(make: Any, batch: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()(batch)


def test_a_column_without_a_name_is_found(files: list[str]) -> None:
    expected = sdk.load("gridnet-digits").predict(files)
    assert BatchPredictor("gridnet-digits")(pd.DataFrame(files))["label"].tolist() == expected
    assert BatchPredictor("gridnet-digits", 1)({0: files, 1: DIGITS})["label"].tolist() == expected  # type: ignore[arg-type]


def test_a_model_that_was_replaced_is_loaded_again(tmp_path: Path) -> None:
    for name in ("gridnet-digits", "normnet-digits"):
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        shutil.copytree(ROOT / "exports" / name, tmp_path / "mine")
        predictor = BatchPredictor(tmp_path / "mine")
        assert predictor.model.name == name
        assert predictor.model is BatchPredictor(tmp_path / "mine").model


def test_an_unknown_model_is_an_error_of_the_first_batch() -> None:
    predictor = BatchPredictor("gridnet-digitz")
    assert repr(predictor) == "<BatchPredictor of gridnet-digitz>"
    with pytest.raises(sdk.LoadError, match="gridnet-digits"):
        predictor({"image": DIGITS})


RAY = """
import sys
import numpy as np, ray, sdk
folder, *files = sys.argv[1:]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, _temp_dir=folder)
images = np.stack([np.asarray(__import__("PIL.Image").Image.open(file)) for file in files])
rows = [{"id": number, "image": image} for number, image in enumerate(images)]
predictor = sdk.BatchPredictor("gridnet-digits")
expected = predictor({"image": images})["label"].tolist()

def labels(dataset):
    return [row["label"] for row in sorted(dataset.take_all(), key=lambda row: row["id"])]

tasks = ray.data.from_items(rows).map_batches(predictor, batch_size=7)
assert labels(tasks) == expected
actors = ray.data.from_items(rows).map_batches(
    sdk.BatchPredictor, fn_constructor_args=("gridnet-digits",), batch_size=7,
    compute=ray.data.ActorPoolStrategy(size=1),
)
assert labels(actors) == expected
paths = [{"id": number, "path": file} for number, file in enumerate([*files, "missing.png"])]
found = ray.data.from_items(paths).map_batches(predictor, batch_size=4).take_all()
assert {row["id"]: row["error"] for row in found if row["error"]} == {len(files): "no such file: 'missing.png'"}
encoded = ray.data.read_binary_files(files, include_paths=True).map_batches(predictor, batch_size=5)
assert sorted(row["label"] for row in encoded.take_all()) == sorted(expected)
assert set(encoded.columns()) == {"path", "label", "probability", "error"}
frames = ray.data.from_items(paths).map_batches(predictor, batch_format="pandas", batch_size=4)
assert labels(frames)[:-1] == expected
print("ray", ray.__version__, "agrees")
"""


def test_ray_data_answers_as_one_process_does(files: list[str]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cellzoo[ray]'")
    folder = tempfile.mkdtemp(prefix="ray")  # short: it holds sockets, whose paths have a limit
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", RAY, folder, *files], env=environment, capture_output=True, text=True, timeout=300
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].endswith("agrees")
