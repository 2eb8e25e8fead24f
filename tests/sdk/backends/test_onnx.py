from __future__ import annotations

import os
import subprocess
import sys
import time
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
ONNXRUNTIME = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])


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


def test_onnx_agrees_with_torch(artifact: Path) -> None:
    model, reference = sdk.load(artifact, backend="onnx"), sdk.load(artifact, backend="torch")
    assert model.backend == "onnx"
    for count in (0, 1, 7, 100):
        np.testing.assert_allclose(model.logits(images(count)), reference.logits(images(count)), atol=1e-5)
        assert model.predict(images(count)) == reference.predict(images(count))
    assert model.logits(images(2)).dtype == np.float32
    assert repr(model).endswith("onnx backend>")


def test_the_onnx_backend_has_no_module(artifact: Path) -> None:
    with pytest.raises(LoadError, match="the onnx backend has no module; load tiny with backend='torch'"):
        _ = sdk.load(artifact, backend="onnx").module


def test_the_callers_threads_may_share_a_model(artifact: Path) -> None:
    model = sdk.load(artifact, backend="onnx", threads=1)
    expected = [model.logits(image) for image in images(32)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model.logits, images(32)))
    np.testing.assert_array_equal(found, expected)


def test_predicting_imports_neither_torch_nor_the_training_side(artifact: Path) -> None:
    code = (
        "import sys, numpy as np, sdk\n"
        f"sdk.load({str(artifact)!r}, backend='onnx').predict(np.zeros((4, 4), np.uint8))\n"
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


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two", 1025, 2**31, 2**40])
def test_a_number_of_threads_out_of_range_is_refused(artifact: Path, threads: Any) -> None:
    with pytest.raises(LoadError, match=r"threads: found .*, allowed 1 to 1024"):
        sdk.load(artifact, threads=threads)


def test_the_number_of_threads_is_passed_to_the_session(artifact: Path) -> None:
    for threads in (1, 2):
        session = sdk.load(artifact, backend="onnx", threads=threads)._runner.session  # type: ignore[attr-defined]
        assert session.get_session_options().intra_op_num_threads == threads


def test_an_option_of_another_backend_is_refused(artifact: Path) -> None:
    with pytest.raises(
        LoadError, match="takes providers, threads and timeout, not device; device is for backend='torch'"
    ):
        sdk.load(artifact, device="cpu")
    with pytest.raises(
        LoadError, match="torch backend takes device, not threads; threads is for backend='native' or 'onnx'"
    ):
        sdk.load(artifact, backend="torch", threads=2)


def test_a_damaged_file_is_refused_by_its_hash(artifact: Path) -> None:
    content = bytearray((artifact / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (artifact / FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx was altered or damaged"):
        sdk.load(artifact, backend="onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\x01", b"\x0f" * 9, b"\x08" + b"\xff" * 20])
def test_a_file_that_is_not_onnx_is_refused(artifact: Path, reseal: Reseal, content: bytes) -> None:
    reseal(artifact, FILE, content)
    with pytest.raises(ArtifactError, match=r"model\.onnx: ") as caught:
        sdk.load(artifact, backend="onnx")
    assert "\n" not in str(caught.value)


def test_weights_in_other_files_are_refused(artifact: Path, tmp_path: Path, reseal: Reseal) -> None:
    model = onnx.load(artifact / FILE)
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    reseal(artifact, FILE, (tmp_path / "split.onnx").read_bytes())
    with pytest.raises(ArtifactError, match="its weights are in other files, which are never read"):
        sdk.load(artifact, backend="onnx")


@pytest.mark.skipif(ONNXRUNTIME < (1, 24), reason="looks beside the caller, whatever folder it is given")
def test_weights_in_other_files_are_not_found_even_without_our_check(
    change: Callable[..., None], artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(model: onnx.ModelProto) -> None:
        graph_of([node("Flatten", ["input"], "flat"), node("MatMul", ["flat", "w"], "logits")])(model)
        outside = model.graph.initializer.add(name="w", data_type=1, dims=[16, 3])
        outside.data_location = onnx.TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=".env")

    (tmp_path / ".env").write_bytes(b"SECRET=1" * 24)
    monkeypatch.chdir(tmp_path)
    change(edit)
    monkeypatch.setattr("sdk.backends.onnx.has_external_data", lambda content: False)
    with pytest.raises(ArtifactError, match=r"model\.onnx: not a valid ONNX file: .*External data path does not exist"):
        sdk.load(artifact, backend="onnx")
    monkeypatch.setattr("sdk.backends.onnx._SETTINGS", {})
    assert sdk.load(artifact, backend="onnx").logits(images(1)).shape == (3,)  # the leak that both guards prevent


def test_a_file_in_onnxruntimes_own_format_is_refused(artifact: Path, tmp_path: Path, reseal: Reseal) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(artifact / FILE), options, providers=["CPUExecutionProvider"])
    reseal(artifact, FILE, (tmp_path / "model.ort").read_bytes())
    for _ in range(2):
        with pytest.raises(ArtifactError, match=r"model\.onnx: not a valid ONNX file: "):
            sdk.load(artifact, backend="onnx")


def graph_of(nodes: list[onnx.NodeProto]) -> Callable[[onnx.ModelProto], None]:
    """Replace the nodes of a model, keeping its input, its output and its properties."""

    def edit(model: onnx.ModelProto) -> None:
        for field in ("node", "initializer", "value_info"):
            model.graph.ClearField(field)
        model.graph.node.extend(nodes)

    return edit


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


def unforeseen(values: list[int], name: str) -> list[onnx.NodeProto]:
    """Compute a vector of numbers that only a run of the graph can know."""
    zeros, wanted = (
        node("Constant", [], f"{name}_{part}", value=onnx.helper.make_tensor(name, 7, [len(numbers)], numbers))
        for part, numbers in (("zeros", [0] * len(values)), ("wanted", values))
    )
    return [
        zeros,
        wanted,
        node("Size", ["input"], f"{name}_size"),
        node("Mul", [f"{name}_size", f"{name}_zeros"], f"{name}_nothing"),
        node("Add", [f"{name}_nothing", f"{name}_wanted"], name),
    ]


def zeros(shape: list[int]) -> Callable[[onnx.ModelProto], None]:
    """Let the graph answer with zeros of a shape, whatever its inputs."""
    return graph_of([*unforeseen(shape, "extent"), node("ConstantOfShape", ["extent"], "logits")])


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_another_number_of_rows_than_inputs_is_an_error(change: Callable[..., None], artifact: Path, rows: int) -> None:
    change(zeros([rows, 3]))
    model = sdk.load(artifact, backend="onnx")
    with pytest.raises(
        ArtifactError, match=rf"output logits is float32 \[{rows}, 3\] for 4 inputs, it must be float32"
    ):
        model.predict(images(4))


@pytest.mark.parametrize("shape", [[3], [1, 1, 3], [], [4, 2]])
def test_another_shape_of_the_logits_is_an_error(change: Callable[..., None], artifact: Path, shape: list[int]) -> None:
    change(zeros(shape))
    with pytest.raises(ArtifactError, match=r"model\.onnx: "):
        sdk.load(artifact, backend="onnx").predict(images(4))


def test_a_graph_that_fails_raises_our_error_without_output(
    change: Callable[..., None], artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change(graph_of([*unforeseen([5, 3], "wrong"), node("Reshape", ["input", "wrong"], "logits")]))
    model = sdk.load(artifact, backend="onnx")
    with pytest.raises(ArtifactError, match=r"model\.onnx: its graph fails for 4 inputs: ") as caught:
        model.predict(images(4))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_wants_too_much_memory_raises_our_error(change: Callable[..., None], artifact: Path) -> None:
    change(zeros([2**40, 2**20]))
    with pytest.raises(ArtifactError, match=r"model\.onnx: "):
        sdk.load(artifact, backend="onnx").predict(images(4))


def endless() -> list[onnx.NodeProto]:
    value = onnx.helper.make_tensor_value_info
    floats, flag = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    body = onnx.helper.make_graph(
        [node("Identity", ["going"], "on"), node("Identity", ["state"], "same")],
        "body",
        [value("turn", onnx.TensorProto.INT64, []), value("going", flag, []), value("state", floats, None)],
        [value("on", flag, []), value("same", floats, None)],
    )
    true = onnx.helper.make_tensor("true", flag, [], [True])
    return [node("Constant", [], "true", value=true), node("Loop", ["", "true", "input"], "logits", body=body)]


def test_a_graph_that_never_ends_is_stopped_by_a_timeout(change: Callable[..., None], artifact: Path) -> None:
    change(graph_of(endless()))
    model = sdk.load(artifact, timeout=0.3)
    started = time.monotonic()
    with pytest.raises(LoadError, match=r"4 inputs took longer than timeout=0\.3 s and were stopped; give a longer"):
        model.predict(images(4))
    assert time.monotonic() - started < 60


def test_a_timeout_leaves_a_fast_model_alone(artifact: Path) -> None:
    model = sdk.load(artifact, timeout=60)
    np.testing.assert_array_equal(model.logits(images(9)), sdk.load(artifact, backend="onnx").logits(images(9)))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1", 10**30])
def test_a_timeout_that_is_no_duration_is_refused(artifact: Path, timeout: Any) -> None:
    with pytest.raises(LoadError, match="timeout must be a positive number of seconds, found "):
        sdk.load(artifact, timeout=timeout)


@pytest.mark.parametrize("module", ["sdk", "zoo.families.nca.onnx"])
def test_onnxruntime_leaves_no_files_in_the_users_home(artifact: Path, tmp_path: Path, module: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = f"import {module}, sdk; sdk.load({str(artifact)!r}, backend='onnx').predict([[[0.0] * 4] * 4])"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    root = Path(sdk.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, env={**clean, "HOME": str(home)})
    found = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert [path for path in found if "onnxruntime" in path or "Microsoft" in path] == []


@pytest.mark.parametrize("key", ["name", "family", "labels", "input", "weights_sha256"])
def test_properties_of_another_model_are_refused(change: Callable[..., None], artifact: Path, key: str) -> None:
    def edit(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == key)
        entry.value = "another"

    change(edit)
    with pytest.raises(ArtifactError, match=rf"model\.onnx: its metadata has {key} 'another', config\.json says "):
        sdk.load(artifact, backend="onnx")


def test_a_file_without_properties_is_refused(change: Callable[..., None], artifact: Path) -> None:
    change(lambda model: model.ClearField("metadata_props"))
    with pytest.raises(ArtifactError, match=r"its metadata has name None, config\.json says 'tiny'"):
        sdk.load(artifact, backend="onnx")


def test_other_inputs_and_outputs_than_the_models_are_refused(artifact: Path, reseal: Reseal) -> None:
    model = sdk.load(artifact, backend="torch")
    write_onnx(artifact / FILE, model.module, model.config, preprocessing=True, overwrite=True)
    reseal(artifact, FILE, (artifact / FILE).read_bytes())
    with pytest.raises(ArtifactError, match=r"its input is image tensor\(uint8\) .*, the model's is input tensor"):
        sdk.load(artifact, backend="onnx")


def test_labels_that_do_not_match_the_output_are_refused(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, labels=["zero", "one"])
    with pytest.raises(ArtifactError, match=r"its output is logits .*, the model's is logits .*'batch', 2\]"):
        sdk.load(artifact, backend="onnx")


def test_onnx_is_refused_when_the_config_lists_no_onnx_file(artifact: Path, edit_config: Callable[..., None]) -> None:
    files = {name: vars(record) for name, record in read_artifact(artifact).config.files.items() if name != FILE}
    edit_config(artifact, files=files)
    with pytest.raises(
        LoadError, match=r"backend 'onnx' cannot run tiny, which has no model\.onnx; available: auto, nat"
    ):
        sdk.load(artifact, backend="onnx")
