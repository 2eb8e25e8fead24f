"""Names of options that recipes and kernels share."""

from __future__ import annotations

from typing import Literal

HiddenActivation = Literal["relu", "silu"]
Change = Literal["tanh", "sigmoid", "linear"]
Pooling = Literal["mean", "sum"]
