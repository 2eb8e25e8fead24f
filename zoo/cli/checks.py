"""What this install can do: one check per line, each with what to do when something is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import urllib.request
from typing import Literal, NamedTuple

import torch
from huggingface_hub import constants

import sdk
from zoo.data.location import data_folder
from zoo.data.mnist import has_mnist
from zoo.kernels import runtime as backend

_PACKAGES = (
    "torch",
    "torchvision",
    "accelerate",
    "safetensors",
    "huggingface-hub",
    "onnx",
    "onnxruntime",
)


class Check(NamedTuple):
    what: str
    status: Literal["ok", "note", "bad"]
    found: str
    remedy: str = ""


def examine(offline: bool = False) -> list[Check]:
    """All checks; ``offline`` leaves out the one that asks the Hub."""
    checks = [_platform(), *_versions(), _kernels(), _cuda(), _threads(), _data()]
    return checks if offline else [*checks, _hub()]


def _platform() -> Check:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("platform", "ok", f"{found}, {os.cpu_count()} processors")


def _versions() -> list[Check]:
    checks = [Check("cellzoo", "ok", sdk.__version__)]
    for package in _PACKAGES:
        try:
            checks.append(Check(package, "ok", importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            checks.append(Check(package, "bad", "not installed", "pip install 'cellzoo[train]'"))
    return checks


def _kernels() -> Check:
    if backend.mode() == "reference":
        return Check("kernels", "note", "ZOO_KERNELS=reference: the slow reference runs", "unset ZOO_KERNELS")
    try:
        kernels = backend.compiled()
    except (ImportError, ValueError) as error:
        return Check("kernels", "bad", str(error), "reinstall with a C++20 compiler (g++ or clang++) on the PATH")
    usable = ", ".join(kernels.usable_isas())
    return Check("kernels", "ok", f"compiled, running {kernels.current_isa()} (this machine can: {usable})")


def _cuda() -> Check:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    try:
        built = backend.compiled().cuda_built
    except (ImportError, ValueError):
        built = False
    if built and device:
        return Check("CUDA kernels", "ok", f"built, usable on {device}")
    if built:
        return Check("CUDA kernels", "note", "built, but torch sees no CUDA device: models run on the CPU")
    if not device:
        return Check("CUDA kernels", "note", "not built, and torch sees no CUDA device: models run on the CPU")
    nvcc = shutil.which("nvcc")
    remedy = (
        "reinstall with ZOO_CUDA=ON" if nvcc else "install the CUDA toolkit (nvcc), then reinstall with ZOO_CUDA=ON"
    )
    return Check("CUDA kernels", "bad", f"not built, though there is a {device}", remedy)


def _threads() -> Check:
    threads, processors = torch.get_num_threads(), os.cpu_count() or 1
    if threads > processors:
        return Check("threads", "note", f"{threads} on {processors} processors", "set OMP_NUM_THREADS lower")
    return Check("threads", "ok", f"{threads} (OMP_NUM_THREADS changes it)")


def _data() -> Check:
    folder = data_folder()
    if has_mnist(folder):
        return Check("data folder", "ok", f"{folder}, with MNIST")
    remedy = "training downloads MNIST to it; ZOO_DATA or --data-dir names a folder that has it already"
    return Check("data folder", "note", f"{folder}, without MNIST", remedy)


def _hub() -> Check:
    if constants.HF_HUB_OFFLINE:
        return Check("Hub", "note", "HF_HUB_OFFLINE is set: cached models only", "unset HF_HUB_OFFLINE")
    try:
        # One bare request: the Hub client would retry for half a minute.
        with urllib.request.urlopen(constants.ENDPOINT, timeout=5):
            pass
    except OSError as error:
        reason = getattr(error, "reason", error)
        remedy = "bundled models work without it; check the network or HF_ENDPOINT"
        return Check("Hub", "note", f"{constants.ENDPOINT} cannot be reached ({reason})", remedy)
    return Check("Hub", "ok", f"{constants.ENDPOINT} answers")
