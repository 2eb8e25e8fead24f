"""The native backend: shipped models, threads, the choice of a backend, and errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdk
from sdk import ArtifactError, LoadError
from sdk.backends import BACKENDS
from sdk.backends.native import gridnet, snapshots
from sdk.backends.native.network import NetworkBackend
from sdk.catalog import bundled_models
from sdk.errors import MissingKernelsError
from tests.support.artifacts import SPEC, images, write_tiny
from tests.support.native import check_same_bits, inputs
from tests.support.paths import ROOT

SHIPPED = [name for name in bundled_models() if name.startswith(("gridnet", "snapshots"))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_gives_the_bits_of_torch_and_the_numbers_of_onnx(name: str) -> None:
    native = sdk.load(name, backend="native", threads=torch.get_num_threads())
    other = sdk.load(name, backend="onnx")
    check_same_bits(native, sdk.load(name, backend="torch"))
    x = inputs(native.input_spec, 33)
    np.testing.assert_allclose(native._runner.logits(x), other._runner.logits(x), atol=1e-4, rtol=1e-5)


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
        raise MissingKernelsError("this install has no compiled kernels; reinstall cellzoo")

    monkeypatch.setattr("sdk.backends.compiled", missing)
    assert sdk.load("gridnet-digits").backend == "onnx"
    with pytest.raises(
        LoadError, match=r"cannot run gridnet-digits: this install has no compiled kernels.*: auto, onnx"
    ):
        sdk.load("gridnet-digits", backend="native")


def test_a_pickle_of_an_automatic_choice_opens_without_the_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:

    content = {backend: pickle.dumps(sdk.load("gridnet-digits", backend=backend)) for backend in ("auto", "native")}

    def missing() -> None:
        raise MissingKernelsError("this install has no compiled kernels; reinstall cellzoo")

    monkeypatch.setattr("sdk.backends.compiled", missing)
    model = pickle.loads(content["auto"])
    assert (model.predict(np.zeros((8, 8))), model.backend) == (
        sdk.load("gridnet-digits").predict(np.zeros((8, 8))),
        "onnx",
    )
    with pytest.raises(LoadError, match=r"cannot open the pickled model .*this install has no compiled kernels"):
        pickle.loads(content["native"]).predict(np.zeros((8, 8)))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two", 1025, 2**31, 2**40])
def test_a_number_of_threads_out_of_range_is_refused(artifact: Path, threads: Any) -> None:
    with pytest.raises(LoadError, match=r"threads: found .*, allowed 1 to 1024"):
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
