"""Corrupted images, generated as those of MNIST-C (Mu and Gilmer 2019) are: a kind, and a severity from 1 to 5."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF


def corrupt(images: Tensor, kind: str, severity: int, seed: int) -> Tensor:
    """Return corrupted images ``[N, C, H, W]``, uint8 or float32 in [0, 1] as the given ones; by the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    whole = images.dtype == torch.uint8
    values = KINDS[kind](images.float() / 255 if whole else images, severity, generator).clamp(0, 1)
    return (values * 255).round().to(torch.uint8) if whole else values


def delete_pixels(images: Tensor, share: float, seed: int) -> Tensor:
    """Return images ``[N, C, H, W]`` in which a share of the pixels, other ones in each image, is black."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(len(images), 1, *images.shape[-2:], generator=generator) >= share
    return images * kept.to(images.dtype)


def _noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add normal noise of standard deviation 0.1 to 0.5."""
    return x + 0.1 * severity * torch.randn(x.shape, generator=generator)


def _impulse(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Set 4 to 20 % of the pixels to black or white."""
    hit = torch.rand(x.shape, generator=generator) < 0.04 * severity
    return torch.where(hit, (torch.rand(x.shape, generator=generator) < 0.5).float(), x)


def _blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur with a normal kernel of 1 to 5 % of the width, a standard deviation."""
    sigma = 0.012 * severity * x.shape[-1]
    size = 2 * max(1, round(3 * sigma)) + 1
    blurred: Tensor = TF.gaussian_blur(x, [min(size, 2 * (min(x.shape[-2:]) // 2) - 1)] * 2, [sigma] * 2)
    return blurred


def _contrast(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Shrink the distance of all values from the image's mean to 80 to 15 %."""
    factor = (0.8, 0.6, 0.4, 0.25, 0.15)[severity - 1]
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + factor * (x - mean)


def _shift(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Shift each image by 1/28 to 5/28 of its width, at least a pixel per two severities, in a random direction."""
    pixels = max(1, round(severity * x.shape[-1] / 28))
    moved = torch.zeros_like(x)
    directions = torch.randint(4, (len(x),), generator=generator)
    for number, (dy, dx) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        rows = directions == number
        moved[rows] = TF.affine(x[rows], 0.0, [dx * pixels, dy * pixels], 1.0, [0.0, 0.0])
    return moved


def _rotate(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Rotate each image by 8 to 40 degrees, one way or the other."""
    left = torch.rand(len(x), generator=generator) < 0.5
    turned = torch.empty_like(x)
    for way, rows in ((1, left), (-1, ~left)):
        turned[rows] = TF.rotate(x[rows], 8.0 * severity * way, TF.InterpolationMode.BILINEAR)
    return turned


def _occlude(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Cover a random square of 15 to 55 % of the width with grey."""
    side = max(1, round((0.05 + 0.1 * severity) * x.shape[-1]))
    covered = x.clone()
    tops = torch.randint(x.shape[-2] - side + 1, (len(x),), generator=generator).tolist()
    lefts = torch.randint(x.shape[-1] - side + 1, (len(x),), generator=generator).tolist()
    for number, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        covered[number, :, top : top + side, left : left + side] = 0.5
    return covered


KINDS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "noise": _noise,
    "impulse": _impulse,
    "blur": _blur,
    "contrast": _contrast,
    "shift": _shift,
    "rotate": _rotate,
    "occlude": _occlude,
}
