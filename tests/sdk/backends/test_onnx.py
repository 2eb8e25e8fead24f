from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import sdk
from sdk import ArtifactError, LoadError
from sdk.artifact import read_artifact
from tests.support.artifacts import images
from zoo.artifacts.onnx import write_onnx

Reseal = Callable[[Path, str, bytes], None]
FILE = "model.onnx"


@pytest.fixture
def artifact(artifact: Path, reseal: Reseal) -> Path:
    """The small gridnet with its model.onnx."""
    model = sdk.load(artifact, backend="torch")
    write_onnx(artifact / FILE, model.module, model.config)
    reseal(artifact, FILE, (artifact / FILE).read_bytes())
    return artifact


@pytest.fixture
def change(artifact: Path, reseal: Reseal) -> Callable[[Callable[[onnx.ModelProto], Any]], None]:
    """Alter the file in an artifact and record its new hash."""

    def alter(edit: Callable[[onnx.ModelProto], Any]) -> None:
        model = onnx.load(artifact / FILE)
        edit(model)
        reseal(artifact, FILE, model.SerializeToString())

    return alter


def test_onnx_is_the_default_and_agrees_with_torch(artifact: Path) -> None:
    model, reference = sdk.load(artifact), sdk.load(artifact, backend="torch")
    assert model.backend == "onnx"
    for count in (0, 1, 7, 100):
        np.testing.assert_allclose(model.logits(images(count)), reference.logits(images(count)), atol=1e-5)
        assert model.predict(images(count)) == reference.predict(images(count))
    assert model.logits(images(2)).dtype == np.float32
    assert repr(model).endswith("onnx backend>")


def test_the_onnx_backend_has_no_module(artifact: Path) -> None:
    with pytest.raises(LoadError, match="the onnx backend has no module; load tiny with backend='torch'"):
        _ = sdk.load(artifact).module


def test_the_callers_threads_may_share_a_model(artifact: Path) -> None:
    model = sdk.load(artifact, threads=1)
    expected = [model.logits(image) for image in images(32)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model.logits, images(32)))
    np.testing.assert_array_equal(found, expected)


def test_predicting_imports_neither_torch_nor_the_training_side(artifact: Path) -> None:
    code = (
        "import sys, numpy as np, sdk\n"
        f"sdk.load({str(artifact)!r}).predict(np.zeros((4, 4), np.uint8))\n"
        "print([m for m in ('torch', 'zoo', 'onnx', 'PIL', 'pydantic', 'safetensors') if m in sys.modules])"
    )
    root = Path(sdk.__file__).parent.parent
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("providers", [["cpu"], ["CPU"], ["CPUExecutionProvider"], ("cpu",)])
def test_providers_have_short_names_and_those_of_onnxruntime(artifact: Path, providers: list[str]) -> None:
    model = sdk.load(artifact, providers=providers)
    assert model._runner.providers == ["CPUExecutionProvider"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("cuda", "CUDAExecutionProvider"),
        ("coreml", "CoreMLExecutionProvider"),
        ("directml", "DmlExecutionProvider"),
        ("quantum", "quantum"),
    ],
)
def test_an_unavailable_provider_is_refused_with_the_available_ones(artifact: Path, name: str, full: str) -> None:
    if full in onnxruntime.get_available_providers():
        pytest.skip(f"{full} is here")
    with pytest.raises(LoadError, match=f"provider '{name}' is not in this onnxruntime; it has: .*CPUExecution"):
        sdk.load(artifact, providers=[name, "cpu"])


