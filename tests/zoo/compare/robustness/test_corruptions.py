"""Corrupted images: reproducible, in range, and worse with severity."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.compare.robustness.corruptions import KINDS, corrupt, delete_pixels
from zoo.compare.robustness.settings import SEVERITIES


@pytest.fixture(scope="module")
def images() -> Tensor:
    x = torch.zeros(12, 1, 28, 28)
    x[:, :, 6:22, 10:18] = torch.linspace(0.3, 1, 12)[:, None, None, None]
    return x


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_depends_on_its_seed_alone_and_grows_with_severity(kind: str, images: Tensor) -> None:
    found = [corrupt(images, kind, severity, 3) for severity in SEVERITIES]
    assert torch.equal(found[2], corrupt(images, kind, 3, 3))
    for changed in found:
        assert changed.shape == images.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
    distances = [float((changed - images).abs().mean()) for changed in found]
    assert distances[0] > 0
    assert distances[-1] > 1.5 * distances[0]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_and_fractions_are_corrupted_alike_also_in_small_colour_images(kind: str) -> None:
    whole = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    changed = corrupt(whole, kind, 2, 0)
    assert changed.dtype == torch.uint8
    assert (changed.float() / 255 - corrupt(whole.float() / 255, kind, 2, 0)).abs().max() < 0.01


def test_a_share_of_the_pixels_is_deleted_in_all_channels() -> None:
    images = torch.ones(50, 3, 10, 10, dtype=torch.uint8)
    left = delete_pixels(images, 0.7, 0)
    assert float(left.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(left[:, 0], left[:, 2])
