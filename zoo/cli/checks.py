"""Checks of this install, one line each, with a remedy for everything that is missing.

Runs in a base install too: a check that needs a package of the training side says that it was skipped.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import urllib.request
from collections.abc import Callable
from typing import Literal, NamedTuple

from huggingface_hub import constants

import sdk
from sdk.backends import BACKENDS
from sdk.build_record import why_no_kernels
from sdk.catalog import own_infos
from sdk.errors import MissingKernelsError
from sdk.places import MODELS_VARIABLE, models_folder
from zoo.data.location import data_folder
from zoo.kernels import runtime

_BASE_PACKAGES = ("safetensors", "huggingface-hub", "onnxruntime")
_TRAINING_PACKAGES = ("torch", "torchvision", "accelerate", "onnx")
_INSTALL_TRAINING = "pip install 'cellzoo[train]'"


class Check(NamedTuple):
    """One finding: ``ok``, a ``note`` that needs no action, or ``bad``, which makes ``zoo doctor`` fail."""

    what: str
    status: Literal["ok", "note", "bad"]
    found: str
    remedy: str = ""


def examine(offline: bool = False) -> list[Check]:
    """Run all checks; ``offline`` leaves out the request to the Hub."""
    checks = [
        _platform(),
        *_versions(),
        _kernels(),
        _with_training_packages("CUDA kernels", _cuda),
        _with_training_packages("threads", _threads),
        _with_training_packages("data folder", _data),
        _models(),
    ]
    return checks if offline else [*checks, _hub()]


def _with_training_packages(what: str, check: Callable[[], Check]) -> Check:
    """Run a check, or report that it was skipped because a training package is missing or cannot be loaded."""
    try:
        return check()
    except (ImportError, OSError) as error:
        reason = f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        return Check(what, "note", f"not checked: {reason}", _INSTALL_TRAINING)


def _platform() -> Check:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("platform", "ok", f"{found}, {os.cpu_count()} processors")


def _versions() -> list[Check]:
    checks = [Check("cellzoo", "ok", sdk.__version__)]
    for package in (*_BASE_PACKAGES, *_TRAINING_PACKAGES):
        try:
            checks.append(Check(package, "ok", importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            if package in _BASE_PACKAGES:
                checks.append(Check(package, "bad", "not installed", "pip install cellzoo"))
            else:
                checks.append(Check(package, "note", "not installed; training needs it", _INSTALL_TRAINING))
    return checks


def _kernels() -> Check:
    try:
        if runtime.mode() == "reference":
            return Check("kernels", "note", "ZOO_KERNELS=reference: the slow reference runs", "unset ZOO_KERNELS")
        kernels = runtime.compiled()
    except (ImportError, ValueError) as error:
        return _no_kernels() if isinstance(error, MissingKernelsError) else Check("kernels", "bad", str(error))
    families = " and ".join(BACKENDS["native"].families)
    usable = ", ".join(kernels.usable_isas())
    found = f"compiled, running {kernels.current_isa()} (usable here: {usable}); {families} predict natively"
    return Check("kernels", "ok", found)


def _no_kernels() -> Check:
    """Say why the kernels are missing; predictions do without them, training does not."""
    missing = why_no_kernels()
    trains = importlib.util.find_spec("torch") is not None
    effect = "zoo train needs them, models predict through onnx" if trains else "models predict through onnx"
    return Check(
        "kernels", "bad" if missing.broken or trains else "note", f"{missing.reason}; {effect}", missing.remedy
    )


def _cuda() -> Check:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    try:
        built = runtime.compiled().cuda_built
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
    return Check("CUDA kernels", "bad", f"not built, but the device {device} is available", remedy)


def _threads() -> Check:
    import torch

    threads, processors = torch.get_num_threads(), os.cpu_count() or 1
    if threads > processors:
        return Check("threads", "note", f"{threads} on {processors} processors", "lower OMP_NUM_THREADS")
    return Check("threads", "ok", f"{threads} (change it with OMP_NUM_THREADS)")


def _data() -> Check:
    from zoo.data.mnist import FILES, missing_files

    folder = data_folder()
    missing = missing_files(folder)
    if not missing:
        return Check("data folder", "ok", f"{folder}, with MNIST")
    if len(missing) < len(FILES):
        found = f"{folder}, where MNIST/raw lacks {', '.join(missing)}"
        return Check("data folder", "note", found, "training downloads MNIST again; or copy what is missing")
    remedy = "training downloads MNIST; to use an existing copy, set ZOO_DATA or pass --data-dir"
    return Check("data folder", "note", f"{folder}, without MNIST", remedy)


def _models() -> Check:
    folder = models_folder()
    own, damaged = own_infos()
    found = f"{folder}, {len(own)} of your own (change it with {MODELS_VARIABLE})"
    if damaged:
        reasons = "; ".join(map(str, damaged.values()))
        return Check("models folder", "note", f"{found}, {len(damaged)} damaged", f"remove or replace: {reasons}")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check("models folder", "note", f"{folder} cannot be written", f"set {MODELS_VARIABLE} to another folder")
    return Check("models folder", "ok", found)


def _hub() -> Check:
    if constants.HF_HUB_OFFLINE:
        return Check("Hub", "note", "HF_HUB_OFFLINE is set: cached models only", "unset HF_HUB_OFFLINE")
    try:
        # A plain request, because the Hub client would retry for half a minute.
        with urllib.request.urlopen(constants.ENDPOINT, timeout=5):
            pass
    except OSError as error:
        reason = getattr(error, "reason", error)
        remedy = "bundled models work offline; check the network or HF_ENDPOINT"
        return Check("Hub", "note", f"{constants.ENDPOINT} cannot be reached ({reason})", remedy)
    return Check("Hub", "ok", f"{constants.ENDPOINT} answers")
