"""Names of options that the configs of families share with the kernels."""

from __future__ import annotations

from typing import Literal

HiddenActivation = Literal["relu", "silu"]
Change = Literal["tanh", "sigmoid", "linear"]
Pooling = Literal["mean", "sum"]
