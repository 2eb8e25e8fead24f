"""A trained gridnet whose evolution runs as eager shifts in torch: the baseline of ``zoo bench predict``."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sdk.inputs import FloatArray
from zoo.bench.shifts import Shifts
from zoo.families.gridnet.model import Gridnet


class EagerGridnet:
    """Runs a gridnet's weights with :class:`zoo.bench.shifts.Shifts`, as a backend of :class:`sdk.Model`."""

    def __init__(self, module: Gridnet, device: torch.device | None = None) -> None:
        """``device`` is where the module is (default: the CPU)."""
        self.module, self.device = module, device
        self.shifts = Shifts()

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared inputs ``[B, C, H, W]``."""
        with torch.inference_mode():
            m = self.module
            logits: NDArray[np.float32] = (
                m.read(self._evolve(m.embed(torch.from_numpy(x).to(self.device)))).cpu().numpy()
            )
        return logits

    def _evolve(self, grid: torch.Tensor) -> torch.Tensor:
        m, c = self.module, self.module.config
        if c.gated:
            return self.shifts.gated_gridnet_evolve(
                m.weight, m.bias, m.norm.weight, m.norm.bias, grid, c.outer_steps, c.inner_steps, c.block,
                c.activation, m.norm.eps, c.outer_residual,
            )  # fmt: skip
        return self.shifts.gridnet_evolve(
            m.weight, m.bias, m.residual_scale, m.norm.weight, m.norm.bias, grid, c.outer_steps, c.inner_steps,
            c.block, c.eps, c.normalize, c.activation, m.norm.eps, c.outer_residual,
        )  # fmt: skip
