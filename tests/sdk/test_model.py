from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save

import sdk
from sdk import ArtifactError, InputError, LoadError
from sdk import catalog as catalogue
from tests.support.artifacts import images

Reseal = Callable[[Path, str, bytes], None]
WEIGHTS = "model.safetensors"


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the bundled models."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "exports_folder", lambda: folder)
    return folder


# Predicting


def test_one_input_gives_one_answer_and_a_batch_gives_a_list(artifact: Path) -> None:
    model = sdk.load(artifact)
    one, batch = images(1)[0], images(5)
    assert model.predict(one) in model.labels
    assert model.predict([one]) == [model.predict(one)]
    assert len(model.predict(batch)) == 5
    assert model.logits(one).shape == model.predict_proba(one).shape == (3,)
    assert model.logits(batch).shape == model.predict_proba(batch).shape == (5, 3)
    assert model.logits(batch).dtype == model.predict_proba(batch).dtype == np.float32


def test_probabilities_are_the_softmax_of_the_logits_and_labels_their_largest(artifact: Path) -> None:
    model = sdk.load(artifact)
    logits, probabilities = model.logits(images(9)), model.predict_proba(images(9))
    np.testing.assert_allclose(probabilities, torch.softmax(torch.from_numpy(logits), -1), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert model.predict(images(9)) == [model.labels[i] for i in logits.argmax(-1)]


def test_probabilities_of_huge_logits_do_not_overflow(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sdk.load(artifact)
    monkeypatch.setattr(model, "logits", lambda *_: np.array([1e30, 0, -1e30], np.float32))
    np.testing.assert_array_equal(model.predict_proba(images(1)), [1, 0, 0])


def test_the_batch_size_bounds_memory_and_changes_nothing_else(artifact: Path) -> None:
    model = sdk.load(artifact)
    expected = model.logits(images(7))
    for size in (1, 3, 100):
        np.testing.assert_allclose(model.logits(images(7), batch_size=size), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.logits(list(images(7)), size), expected, rtol=1e-5, atol=1e-6)
    for size in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=f"batch_size must be a positive integer, found {size}"):
            model.predict(images(1), batch_size=size)  # type: ignore[arg-type]


def test_an_empty_batch_gives_empty_answers(artifact: Path) -> None:
    model = sdk.load(artifact)
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == model.logits(images(0)).shape == (0, 3)


def test_files_pictures_and_tensors_are_predicted_like_arrays(artifact: Path, tmp_path: Path) -> None:
    model = sdk.load(artifact)
    pixels = images(1)[0]
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    for form in (tmp_path / "digit.png", Image.fromarray(pixels), torch.from_numpy(pixels)):
        np.testing.assert_array_equal(model.logits(form), model.logits(pixels))


def test_inputs_of_the_wrong_shape_are_refused(artifact: Path) -> None:
    with pytest.raises(InputError, match=r"wrong shape \[5, 4\]"):
        sdk.load(artifact).predict(np.zeros((5, 4), np.uint8))


def test_threads_get_the_answers_they_would_get_alone(artifact: Path) -> None:
    model = sdk.load(artifact)
    expected = [model.logits(image) for image in images(16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.logits, images(16)))
    np.testing.assert_array_equal(found, expected)


def test_a_model_says_what_it_is(artifact: Path) -> None:
    model = sdk.load(artifact)
    assert (model.name, model.backend, model.labels) == ("tiny", "torch", ("zero", "one", "two"))
    assert model.metrics == {"test": {"accuracy": 0.5}}
    assert model.input_spec.shape == (1, 4, 4)
    assert repr(model) == f"<tiny: gridnet, {model.config.parameters} parameters, torch backend>"


def test_the_module_is_the_torch_module_in_eval_mode(artifact: Path) -> None:
    model = sdk.load(artifact, backend="torch")
    assert isinstance(model.module, torch.nn.Module)
    assert not model.module.training
    assert sum(p.numel() for p in model.module.parameters()) == model.config.parameters


def test_loading_leaves_the_random_state_alone(artifact: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    sdk.load(artifact)
    assert torch.equal(torch.rand(4), expected)


def test_weights_that_overflow_are_reported_instead_of_a_label(artifact: Path, reseal: Reseal) -> None:
    tensors = load((artifact / WEIGHTS).read_bytes())
    tensors["readout.weight"][:] = 3e38
    reseal(artifact, WEIGHTS, save(tensors))
    with pytest.raises(sdk.CellzooError, match="tiny gives NaN or infinite logits"):
        sdk.load(artifact).predict(images(2))


# Names and paths


def test_a_bundled_model_loads_by_name_from_any_working_directory(
    exports: Path, make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact("tiny", exports)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sdk.load("tiny").name == "tiny"


@pytest.mark.parametrize("form", ["tiny", "./tiny", "{folder}", "{folder}/"])
def test_a_folder_loads_by_name_and_by_path(
    exports: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(artifact.parent)
    assert sdk.load(form.format(folder=artifact)).name == "tiny"


def test_a_name_that_means_two_models_names_both_ways_to_say_it(
    exports: Path, make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = make_artifact("tiny", exports)
    make_artifact("tiny", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadError, match="both a bundled model and a folder") as caught:
        sdk.load("tiny")
    assert "'./tiny'" in str(caught.value)
    assert f"'{bundled}'" in str(caught.value)
    assert sdk.load("./tiny").name == sdk.load(str(bundled)).name == "tiny"
    monkeypatch.chdir(exports)
    assert sdk.load("tiny").name == "tiny"  # the folder here is the bundled one


def test_an_unknown_name_lists_the_bundled_models_and_says_how_to_train(
    exports: Path, make_artifact: Callable[..., Path]
) -> None:
    with pytest.raises(LoadError, match="no model named 'gone'; bundled models: none"):
        sdk.load("gone")
    make_artifact("a-net", exports)
    make_artifact("b-net", exports)
    with pytest.raises(LoadError, match=r"bundled models: a-net, b-net.*`zoo train gone`"):
        sdk.load("gone")


@pytest.mark.parametrize("name", ["./gone", "runs/exports/gone", "gone/"])
def test_a_path_to_nothing_says_so(exports: Path, name: str) -> None:
    with pytest.raises(LoadError, match=f"no model at '{name}': there is no such folder"):
        sdk.load(name)


def test_what_is_neither_name_nor_path_is_refused(exports: Path) -> None:
    with pytest.raises(LoadError, match="given by its name or folder, found 3"):
        sdk.load(3)  # type: ignore[arg-type]


# Backends and devices


def test_a_backend_the_artifact_has_no_file_for_names_those_it_has(artifact: Path) -> None:
    for backend in ("onnx", "tpu"):
        with pytest.raises(LoadError, match=f"backend '{backend}' cannot run tiny; available: auto, torch"):
            sdk.load(artifact, backend=backend)


def test_an_artifact_without_weights_has_no_backend(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, files={})
    with pytest.raises(LoadError, match="backend 'auto' cannot run tiny; available: none"):
        sdk.load(artifact)


@pytest.mark.parametrize("device", ["gpu9", "xpu" if not torch.xpu.is_available() else "cuda:99"])
def test_a_device_that_is_not_there_is_refused(artifact: Path, device: str) -> None:
    with pytest.raises(LoadError, match=f"device '{device}' cannot be used here: "):
        sdk.load(artifact, device=device)
    assert sdk.load(artifact, device="cpu").predict(images(1)[0])


def test_a_device_that_there_is_not_is_refused_with_those_that_there_are(artifact: Path) -> None:
    with pytest.raises(LoadError, match=r"device 'tpu' cannot be used here: allowed are cpu, cuda, cuda:N and mps$"):
        sdk.load(artifact, backend="torch", device="tpu")


# Weights that do not fit


def change_weights(artifact: Path, reseal: Reseal, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors = load((artifact / WEIGHTS).read_bytes())
    change(tensors)
    reseal(artifact, WEIGHTS, save(tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bias"), "the model needs tensors that are missing: bias"),
        (lambda t: t.update(extra=np.zeros(1)), "tensors the model does not have: extra"),
        (lambda t: t.update(grid_init=np.zeros((4, 4, 5), np.float32)),
         r"tensor grid_init is float32 \[4, 4, 5\], the model needs float32 \[4, 4, 4\]"),
        (lambda t: t.update(grid_init=t["grid_init"].astype(np.float64)),
         r"tensor grid_init is float64 \[4, 4, 4\], the model needs float32"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(
    artifact: Path, reseal: Reseal, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    change_weights(artifact, reseal, change)
    with pytest.raises(ArtifactError, match=message):
        sdk.load(artifact)


def header(tensors: object, data: bytes = b"") -> bytes:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        header(b"{broken"),
        header({"bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"bias": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}, b"\0" * 8),
        header({"bias": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}),
        header({"bias": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8),
        header({"bias": {"dtype": "pickle", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    ],
)
def test_a_weights_header_that_lies_is_refused(artifact: Path, reseal: Reseal, content: bytes) -> None:
    reseal(artifact, WEIGHTS, content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not a sound safetensors file"):
        sdk.load(artifact)


def test_damaged_weights_are_refused_before_they_are_read(artifact: Path) -> None:
    (artifact / WEIGHTS).write_bytes(b"\0" * (artifact / WEIGHTS).stat().st_size)
    with pytest.raises(ArtifactError, match=r"model\.safetensors was altered or damaged"):
        sdk.load(artifact)


# Configs that describe no model


def model_section(artifact: Path, **changes: Any) -> dict[str, Any]:
    return {**json.loads((artifact / "config.json").read_text())["model"], **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 3}, r"block 3 must divide every axis of the grid \[4, 4, 4\]"),
        ({"wings": 2}, r"config\.json: model\.wings: Extra inputs are not permitted, found 2"),
        ({"outer_steps": "many"}, r"model\.outer_steps: .*found 'many'"),
        ({"grid": [2, 2, 2]}, "an image of 1x4x4 .* does not fit the grid"),
        ({"grid": [2**40, 2**40, 2**40]}, "the model cannot be built: it is far larger than its weights"),
        ({"grid": [2**10, 2**10, 2**10]}, "the model cannot be built: it is far larger than its weights"),
        ({"grid": [8, 4, 4]}, r"tensor \w+ is float32 \[.*\], the model needs float32"),
    ],
)
def test_a_model_section_that_describes_no_such_model_is_refused(
    artifact: Path, edit_config: Callable[..., None], changes: dict[str, Any], message: str
) -> None:
    edit_config(artifact, model=model_section(artifact, **changes))
    with pytest.raises(ArtifactError, match=message) as caught:
        sdk.load(artifact)
    assert "\n" not in str(caught.value)


def test_an_unknown_family_is_named_with_those_that_exist(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, family="hopfield")
    with pytest.raises(ArtifactError, match=r"unknown family 'hopfield'; known families: .*gridnet"):
        sdk.load(artifact)


def test_labels_that_do_not_match_the_weights_are_refused(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, labels=["zero", "one"])
    with pytest.raises(ArtifactError, match=r"tensor readout\.\w+ is .*the model needs"):
        sdk.load(artifact)


# Listing


def test_the_list_holds_every_bundled_model_by_name(exports: Path, make_artifact: Callable[..., Path]) -> None:
    for name in ("b-net", "a-net"):
        make_artifact(name, exports)
    (exports / "README.md").touch()
    (exports / ".a-net.1234.tmp").mkdir()
    first, second = sdk.list_models()
    assert (first.name, second.name) == ("a-net", "b-net")
    assert first.family == "gridnet"
    assert first.path == exports / "a-net"
    assert first.backends == ("torch",)
    assert first.size_bytes == sum(file.stat().st_size for file in first.path.iterdir())
    assert first.parameters == sdk.load("a-net").config.parameters
    assert first.metrics == {"test": {"accuracy": 0.5}}


def test_the_list_can_be_of_one_family(exports: Path, make_artifact: Callable[..., Path]) -> None:
    make_artifact("tiny", exports)
    assert [info.name for info in sdk.list_models(family="gridnet")] == ["tiny"]
    assert sdk.list_models(family="cellnet") == []


def test_nothing_bundled_is_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "exports_folder", lambda: None)
    assert sdk.list_models() == []


@pytest.mark.parametrize("damage", ["config", "weights", "name", "empty"])
def test_a_damaged_bundled_model_is_named_not_left_out(
    exports: Path, make_artifact: Callable[..., Path], damage: str
) -> None:
    make_artifact("sound", exports)
    folder = make_artifact("tiny", exports)
    if damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "weights":
        (folder / WEIGHTS).unlink()
    elif damage == "name":
        shutil.rmtree(folder)
        shutil.copytree(exports / "sound", folder)
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(ArtifactError, match="tiny: "):
        sdk.list_models()


# What importing costs


def run(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(sdk.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_sdk_imports_no_torch_no_zoo_and_no_backend() -> None:
    heavy = ("torch", "zoo", "PIL", "onnxruntime", "safetensors", "huggingface_hub", "pydantic")
    result = run(f"import sys, sdk; sdk.list_models; print([m for m in {heavy} if m in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_arrays_are_prepared_without_importing_torch_or_pil() -> None:
    result = run(
        "import sys, numpy as np, sdk\n"
        "sdk.InputSpec('image', (1, 4, 4), (0.,), (1.,)).prepare(np.zeros((4, 4)))\n"
        "print([m for m in ('torch', 'PIL') if m in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_without_torch_the_error_says_what_to_install(artifact: Path) -> None:
    result = run(
        "import sys; sys.modules['torch'] = None\n"
        "import sdk\n"
        f"try: sdk.load({str(artifact)!r})\n"
        "except sdk.LoadError as error: print(error)"
    )
    assert "needs torch, which is not installed" in result.stdout, result.stderr
    assert "pip install 'cellzoo[train]'" in result.stdout
