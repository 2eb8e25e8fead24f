"""The training side of cellzoo: recipes, families, kernels, the training loop, artifacts and the command line.

``zoo.save`` writes a module that was trained in any loop as a model for the SDK; ``zoo.layers`` has layers for it.
Importing zoo loads neither torch nor any other package.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    save: Callable[..., Path]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in sdk, for modules that import onnxruntime first

_LAZY = {"save": "zoo.artifacts.from_module"}
"""Names by the module that defines them, which is imported when a name is first used."""


def __getattr__(name: str) -> Any:
    if name == "layers":
        return importlib.import_module("zoo.layers")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "layers", *_LAZY])
