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


class Draws(NamedTuple):
    """Random numbers, one per image; None where no recipe asks for them."""

    turns: Tensor | None
    """Uniform in [0, 1), ``[2, B]``: of the rotations and of the zooms."""
    offsets: Tensor | None
    """Pixels (down, right), int64 ``[B, 2]``."""
    sides: Tensor | None
    """Uniform in [0, 1), of the flips."""


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
    return change(images, changes_from([draw(config, len(images), rank, world)], config))


def draw(config: AugmentConfig, count: int, rank: int = 0, world: int = 1) -> Draws:
    """Draw the numbers for ``count`` images of a batch, but for crops, which are drawn before; see :func:`augment`."""
    batch = count * world
    turns = offsets = sides = None
    if config.rotate or config.scale:
        turns = torch.rand(2, batch, dtype=torch.float32)
    if config.shift:
        offsets = torch.randint(-config.shift, config.shift + 1, (batch, 2))
    if config.flip:
        sides = torch.rand(batch, dtype=torch.float32)
    if world > 1:
        share = slice(rank, None, world)
        turns = None if turns is None else turns[:, share]
        offsets, sides = (None if of is None else of[share] for of in (offsets, sides))
    return Draws(turns, offsets, sides)


def changes_from(draws: Sequence[Draws], config: AugmentConfig) -> Changes:
    """Return the changes of several batches as those of one batch. Together they take the calls of one."""
    turns, offsets, sides = (
        None if of[0] is None else torch.cat(of, dim)
        for of, dim in zip(zip(*draws, strict=True), (1, 0, 0), strict=True)
    )
    spread = None if turns is None else turns * 2 - 1  # uniform in [-1, 1)
    return Changes(
        degrees=None if spread is None else spread[0] * config.rotate,
        zoom=None if spread is None else 1 + spread[1] * config.scale,
        offsets=offsets,
        flipped=None if sides is None else sides < 0.5,
    )


def change(images: Tensor, changes: Changes) -> Tensor:
    """Change the images ``[B, C, H, W]``. The result for an image does not depend on the others, to the last bit."""
    return move(turn(images, changes), changes)


def turn(images: Tensor, changes: Changes) -> Tensor:
    """Rotate and zoom the images."""
    if changes.degrees is None or changes.zoom is None:
        return images
    return rotate_and_zoom(images, send(changes.degrees, images.device), send(changes.zoom, images.device))


def move(images: Tensor, changes: Changes) -> Tensor:
    """Shift the images, then flip them."""
    if changes.offsets is not None:
        images = shift(images, changes.offsets)
    if changes.flipped is not None:
        images = flip(images, changes.flipped)
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
    angle, zoom = degrees.deg2rad()[:, None], zoom[:, None]
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    # Pixels' places from the centre, in halves of the width and the height. affine_grid, a product of tiny matrices,
    # takes four times as long.
    here = partial(torch.arange, step=2, dtype=torch.float32, device=images.device)
    x = (here(1 - width, width) / width).repeat(height)
    y = (here(1 - height, height) / height).repeat_interleave(width)
    across = (cos * x).addcmul_(sin, y, value=-height / width)
    down = (cos * y).addcmul_(sin, x, value=width / height)
    grid = torch.stack([across, down]).view(2, len(images), height, width).permute(1, 2, 3, 0)
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


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Let image i change sides where ``flipped[i]``, bool on the CPU, is true."""
    # Only those are copied: a choice between all images and all mirrored ones takes five times as long.
    places = send(flipped.nonzero().flatten(), images.device)
    return images.index_copy(0, places, TF.horizontal_flip(images.index_select(0, places)))
