"""Carry a network that grew on small images over to larger ones: its structure, weights and answers stay.

An image of half the height and width is the mean of 2x2 pixels. So an edge that reads a pixel of the small image
becomes four edges that read its pixels in the large one, each with a quarter of the weight.
"""

from __future__ import annotations

import math

import torch

from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import living
from zoo.utils.errors import BuildError

_FACTOR = 2
"""Pixels of the large image along each side of a pixel of the small one."""


@torch.no_grad()
def refine(net: SnapshotNet, source: SnapshotNet, shape: tuple[int, int, int]) -> int:
    """Lay the edges of ``source``, which reads images ``[C, H, W]`` of a ``shape``, in ``net`` for twice their sides.

    Edges that ``net`` has are replaced, and biases copied. Before further training, ``net(x)`` gives the logits that
    ``source`` gives for the means of 2x2 pixels, up to rounding. Growth continues from there; snapshots stay behind.
    Returns the number of edges. Raises BuildError if inputs, hidden layers or classes do not fit, or if the edges
    exceed ``net``'s density.
    """
    _, height, width = shape
    found, wanted = list(net.layout.widths), list(source.layout.widths)
    wanted[0] = _FACTOR**2 * math.prod(shape)
    if source.layout.inputs != math.prod(shape) or found != wanted:
        raise BuildError(
            f"refine: found layers {list(source.layout.widths)} and {found} units wide for images {list(shape)}, "
            f"allowed {[math.prod(shape), *wanted[1:]]} and {wanted}"
        )
    begin, end, weight = living(source)
    reads = begin < source.layout.inputs
    pixel = begin[reads]
    channel, y, x = pixel // (height * width), pixel // width % height, pixel % width
    steps = torch.arange(_FACTOR)
    rows = (_FACTOR * y)[:, None, None] + steps[:, None]
    columns = (_FACTOR * x)[:, None, None] + steps
    fine = ((channel * _FACTOR * height)[:, None, None] + rows) * (_FACTOR * width) + columns
    moved = net.layout.inputs - source.layout.inputs
    sources = torch.cat([fine.flatten(), begin[~reads] + moved])
    targets = torch.cat([end[reads].repeat_interleave(_FACTOR**2), end[~reads]]) + moved
    weights = torch.cat([(weight[reads] / _FACTOR**2).repeat_interleave(_FACTOR**2), weight[~reads]])
    if len(sources) > len(net.weight):
        least = math.ceil(1e4 * len(sources) / net.layout.possible) / 1e4
        raise BuildError(
            f"refine: max_density {net.config.max_density:g} allows {len(net.weight)} edges, the finer network starts "
            f"with {len(sources)}; set it to at least {least:g}"
        )
    net.start_again(sources, targets, weights, inherited=len(sources))
    net.bias.copy_(source.bias)
    return len(sources)
