"""The native backend: the bits of the torch backend, strict loading, threads, and the models that it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdk
from sdk import ArtifactError, InputSpec, LoadError
from sdk.backends import BACKENDS
from sdk.backends.native import gridnet, snapshots
from sdk.backends.native.network import NetworkBackend
from sdk.catalog import bundled_models
from sdk.errors import KernelsError
from sdk.kernels import compiled
from tests.support.artifacts import SPEC, artifact_arguments, images, write_tiny
from tests.support.paths import ROOT
from tests.support.snapshots import IMAGES, export
from zoo.artifacts.writer import write_artifact
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.families.snapshots.config import SnapshotsConfig

SHIPPED = [name for name in bundled_models() if name.startswith(("gridnet", "snapshots"))]
BATCHES = (0, 1, 7, 25, 64)
COLOUR = InputSpec("image", (3, 4, 6), (0.5,) * 3, (0.25,) * 3)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"gated": True},
    "normalised": {"normalize": True},
    "inner steps": {"inner_steps": 3},
    "normalised inner steps": {"inner_steps": 2, "normalize": True},
    "gated inner steps": {"inner_steps": 2, "gated": True},
    "outer residual": {"outer_residual": True},
    "gated outer residual with parameters per step": {"outer_residual": True, "gated": True, "separate_params": True},
    "parameters per step": {"separate_params": True},
    "normalised with parameters per step": {"separate_params": True, "normalize": True},
    "one step": {"outer_steps": 1},
    "one step with its own parameters": {"outer_steps": 1, "separate_params": True},
    "relu": {"activation": "relu"},
    "leaky relu": {"activation": "leaky_relu"},
    "tanh": {"activation": "tanh", "eps": 0.1, "normalize": True},
    "patches": {"patch": PatchConfig(size=2, channels=3)},
    "all faces read": {"output_layers": 4},
    "patches, all faces, uneven grid": {
        "patch": PatchConfig(size=1, channels=4),
        "output_layers": 3,
        "grid": (6, 10, 4),
        "block": 1,
    },
    "colour": {"grid": (5, 7, 3), "block": 1, "output_layers": 2},
    "colour patches": {"grid": (3, 4, 9), "block": 1, "patch": PatchConfig(size=2, channels=8), "output_layers": 9},
}


def each_isa() -> Iterator[str]:
    """Use each instruction set in turn."""
    before = compiled().current_isa()
    try:
        for name in compiled().usable_isas():
            compiled().set_isa(name)
            yield name
    finally:
        compiled().set_isa(before)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def inputs(spec: InputSpec, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(count).normal(size=(count, *spec.shape)).astype(np.float32)


def check_same_bits(native: sdk.Model, other: sdk.Model) -> None:
    for count in BATCHES:
        x = inputs(native.input_spec, count)
        found, wanted = native._runner.logits(x), other._runner.logits(x)
        assert found.shape == (count, len(native.labels))
        assert found.tobytes() == wanted.tobytes(), f"batch of {count}: {np.abs(found - wanted).max()}"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_gives_the_bits_of_torch_and_the_numbers_of_onnx(name: str) -> None:
    native = sdk.load(name, backend="native", threads=torch.get_num_threads())
    other = sdk.load(name, backend="onnx")
    check_same_bits(native, sdk.load(name, backend="torch"))
    x = inputs(native.input_spec, 33)
    np.testing.assert_allclose(native._runner.logits(x), other._runner.logits(x), atol=1e-4, rtol=1e-5)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the artifact of a variant, with parameters that all differ."""
    folder = tmp_path_factory.mktemp("variants")

    def write(name: str) -> Path:
        path = folder / name.replace(" ", "-").replace(",", "")
        if path.exists():
            return path
        config = GridnetConfig(**{"grid": (4, 6, 4), "block": 2, "outer_steps": 3, **VARIANTS[name]})
        spec = COLOUR if name.startswith("colour") else SPEC
        arguments = artifact_arguments(config, input_spec=spec, name=path.name)
        with torch.no_grad():
            for parameter in arguments["module"].parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return write_artifact(path, **arguments)

    return write


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_gridnet_gives_the_bits_of_torch(
    name: str, variants: Callable[[str], Path], threads: int
) -> None:
    folder = variants(name)
    native, other = sdk.load(folder, backend="native", threads=threads), sdk.load(folder, backend="torch")
    for _ in each_isa():
        check_same_bits(native, other)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Snapshots networks with each activation, with edges that lead back, and without an ensemble."""
    made = {}
    for name, options in {
        "tanh": {},
        "sigmoid": {"activation": "sigmoid"},
        "relu": {"activation": "relu"},
        "sweeps": {"routing": {"reciprocal": 0.2}, "sweeps": 3},
        "one sweep": {"sweeps": 1, "routing": {"reciprocal": 0}},
    }.items():
        made[name] = export(tmp_path_factory.mktemp(name.replace(" ", "-")), **options)[0]
    return made


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "sweeps", "one sweep"])
def test_snapshots_give_the_bits_of_torch_in_every_mode(name: str, networks: dict[str, Path], threads: int) -> None:
    native = sdk.load(networks[name], backend="native", threads=threads)
    other = sdk.load(networks[name], backend="torch")
    for _ in each_isa():
        check_same_bits(native, other)
    for mode in ("weighted", "progressive", "final", "coarse", "medium", "fine", 0, 1, 2, 3):
        found, wanted = (model.logits(IMAGES, mode=mode) for model in (native, other))  # type: ignore[call-arg]
        assert found.tobytes() == wanted.tobytes(), mode


def test_a_network_without_an_ensemble_answers_itself(
    networks: dict[str, Path], tmp_path: Path, retensor: Retensor
) -> None:
    folder = shutil.copytree(networks["sweeps"], tmp_path / "tiny")
    retensor(folder, mixture=np.zeros(8, np.float32))
    check_same_bits(sdk.load(folder, backend="native", threads=1), sdk.load(folder, backend="torch"))


Retensor = Callable[..., None]


@pytest.fixture
def retensor(reseal: Callable[[Path, str, bytes], None]) -> Retensor:
    """Replace tensors of an artifact and seal it again; None leaves one out."""
    from safetensors.numpy import load_file, save

    def change(folder: Path, **tensors: Any) -> None:
        stored = load_file(folder / "model.safetensors")
        for name, value in tensors.items():
            stored[name.replace("__", ".")] = value
        reseal(folder, "model.safetensors", save({name: t for name, t in stored.items() if t is not None}))

    return change


def test_results_are_fresh_arrays_and_inputs_stay_as_they_were(artifact: Path) -> None:
    runner = sdk.load(artifact, backend="native")._runner
    x = inputs(SPEC, 3)
    x.setflags(write=False)
    first, second = runner.logits(x), runner.logits(x)
    assert first.flags.owndata
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    strided = np.asfortranarray(np.repeat(x, 2, axis=0))[::2]
    assert runner.logits(strided).tobytes() == first.tobytes()


def test_threads_may_share_a_model_and_load_others(artifact: Path, networks: dict[str, Path]) -> None:
    models = [sdk.load(folder, backend="native", threads=2) for folder in (artifact, networks["sweeps"])]
    work = [(model, inputs(model.input_spec, count)) for count in (1, 5, 40) for model in models] * 20
    expected = [model._runner.logits(x).tobytes() for model, x in work]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda job: job[0]._runner.logits(job[1]).tobytes(), work)
        assert list(found) == expected


def test_it_is_what_auto_takes_for_its_families_alone() -> None:
    assert sdk.load("gridnet-digits").backend == "native"
    assert sdk.load("snapshots-digits").backend == "native"
    assert sdk.load("cellnet-digits").backend == "onnx"
    assert sdk.load("nca-iris").backend == "onnx"
    assert sdk.load("normnet-digits").backend == "onnx"
    assert sdk.load("gridnet-digits", threads=1).backend == "native"


@pytest.mark.parametrize("options", [{"providers": ["cpu"]}, {"timeout": 5}, {"threads": 1, "timeout": 5}])
def test_auto_takes_onnx_for_options_that_only_onnx_has(options: dict[str, Any]) -> None:
    assert sdk.load("gridnet-digits", **options).backend == "onnx"


def test_auto_takes_torch_for_a_device_where_there_is_no_onnx_graph(artifact: Path) -> None:
    assert sdk.load(artifact, device="cpu").backend == "torch"


def test_auto_leaves_the_kernels_alone_where_the_reference_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    assert sdk.load("gridnet-digits").backend == "onnx"
    assert sdk.load("gridnet-digits", backend="native").backend == "native"


def test_another_family_is_refused_with_the_families_that_it_runs() -> None:
    message = (
        "backend 'native' cannot run cellnet-digits: it runs gridnet and snapshots, not cellnet; available: auto, o"
    )
    with pytest.raises(LoadError, match=message):
        sdk.load("cellnet-digits", backend="native")


def test_without_the_compiled_module_auto_takes_onnx_and_native_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise KernelsError("the compiled kernels cannot be loaded (no such file); reinstall cellzoo")

    monkeypatch.setattr("sdk.backends.compiled", missing)
    assert sdk.load("gridnet-digits").backend == "onnx"
    with pytest.raises(
        LoadError, match=r"cannot run gridnet-digits: the compiled kernels cannot be loaded .*: auto, onnx"
    ):
        sdk.load("gridnet-digits", backend="native")


def test_a_pickle_of_an_automatic_choice_opens_without_the_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    content = {backend: pickle.dumps(sdk.load("gridnet-digits", backend=backend)) for backend in ("auto", "native")}

    def missing() -> None:
        raise KernelsError("the compiled kernels cannot be loaded (no such file); reinstall cellzoo")

    monkeypatch.setattr("sdk.backends.compiled", missing)
    model = pickle.loads(content["auto"])
    assert (model.predict(np.zeros((8, 8))), model.backend) == (
        sdk.load("gridnet-digits").predict(np.zeros((8, 8))),
        "onnx",
    )
    with pytest.raises(LoadError, match=r"cannot open the pickled model .*the compiled kernels cannot be loaded"):
        pickle.loads(content["native"]).predict(np.zeros((8, 8)))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two"])
def test_a_number_of_threads_that_is_not_a_positive_integer_is_refused(artifact: Path, threads: Any) -> None:
    with pytest.raises(LoadError, match="threads must be a positive integer, found "):
        sdk.load(artifact, backend="native", threads=threads)


@pytest.mark.parametrize(
    ("option", "value", "owner"),
    [("device", "cpu", "'torch'"), ("providers", ["cpu"], "'onnx'"), ("timeout", 5, "'onnx'")],
)
def test_an_option_of_another_backend_is_refused(option: str, value: Any, owner: str) -> None:
    with pytest.raises(
        LoadError, match=f"the native backend takes threads, not {option}; {option} is for backend={owner}"
    ):
        sdk.load("gridnet-digits", backend="native", **{option: value})


def test_it_has_no_module(artifact: Path) -> None:
    with pytest.raises(LoadError, match="the native backend has no module; load tiny with backend='torch'"):
        _ = sdk.load(artifact).module


def test_inputs_of_another_shape_never_reach_the_kernels(artifact: Path) -> None:
    with pytest.raises(sdk.InputError, match=r"inputs are \[2, 1, 4, 5\], the network takes \[B, 1, 4, 4\]"):
        sdk.load(artifact)._runner.logits(np.zeros((2, 1, 4, 5), np.float32))


def test_memory_that_runs_out_is_one_line(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner: Any = sdk.load(artifact)._runner

    def exhausted(*call: int) -> None:
        raise MemoryError

    monkeypatch.setattr(runner, "network", type("Network", (), {"logits": staticmethod(exhausted)}))
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not enough memory for 2 inputs at once"):
        runner.logits(np.zeros((2, 1, 4, 4), np.float32))


def test_predicting_imports_neither_torch_nor_onnxruntime_nor_the_training_side(artifact: Path) -> None:
    code = (
        "import sys, numpy as np, sdk\n"
        f"assert sdk.load({str(artifact)!r}).predict(np.zeros((4, 4), np.uint8)) in ('zero', 'one', 'two')\n"
        "print([m for m in ('torch', 'onnxruntime', 'zoo', 'onnx', 'PIL', 'pydantic') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


WRONG: list[tuple[str, Any]] = [
    ("grid", [4, 4]), ("grid", [4, 4, 0]), ("grid", "4x4x4"), ("grid", [2, 2, 4]), ("grid", [8, 4, 4]), ("grid", None),
    ("block", 3), ("block", 0), ("inner_steps", 0), ("inner_steps", 2**70), ("outer_steps", "many"),
    ("outer_steps", 100_001), ("inner_steps", 50_000), ("activation", "gelu"), ("activation", 3), ("gated", 1),
    ("gated", True), ("normalize", None), ("eps", 0), ("eps", -1.0), ("eps", float("inf")), ("outer_residual", 3),
    ("separate_params", True), ("separate_params", []), ("patch", 4), ("patch", {"size": 3}), ("patch", {"side": 2}),
    ("patch", {"size": 2, "channels": 2}), ("patch", {"size": 2, "channels": 10**9}), ("output_layers", 0),
    ("output_layers", 5), ("output_layers", 2), ("recompute", 0), ("init_scale", "wide"), ("init_scale", 0),
    ("residual_scale", None), ("gate_bias", "x"), ("colour", "blue"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}={value}"[:40] for key, value in WRONG])
def test_a_gridnets_config_that_torch_refuses_is_refused(
    artifact: Path, edit_config: Callable[..., None], key: str, value: Any
) -> None:
    model = json.loads((artifact / "config.json").read_text())["model"]
    edit_config(artifact, model={**model, key: value})
    messages = {}
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError) as caught:
            sdk.load(artifact, backend=backend)
        messages[backend] = str(caught.value)
    assert "config.json" in messages["native"] or "model.safetensors" in messages["native"]
    assert "\n" not in messages["native"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", []), ("hidden", [5]), ("hidden", [0, 4]), ("hidden", [9000]), ("hidden", 5), ("activation", "silu"),
        ("sweeps", 0), ("sweeps", 9), ("max_density", 0), ("max_density", 1.5), ("max_density", 0.5), ("phases", []),
        ("phases", [{"name": "a"}]), ("phases", [{"name": "a", "until": 5, "structures": 1, "snapshots": 65}]),
        ("stabilisation", -1), ("stabilisation", 3), ("rules", 13),
    ],
)  # fmt: skip
def test_a_snapshots_config_that_torch_refuses_is_refused(
    networks: dict[str, Path], tmp_path: Path, edit_config: Callable[..., None], key: str, value: Any
) -> None:
    folder = shutil.copytree(networks["tanh"], tmp_path / "tiny")
    model = json.loads((folder / "config.json").read_text())["model"]
    edit_config(folder, model={**model, key: value})
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError, match=r"^[^\n]*(config\.json|model\.safetensors)"):
            sdk.load(folder, backend=backend)


def changed(index: int, value: float) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    def change(tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        copy = tensor.copy()
        copy.reshape(-1)[index] = value
        return copy

    return change


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("source", changed(0, -1)), ("source", changed(0, 99)), ("source", changed(0, 2**30)),
        ("target", changed(0, 0)),
        ("target", changed(0, -5)), ("target", changed(0, 99)), ("source", lambda s: np.full_like(s, 0)),
        ("edges", changed(0, 0)), ("edges", changed(0, 10**6)), ("edges", changed(0, -1)),
        ("snapshots.facts", changed(0, 0)), ("snapshots.facts", changed(0, 10**6)), ("snapshots.facts", changed(2, 7)),
        ("snapshots.facts", changed(1, -1)), ("snapshots.sizes", changed(0, -1)),
        ("snapshots.sizes", changed(0, 10**6)),
        ("snapshots.index", changed(0, -1)), ("snapshots.index", changed(0, 10**6)), ("mixture", changed(1, -0.5)),
        ("mixture", changed(-1, 0.5)), ("bias", lambda b: b[1:]), ("weight", lambda w: w.astype(np.float16)),
        ("threshold", lambda t: None),
    ],
)  # fmt: skip
def test_weights_of_snapshots_that_torch_refuses_are_refused(
    networks: dict[str, Path], tmp_path: Path, retensor: Retensor, tensor: str, change: Callable[..., Any]
) -> None:
    from safetensors.numpy import load_file

    folder = shutil.copytree(networks["tanh"], tmp_path / "tiny")
    retensor(folder, **{tensor.replace(".", "__"): change(load_file(folder / "model.safetensors")[tensor])})
    reasons = []
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError, match=r"model\.safetensors: ") as caught:
            sdk.load(folder, backend=backend)
        reasons.append(str(caught.value))
    assert reasons[0].split(": ")[1] == reasons[1].split(": ")[1]


def test_defaults_are_those_of_the_families_configs() -> None:
    known = GridnetConfig(grid=(8, 8, 4)).model_dump(mode="json")
    assert {**gridnet._DEFAULTS, **dict.fromkeys(gridnet._OF_TRAINING)}.keys() | {
        "family",
        "grid",
        "block",
    } == known.keys()
    assert all(known[key] == value for key, value in gridnet._DEFAULTS.items())
    facts = gridnet._read({"family": "gridnet", "grid": [8, 8, 4]}, (1, 4, 4))
    assert (facts.block, facts.depth, facts.faces) == (known["block"], 1, 1)
    patch = gridnet._read({"family": "gridnet", "grid": [8, 8, 8], "patch": {}}, (1, 4, 4))
    assert (patch.patch, patch.depth) == (PatchConfig().size, PatchConfig().channels)
    stored = SnapshotsConfig().model_dump(mode="json")
    assert {"family", *snapshots._DEFAULTS, *snapshots._OF_TRAINING} == stored.keys()
    assert all(stored[key] == value for key, value in snapshots._DEFAULTS.items())


def test_every_family_of_the_backend_has_a_module() -> None:
    assert BACKENDS["native"].families == ("gridnet", "snapshots")
    assert issubclass(gridnet.GridnetBackend, NetworkBackend)
    assert issubclass(snapshots.SnapshotsBackend, NetworkBackend)


def test_it_predicts_images_as_the_other_backends_do(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", formats=("safetensors", "onnx"))
    native, onnx = sdk.load(folder), sdk.load(folder, backend="onnx")
    assert native.predict(images(20), batch_size=7) == onnx.predict(images(20))
    np.testing.assert_allclose(native.predict_proba(images(5)), onnx.predict_proba(images(5)), atol=1e-5)
    assert repr(native).endswith("native backend>")
