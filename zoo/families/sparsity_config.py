"""The ``sparsity`` section that the baseline families share: how few of the possible edges a network may have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from zoo.config.base import NonNegativeInt, PositiveInt, Section


class SparsityConfig(Section):
    """A method of sparse training, and the share of edges that it ends with.

    ``gradual`` starts dense and prunes the smallest weights, more and more slowly (Zhu and Gupta 2017). ``set`` starts
    sparse at random, and now and then replaces its smallest weights by random edges (Mocanu et al. 2018). ``rigl`` does
    so by the missing edges with the largest gradient, and replaces fewer and fewer (Evci et al. 2020).
    """

    method: Literal["gradual", "rigl", "set"] = Field(examples=["gradual"])
    """Gradual magnitude pruning, or sparse from the start with edges that move."""
    density: float = Field(gt=0, le=1, examples=[0.05])
    """Share of the possible edges at the end of training (rigl, set: at any time). Biases do not count."""
    layers: Literal["global", "uniform", "erk"] = "global"
    """Distribution over the layers. global: the largest weights of the whole network stay (gradual only); uniform: the
    same density in each layer; erk: smaller layers are denser (Erdos-Renyi kernel)."""
    start: NonNegativeInt = 0
    """First step with an update of the edges."""
    stop: PositiveInt = Field(examples=[4000])
    """Last step with an update. Gradual pruning has reached its density then, and needs steps to recover."""
    every: PositiveInt = 100
    """Steps between two updates."""
    moved: float = Field(default=0.3, gt=0, lt=1)
    """rigl and set: share of a layer's edges that an update replaces; rigl's falls to 0 along half a cosine."""

    @model_validator(mode="after")
    def _check(self) -> SparsityConfig:
        if self.layers == "global" and self.method != "gradual":
            raise ValueError(f"layers global compares weights of a dense network; {self.method} needs uniform or erk")
        if self.stop <= self.start:
            raise ValueError(f"stop {self.stop} should come after start {self.start}")
        return self
