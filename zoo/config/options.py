"""Choices that recipes of family nca share with the nca kernel, named once for both."""

from __future__ import annotations

from typing import Literal

HiddenActivation = Literal["relu", "silu"]
"""Activation between the layers of the rule's MLP."""
Change = Literal["tanh", "sigmoid", "linear"]
"""Activation after the last layer of the rule's MLP."""
Pooling = Literal["mean", "sum"]
"""Reduction over the states of neighbouring weights."""
