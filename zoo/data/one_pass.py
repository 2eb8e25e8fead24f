"""Batches of images in memory, in one pass of compiled code (csrc/images): taken, shifted, flipped and normalised.

The results have the bits of :func:`zoo.data.augment.move` and :meth:`zoo.data.split.Split.prepare`, which make several
passes in torch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.kernels import runtime

_FUNCTIONS = {torch.uint8: "take_images_uint8", torch.float32: "take_images_float"}


def takes(images: Tensor) -> bool:
    """True for images ``[N, C, H, W]`` of bytes or float32 on the CPU, unless ZOO_KERNELS asks for torch."""
    return (
        images.ndim == 4
        and images.dtype in _FUNCTIONS
        and images.device.type == "cpu"
        and images.is_contiguous()
        and runtime.mode() == "compiled"
    )


def take(images: Tensor, indices: Tensor, offsets: Tensor | None, flipped: Tensor | None, scales: Tensor) -> Tensor:
    """Return the inputs ``[B, C, H, W]`` of the images at ``indices``, int64 ``[B]``.

    Image i is shifted by ``offsets[i]`` = (down, right) pixels, int64 ``[B, 2]``, which exposes pixels of 0, and then
    changes sides where ``flipped[i]``, bool ``[B]``, is true. ``scales`` are the means and standard deviations, float32
    ``[C, 2]``; for images of bytes ``[C, 258]``, of which the first 256 are each byte's input. All are contiguous.
    Raises ValueError for an index outside 0 to N - 1.
    """
    # Whatever torch's default dtype and device are: the kernel writes float32 to the host's memory.
    out = torch.empty(len(indices), *images.shape[1:], dtype=torch.float32, device="cpu")
    function = getattr(runtime.compiled(), _FUNCTIONS[images.dtype])
    function(
        images.shape,
        images.data_ptr(),
        scales.data_ptr(),
        len(indices),
        indices.data_ptr(),
        0 if offsets is None else offsets.data_ptr(),
        0 if flipped is None else flipped.data_ptr(),
        out.data_ptr(),
        torch.get_num_threads(),
    )
    return out