def test_a_provider_that_does_not_start_is_refused(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    real = onnxruntime.InferenceSession

    def without_cuda(content: bytes, options: Any, providers: list[str]) -> Any:
        assert providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(LoadError, match="provider CUDAExecutionProvider did not start; its driver"):
        sdk.load(artifact, providers=["cuda", "cpu"])


@pytest.mark.parametrize("providers", ["cpu", [], [3], 7])
def test_providers_that_are_not_a_list_of_names_are_refused(artifact: Path, providers: Any) -> None:
    with pytest.raises(LoadError, match=r"providers must be a list of names such as \['cpu'\], found "):
        sdk.load(artifact, providers=providers)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two"])
def test_a_number_of_threads_that_is_not_a_positive_integer_is_refused(artifact: Path, threads: Any) -> None:
    with pytest.raises(LoadError, match="threads must be a positive integer, found "):
        sdk.load(artifact, threads=threads)


def test_the_number_of_threads_is_passed_to_the_session(artifact: Path) -> None:
    for threads in (1, 2):
        session = sdk.load(artifact, threads=threads)._runner.session  # type: ignore[attr-defined]
        assert session.get_session_options().intra_op_num_threads == threads


def test_an_option_of_another_backend_is_refused(artifact: Path) -> None:
    with pytest.raises(LoadError, match="takes providers and threads, not device; device is for backend='torch'"):
        sdk.load(artifact, device="cpu")
    with pytest.raises(LoadError, match="torch backend takes device, not threads; threads is for backend='onnx'"):
        sdk.load(artifact, backend="torch", threads=2)


def test_a_damaged_file_is_refused_by_its_hash(artifact: Path) -> None:
    content = bytearray((artifact / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (artifact / FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx was altered or damaged"):
        sdk.load(artifact)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\x01", b"\x0f" * 9, b"\x08" + b"\xff" * 20])
def test_a_file_that_is_not_onnx_is_refused(artifact: Path, reseal: Reseal, content: bytes) -> None:
    reseal(artifact, FILE, content)
    with pytest.raises(ArtifactError, match=r"model\.onnx: ") as caught:
        sdk.load(artifact)
    assert "\n" not in str(caught.value)


def test_weights_in_other_files_are_refused(artifact: Path, tmp_path: Path, reseal: Reseal) -> None:
    model = onnx.load(artifact / FILE)
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    reseal(artifact, FILE, (tmp_path / "split.onnx").read_bytes())
    with pytest.raises(ArtifactError, match="its weights are in other files, which are never read"):
        sdk.load(artifact)


@pytest.mark.parametrize("key", ["name", "family", "labels", "input", "weights_sha256"])
def test_properties_of_another_model_are_refused(change: Callable[..., None], artifact: Path, key: str) -> None:
    def edit(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == key)
        entry.value = "another"

    change(edit)
    with pytest.raises(ArtifactError, match=rf"model\.onnx: its metadata has {key} 'another', config\.json says "):
        sdk.load(artifact)


def test_a_file_without_properties_is_refused(change: Callable[..., None], artifact: Path) -> None:
    change(lambda model: model.ClearField("metadata_props"))
    with pytest.raises(ArtifactError, match=r"its metadata has name None, config\.json says 'tiny'"):
        sdk.load(artifact)


def test_other_inputs_and_outputs_than_the_models_are_refused(artifact: Path, reseal: Reseal) -> None:
    model = sdk.load(artifact, backend="torch")
    write_onnx(artifact / FILE, model.module, model.config, preprocessing=True)
    reseal(artifact, FILE, (artifact / FILE).read_bytes())
    with pytest.raises(ArtifactError, match=r"its input is image tensor\(uint8\) .*, the model's is input tensor"):
        sdk.load(artifact)


def test_labels_that_do_not_match_the_output_are_refused(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, labels=["zero", "one"])
    with pytest.raises(ArtifactError, match=r"its output is logits .*, the model's is logits .*'batch', 2\]"):
        sdk.load(artifact)


def test_torch_is_the_default_when_the_config_lists_no_onnx_file(
    artifact: Path, edit_config: Callable[..., None]
) -> None:
    files = {name: vars(record) for name, record in read_artifact(artifact).config.files.items() if name != FILE}
    edit_config(artifact, files=files)
    assert sdk.load(artifact).backend == "torch"
