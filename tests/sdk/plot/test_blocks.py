"""The animation of gridnet's blocks follows the dependencies of the kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sdk.plot
from sdk.errors import InputError
from sdk.plot.blocks import moments
from zoo.kernels.gridnet.reference import gridnet_step


@pytest.mark.parametrize(
    ("grid", "block", "inner", "outer"), [((4, 4, 6), 2, 2, 2), ((3, 6, 6), 3, 1, 2), ((2, 2, 8), 2, 5, 1)]
)
def test_the_mark_reaches_exactly_the_cells_whose_values_depend_on_the_marked_input(
    grid: tuple[int, int, int], block: int, inner: int, outer: int
) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(*shape, generator=generator, dtype=torch.float64)  # tanh must not saturate

    weight, bias, scale = draw(27, *grid), draw(*grid), draw(*grid)

    def evolved(x: torch.Tensor) -> torch.Tensor:
        for _ in range(outer):
            x = gridnet_step(weight, bias, scale, x[None], inner, block, 1e-5, False, "tanh")[0]
        return x

    start, *_, end = moments(grid, block, inner, outer)
    gradients = torch.autograd.functional.jacobian(evolved, draw(*grid))
    depends = (gradients[..., torch.from_numpy(start.cells)] != 0).any(-1)
    np.testing.assert_array_equal(end.cells, depends.numpy())


def test_shells_are_copies_of_the_start_of_the_outer_step_and_stay_so() -> None:
    _, cut, *inner, joined = moments((4, 4, 4), 2, 3, 1)
    assert joined.shells is None
    assert cut.shells is not None
    rim = np.ones((4, 4, 4), bool)
    rim[1:-1, 1:-1, 1:-1] = False
    for moment in inner:
        assert moment.shells is not None
        np.testing.assert_array_equal(moment.shells[..., rim], cut.shells[..., rim])
    assert (joined.cells & ~cut.cells).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8), 4), "grid: found 2 sides, expected three"),
        (((8, 8, 6), 4), r"block: found 4, expected a divisor of every side of the grid \[8, 8, 6\]"),
        (((8, 8, 0), 4), "grid: a side must be a positive integer, found 0"),
        (((8, 8, 8), 0), "block must be a positive integer"),
        (((8, 8, 8), 4, 0), "inner_steps must be a positive integer"),
        (((8, 8, 8), 4, 1, True), "outer_steps must be a positive integer"),
        (((512, 512, 512), 8), "134,217,728 cells, allowed at most 512,000"),
        (((8, 8, 8), 4, 9, 99), "1090 frames, allowed at most 200; take fewer steps"),
    ],
)
def test_a_grid_that_cannot_be_shown_is_refused(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        sdk.plot.animate_blocks(tmp_path / "blocks.gif", *arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_animation_has_a_frame_per_cut_inner_step_and_join(tmp_path: Path) -> None:
    path = sdk.plot.animate_blocks(tmp_path / "blocks.gif", (3, 6, 3), 3, inner_steps=1, outer_steps=1)
    with Image.open(path) as animation:
        assert animation.n_frames == 1 + (1 + 1 + 1)
        assert animation.info["loop"] == 0
        assert animation.width == 1200
