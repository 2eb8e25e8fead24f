from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import sdk
from sdk import ArtifactError, LoadError
from tests.support.artifacts import images
from zoo.artifacts import torch_backend


def test_loading_leaves_the_random_generator_unchanged(artifact: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    sdk.load(artifact, backend="torch")
    assert torch.equal(torch.rand(4), expected)


def test_threads_that_load_at_once_leave_the_number_of_threads_unchanged(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch_backend._load
    monkeypatch.setattr(torch_backend, "_load", lambda *given: time.sleep(0.005) or real(*given))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: sdk.load(artifact, backend="torch"), range(6)))
        with ThreadPoolExecutor(1) as pool:  # a thread keeps its own number, and a new one has the process's
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["gpu9", "xpu" if not torch.xpu.is_available() else "cuda:99"])
def test_a_device_that_is_not_available_is_refused(artifact: Path, device: str) -> None:
    with pytest.raises(LoadError, match=f"device '{device}' cannot be used here: "):
        sdk.load(artifact, device=device)
    assert sdk.load(artifact, device="cpu").predict(images(1)[0])


def test_an_unknown_device_is_refused_with_the_allowed_ones(artifact: Path) -> None:
    with pytest.raises(LoadError, match=r"device 'tpu' cannot be used here: allowed are cpu, cuda, cuda:N and mps$"):
        sdk.load(artifact, backend="torch", device="tpu")


def model_section(artifact: Path, **changes: Any) -> dict[str, Any]:
    return {**json.loads((artifact / "config.json").read_text())["model"], **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 3}, r"block 3 must divide every axis of the grid \[4, 4, 4\]"),
        ({"wings": 2}, r"config\.json: model\.wings: Extra inputs are not permitted, found 2"),
        ({"outer_steps": "many"}, r"model\.outer_steps: .*found 'many'"),
        ({"grid": [2, 2, 2]}, "an image of 1x4x4 .* does not fit the grid"),
        ({"grid": [2**40, 2**40, 2**40]}, r"model\.grid\.0: .* less than or equal to 2147483647, found 1099511627776"),
        ({"grid": [2**10, 2**10, 2**10]}, "the model cannot be built: it is far larger than its weights"),
        ({"grid": [8, 4, 4]}, r"tensor \w+ is float32 \[.*\], the model needs float32"),
    ],
)
def test_a_model_section_that_does_not_fit_the_weights_is_refused(
    artifact: Path, edit_config: Callable[..., None], changes: dict[str, Any], message: str
) -> None:
    edit_config(artifact, model=model_section(artifact, **changes))
    with pytest.raises(ArtifactError, match=message) as caught:
        sdk.load(artifact, backend="torch")
    assert "\n" not in str(caught.value)


def test_an_unknown_family_is_refused_with_the_known_ones(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, family="hopfield")
    with pytest.raises(ArtifactError, match=r"unknown family 'hopfield'; known families: .*gridnet"):
        sdk.load(artifact, backend="torch")


def test_labels_that_do_not_match_the_weights_are_refused(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, labels=["zero", "one"])
    with pytest.raises(ArtifactError, match=r"tensor readout\.\w+ is .*the model needs"):
        sdk.load(artifact, backend="torch")
