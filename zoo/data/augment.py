"""Random changes to batches of training images, with torchvision's functions.

Random numbers come from torch's global CPU generator. Callers seed it, so that a batch is a function of its seed on
every device. Images stay on theirs, and the host waits for none of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from zoo.config.data import AugmentConfig, CropConfig
from zoo.data.transfer import send


class Changes(NamedTuple):
    """Random changes, one per image; None where no recipe asks for them."""

    degrees: Tensor | None
    """Rotation counter-clockwise, drawn together with the zoom."""
    zoom: Tensor | None
    offsets: Tensor | None
    """Pixels (down, right), int64 ``[B, 2]``."""
    flipped: Tensor | None
    """True for images that change sides."""


def augment(images: Tensor, config: AugmentConfig, rank: int = 0, world: int = 1) -> Tensor:
    """Change each image at random; images are ``[B, C, H, W]``, uint8 or float in [0, 1], and so is the result.

    They are the images ``rank``, ``rank + world`` and so on of a batch of ``B * world``. The random numbers of the
    whole batch are drawn, so that the batch does not depend on the number of processes that share it.
    """
    if config.crop is not None:
        images = _crop(images, config.crop, rank, world)
    return change(images, draw_changes(config, len(images), rank, world))


def draw_changes(config: AugmentConfig, count: int, rank: int = 0, world: int = 1) -> Changes:
    """Draw the changes of ``count`` images of a batch, but for crops, which are drawn before; see :func:`augment`."""
    batch, share = count * world, slice(rank, None, world)
    degrees = zoom = offsets = flipped = None
    if config.rotate or config.scale:
        degrees = (_symmetric(batch) * config.rotate)[share]
        zoom = (1 + _symmetric(batch) * config.scale)[share]
    if config.shift:
        offsets = torch.randint(-config.shift, config.shift + 1, (batch, 2))[share]
    if config.flip:
        flipped = torch.rand(batch)[share] < 0.5
    return Changes(degrees, zoom, offsets, flipped)


def join(changes: Sequence[Changes]) -> Changes:
    """Return the changes of several batches of one recipe as those of one batch."""
    return Changes(*(None if parts[0] is None else torch.cat(parts) for parts in zip(*changes, strict=True)))


def change(images: Tensor, changes: Changes) -> Tensor:
    """Change the images ``[B, C, H, W]``. The result for an image does not depend on the others, to the last bit."""
    degrees, zoom, offsets, flipped = changes
    if degrees is not None and zoom is not None:
        images = rotate_and_zoom(images, send(degrees, images.device), send(zoom, images.device))
    if offsets is not None:
        images = shift(images, offsets)
    if flipped is not None:
        images = torch.where(send(flipped, images.device)[:, None, None, None], TF.horizontal_flip(images), images)
    return images


def _crop(images: Tensor, config: CropConfig, rank: int, world: int) -> Tensor:
    crop = random_crop(config, list(images.shape[-2:]))
    cropped = []
    for number in range(len(images) * world):
        if number % world == rank:
            cropped.append(crop(images[number // world]))
        else:  # the image of another process, whose random numbers are drawn
            v1.RandomResizedCrop.get_params(images[0], list(config.scale), list(config.ratio))
    return torch.stack(cropped)


def random_crop(config: CropConfig, size: list[int]) -> v2.RandomResizedCrop:
    """Return the transform of an image (PIL or tensor) to a random part of the image, resized to ``size`` = [H, W]."""
    return v2.RandomResizedCrop(size, scale=config.scale, ratio=config.ratio, antialias=True)


def rotate_and_zoom(images: Tensor, degrees: Tensor, zoom: Tensor) -> Tensor:
    """Rotate image i counter-clockwise by ``degrees[i]`` and enlarge it by ``zoom[i]``, with bilinear interpolation.

    The result equals that of torchvision's ``affine`` on each image, which takes ten times as long.
    """
    height, width = images.shape[-2:]
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos() / zoom, angle.sin() / zoom, torch.zeros_like(angle)
    rows = [cos, -sin * height / width, zero], [sin * width / height, cos, zero]
    matrices = torch.stack([torch.stack(row, -1) for row in rows], -2)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    sampled = F.grid_sample(images.float(), grid, mode="bilinear", align_corners=False)
    return sampled if images.is_floating_point() else sampled.round().to(images.dtype)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Shift image i by ``offsets[i]`` = (down, right) whole pixels, int64 on the CPU; exposed pixels are 0."""
    if not len(images):
        return images
    batch, channels, height, width = images.shape
    most = int(offsets.abs().max())
    padded = F.pad(images, (most, most, most, most))
    tall, wide = padded.shape[-2:]
    # A row of a shifted image is a run of the padded images. index_select copies whole runs, several times as fast as
    # an index of pixels.
    corners = send((most - offsets) @ torch.tensor([wide, 1]), images.device)
    here = partial(torch.arange, device=images.device)
    firsts = corners[:, None, None] + here(batch * channels).view(batch, channels, 1) * (tall * wide)
    runs = padded.reshape(-1).unfold(0, width, 1)
    return runs.index_select(0, (firsts + here(height) * wide).flatten()).view(images.shape)


def _symmetric(count: int) -> Tensor:
    """Return uniform random numbers between -1 and 1."""
    return torch.rand(count) * 2 - 1
