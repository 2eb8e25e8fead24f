"""gridnet models: traces of the grid, outer step by outer step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.model import Model


class GridnetTrace(NamedTuple):
    """The state of a gridnet before the first outer step and after each of ``S``; for one input, without the B axis."""

    grids: NDArray[np.float32]
    """``[S + 1, B, M, N, K]``: the image enters at k = 0."""
    logits: NDArray[np.float32]
    """``[S + 1, B, classes]``: the classes read after so many steps; the last are :meth:`Model.logits`."""

    def __repr__(self) -> str:
        steps, *batch, m, n, k = self.grids.shape
        inputs = f"{batch[0]} inputs" if batch else "one input"
        return f"<GridnetTrace: {steps - 1} outer steps, {inputs}, {m} x {n} x {k} cells>"


class GridnetModel(Model):
    """A gridnet."""

    def trace(self, inputs: Any, *, invert: Invert = "auto", batch: bool | None = None) -> GridnetTrace:
        """Return grids and logits after each outer step, for all inputs at once. Needs the torch backend."""
        module, runner = self.module, self._runner
        prepared, single = self._prepare_all(inputs, invert, batch)

        def states(x: Any) -> list[Any]:
            grids = [module.embed(x)]
            for number in range(module.config.outer_steps):
                grids.append(module.outer_step(grids[-1], number))
            return [*grids, *map(module.read, grids)]

        found = runner.states(states, prepared)  # type: ignore[attr-defined]
        half = len(found) // 2
        grids, logits = np.stack(found[:half]), np.stack(found[half:])
        return GridnetTrace(grids[:, 0], logits[:, 0]) if single else GridnetTrace(grids, logits)


MODEL = GridnetModel
