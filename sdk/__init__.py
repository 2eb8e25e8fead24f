"""The inference side of cellzoo: load a trained model, pass it images or numpy arrays, get labels or numpy arrays.

>>> import sdk
>>> model = sdk.load("gridnet-digits")  # doctest: +SKIP
>>> model.predict("seven.png")  # doctest: +SKIP
'7'

Importing sdk loads neither torch nor the training side; each backend is imported by the first model that uses it.
"""

import os

from sdk.batch_predictor import BatchPredictor
from sdk.catalog import ModelInfo, list_models
from sdk.errors import (
    AmbiguousInputWarning,
    ArtifactError,
    BrokenKernelsWarning,
    CellzooError,
    CellzooWarning,
    DamagedModelWarning,
    HubError,
    HubUnreachableError,
    InputError,
    InvertedInputWarning,
    LoadError,
    OfflineWarning,
    ShadowedModelWarning,
)
from sdk.inputs import InputSpec
from sdk.loading import load
from sdk.model import Model

# Read when onnxruntime is imported; without it, some builds send usage data and leave files in the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

__all__ = [
    "AmbiguousInputWarning",
    "ArtifactError",
    "BatchPredictor",
    "BrokenKernelsWarning",
    "CellzooError",
    "CellzooWarning",
    "DamagedModelWarning",
    "HubError",
    "HubUnreachableError",
    "InputError",
    "InputSpec",
    "InvertedInputWarning",
    "LoadError",
    "Model",
    "ModelInfo",
    "OfflineWarning",
    "ShadowedModelWarning",
    "list_models",
    "load",
]
