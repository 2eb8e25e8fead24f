from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from zoo.config.data import AugmentConfig, CropConfig
from zoo.data.augment import augment, flip, rotate_and_zoom, shift


def images(batch: int = 12, channels: int = 1, height: int = 10, width: int = 14) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_a_shift_moves_each_image_by_its_own_offset_and_exposes_black() -> None:
    original = images(3)
    moved = shift(original, torch.tensor([[0, 0], [2, -1], [-3, 4]]))
    assert torch.equal(moved[0], original[0])
    assert torch.equal(moved[1, :, 2:, :-1], original[1, :, :-2, 1:])
    assert not moved[1, :, :2].any()
    assert not moved[1, :, :, -1].any()
    assert torch.equal(moved[2, :, :-3, 4:], original[2, :, 3:, :-4])
    assert not moved[2, :, -3:].any()
    assert not moved[2, :, :, :4].any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_shift_copies_every_pixel_of_every_channel_exactly(dtype: torch.dtype) -> None:
    original = images(25, 3, 4, 7).to(dtype).contiguous(memory_format=torch.channels_last)
    if dtype.is_floating_point:
        original[3, 1, 2, 2] = torch.nan
    offsets = torch.cartesian_prod(torch.tensor([-5, -2, 0, 1, 4]), torch.tensor([-8, -1, 0, 3, 7]))
    wanted = torch.zeros_like(original)
    for number, (down, right) in enumerate(offsets.tolist()):
        for row in range(max(0, down), min(4, 4 + down)):
            for column in range(max(0, right), min(7, 7 + right)):
                wanted[number, :, row, column] = original[number, :, row - down, column - right]
    assert torch.equal(shift(original, offsets).nan_to_num(-1), wanted.nan_to_num(-1))
    assert shift(original[:0], offsets[:0]).shape == (0, 3, 4, 7)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (10, 14), (15, 9)])
def test_rotating_and_zooming_agree_with_torchvisions_affine(height: int, width: int) -> None:
    original = images(5, 3, height, width).float() / 255
    degrees = torch.tensor([0.0, 10.0, -25.0, 90.0, 170.0])
    zoom = torch.tensor([1.0, 0.8, 1.2, 1.0, 1.1])
    expected = [
        TF.affine(image, -angle, [0, 0], scale, [0.0, 0.0], InterpolationMode.BILINEAR)
        for image, angle, scale in zip(original, degrees.tolist(), zoom.tolist(), strict=True)
    ]
    torch.testing.assert_close(rotate_and_zoom(original, degrees, zoom), torch.stack(expected), atol=1e-4, rtol=0)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    original = images(1, 1, 9, 9)
    turned = rotate_and_zoom(original, torch.tensor([90.0]), torch.ones(1))
    assert torch.equal(turned, original.rot90(1, (2, 3)))


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(shift=2),
        AugmentConfig(rotate=20),
        AugmentConfig(scale=0.2),
        AugmentConfig(flip=True),
        AugmentConfig(crop=CropConfig()),
        AugmentConfig(crop=CropConfig(scale=(0.5, 1)), rotate=5, scale=0.1, shift=1, flip=True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_augmentation_changes_images_but_not_their_shape_dtype_and_range(
    config: AugmentConfig, dtype: torch.dtype
) -> None:
    original = images(channels=3) if dtype == torch.uint8 else images(channels=3).float() / 255
    torch.manual_seed(1)
    changed = augment(original, config)
    assert changed.shape == original.shape
    assert changed.dtype == dtype
    assert changed.min() >= 0
    assert changed.max() <= (255 if dtype == torch.uint8 else 1.0001)
    assert not torch.equal(changed, original)
    torch.manual_seed(1)
    assert torch.equal(augment(original, config), changed)
    assert not torch.equal(augment(original, config), changed)


def test_shifts_reach_every_offset_up_to_the_limit_and_none_beyond() -> None:
    point = torch.zeros(400, 1, 9, 9, dtype=torch.uint8)
    point[:, :, 4, 4] = 1
    torch.manual_seed(0)
    rows, columns = augment(point, AugmentConfig(shift=2)).nonzero()[:, 2:].T
    assert len(rows) == 400
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}


def test_about_half_of_the_images_are_flipped_from_left_to_right() -> None:
    original = images(400)
    torch.manual_seed(0)
    changed = augment(original, AugmentConfig(flip=True))
    flipped = (changed == original.flip(-1)).flatten(1).all(1)
    unchanged = (changed == original).flatten(1).all(1)
    assert bool((flipped | unchanged).all())
    assert 150 < int(flipped.sum()) < 250


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("flipped", [[True, False, True], [False] * 3, [True] * 3])
def test_a_flip_mirrors_the_marked_images_alone(flipped: list[bool], dtype: torch.dtype) -> None:
    original = images(3, 2, 4, 5).to(dtype)
    kept = original.clone()
    found = flip(original, torch.tensor(flipped))
    for number, mirrored in enumerate(flipped):
        assert torch.equal(found[number], original[number].flip(-1) if mirrored else original[number])
    assert torch.equal(original, kept)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "changes",
    [
        {"crop": {}},
        {"rotate": 20},
        {"scale": 0.2, "shift": 2},
        {"crop": {"scale": [0.5, 0.6]}, "rotate": 5, "scale": 0.1, "shift": 3, "flip": True},
    ],
)
def test_processes_that_share_a_batch_change_it_as_one_process_does(world: int, changes: dict[str, object]) -> None:
    config = AugmentConfig.model_validate(changes)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 16, 20), dtype=torch.uint8, generator=generator)
    torch.manual_seed(5)
    whole = augment(images, config)
    assert not torch.equal(whole, images)
    for rank in range(world):
        torch.manual_seed(5)
        assert torch.equal(augment(images[rank::world], config, rank, world), whole[rank::world])
