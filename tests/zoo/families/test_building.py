"""Modules are built and loaded alike, whatever the program around has set in torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pytest
import torch

import sdk
from zoo.data.task import Task
from zoo.families.building import build_module, fixed_defaults
from zoo.families.registry import get_family
from zoo.recipe import load_recipe

MODELS = ["gridnet-digits", "cellnet-digits", "normnet-digits", "snapshots-digits", "nca-iris"]


@contextmanager
def float64_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def state(name: str) -> AbstractContextManager[object]:
    return {
        "as it is": nullcontext, "float64 default": float64_default, "deterministic": deterministic,
        "meta default": lambda: torch.device("meta"), "inference mode": torch.inference_mode, "no_grad": torch.no_grad,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    }[name]()  # fmt: skip


STATES = ["float64 default", "deterministic", "meta default", "inference mode", "no_grad", "autocast"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("around", STATES)
def test_a_model_loads_and_answers_the_same_bits(name: str, around: str) -> None:
    plain = sdk.load(name, backend="torch")
    x = np.random.default_rng(0).random((3, *plain.input_spec.shape), dtype=np.float32)
    wanted = plain._runner.logits(x)
    with state(around):
        model = sdk.load(name, backend="torch")
        assert np.array_equal(model._runner.logits(x), wanted)
    assert np.array_equal(model._runner.logits(x), wanted)
    assert all(
        p.dtype == torch.float32 and p.device.type == "cpu" and p.requires_grad for p in model.module.parameters()
    )
    assert not any(p.is_inference() for p in model.module.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("around", STATES)
def test_a_module_is_built_with_the_same_weights(name: str, around: str) -> None:
    model = load_recipe(name).model
    family, task = get_family(model.family), Task((4,) if name == "nca-iris" else (1, 8, 8), 3)
    torch.manual_seed(0)
    wanted = build_module(family, model, task).state_dict()
    torch.manual_seed(0)
    with state(around):
        found = build_module(family, model, task).state_dict()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


def test_a_default_dtype_comes_back_after_threads_that_overlap() -> None:
    inside, leave = threading.Barrier(3), threading.Event()

    def build() -> None:
        with fixed_defaults():
            inside.wait()
            assert torch.get_default_dtype() == torch.float32
            leave.wait()

    with float64_default():
        threads = [threading.Thread(target=build) for _ in range(2)]
        for thread in threads:
            thread.start()
        inside.wait()
        leave.set()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64
