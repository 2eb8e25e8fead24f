"""``zoo web --precision fp16``: half the bytes, the same labels, and float16 numbers read exactly by the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

import sdk
from sdk.artifact import hash_file
from sdk.catalog import bundled_models
from tests.support.command import fails, run
from tests.support.paths import ROOT
from zoo.utils.errors import ExportError
from zoo.web.precision import halve_model
from zoo.web.site import build_site

NAMES = ["gridnet-digits", "cellnet-digits", "snapshots-digits", "nca-iris"]


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's copies of four models, halved; their folders by name."""
    folder = tmp_path_factory.mktemp("models")
    for name in NAMES:
        shutil.copytree(bundled_models()[name], folder / name)
        halve_model(folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_halved_model_gives_the_same_labels_and_takes_about_half_the_bytes(halved: Path, name: str) -> None:
    model = sdk.load(name)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(100, *model.input_spec.shape)).astype(np.float32)
    labels = []
    for folder in (bundled_models()[name], halved / name):
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        labels.append(session.run(["logits"], {"input": inputs})[0].argmax(-1))
    assert (labels[0] == labels[1]).mean() >= 0.97  # noise lies nearer to the borders of classes than pictures do
    own, half = (path / name / "model.safetensors" for path in (bundled_models()[name].parent, halved))
    floats = sum(array.nbytes for array in load_file(own).values() if array.dtype == np.float32)
    assert own.stat().st_size - half.stat().st_size >= 0.45 * floats


def test_labels_of_a_hundred_test_pictures_are_equal(fake_runtime: Path, tmp_path: Path) -> None:
    full, half = (
        build_site(["gridnet-digits"], tmp_path / precision, runtime=fake_runtime, precision=precision)
        for precision in ("float32", "fp16")
    )
    entry = json.loads((half.folder / "models.json").read_text())["models"][0]["samples"]
    raw = np.fromfile(half.folder / entry["file"], np.float32).reshape(100, 1, 8, 8)
    inputs = sdk.load("gridnet-digits").input_spec.prepare(raw)[0]
    answers = [
        onnxruntime.InferenceSession(site.folder / "models" / "gridnet-digits" / "model.onnx").run(
            ["logits"], {"input": inputs}
        )[0]
        for site in (full, half)
    ]
    assert (answers[0].argmax(-1) == answers[1].argmax(-1)).all()
    assert half.size < full.size


def test_the_copy_is_sealed_again_and_still_a_model_of_its_own_weights(halved: Path) -> None:
    for name in NAMES:
        files = json.loads((halved / name / "config.json").read_text())["files"]
        for file in ("model.onnx", "model.safetensors"):
            assert files[file] == {
                "sha256": hash_file(halved / name / file),
                "size": (halved / name / file).stat().st_size,
            }
        properties = {p.key: p.value for p in onnx.load(halved / name / "model.onnx").metadata_props}
        assert properties["weights_sha256"] == files["model.safetensors"]["sha256"]


def test_the_page_reads_float16_as_the_same_numbers(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    numbers = np.array([0, -0.0, 1, -1.5, 65504, -65504, 6e-8, 6.1e-5, 0.333, 2.0**-14, 1e-7], np.float16)
    save_file({"w": numbers, "i": np.arange(3, dtype=np.int32), "f": np.float32([0.1])}, tmp_path / "m.safetensors")
    shutil.copytree(ROOT / "zoo" / "web" / "page" / "core", tmp_path / "core")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "read.js").write_text(
        'import { readFileSync } from "node:fs";\nimport { readSafetensors } from "./core/safetensors.js";\n'
        'const found = readSafetensors(new Uint8Array(readFileSync("m.safetensors")));\n'
        "console.log(JSON.stringify([...found].map(([name, {data}]) => "
        "[name, data.constructor.name, Array.from(data)])));\n"
    )
    found = json.loads(subprocess.run([node, "read.js"], cwd=tmp_path, capture_output=True, check=True).stdout)
    read = {name: (kind, values) for name, kind, values in found}
    assert read["w"] == ("Float32Array", numbers.astype(np.float64).tolist())
    assert read["i"] == ("Int32Array", [0, 1, 2])
    assert read["f"][1] == [float(np.float32(0.1))]


def test_weights_that_fp16_cannot_hold_are_refused(tmp_path: Path) -> None:
    shutil.copytree(bundled_models()["gridnet-digits"], tmp_path / "large")
    graph = onnx.load(tmp_path / "large" / "model.onnx")
    for tensor in graph.graph.initializer:
        if np.prod(tensor.dims) > 100 and tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1e9, tensor.name))
    onnx.save(graph, tmp_path / "large" / "model.onnx")
    with pytest.raises(ExportError, match="fp16 allows 65504 at most"):
        halve_model(tmp_path / "large")


def test_another_precision_is_refused_and_a_site_says_its_size(fake_runtime: Path, tmp_path: Path) -> None:
    assert "--precision" in fails(2, "web", "nca-iris", "--precision", "int8")
    found = run("web", "nca-iris", "--precision", "fp16", "--runtime", str(fake_runtime), "--out", str(tmp_path / "s"))
    assert found.exit_code == 0
    assert "MiB" in found.output
