"""Batches of images in one pass of compiled code: the bits of several passes in torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdk.inputs import InputSpec
from tests.support.isas import isa  # noqa: F401  # fixture
from zoo.config.data import AugmentConfig
from zoo.data import one_pass
from zoo.data.augment import Changes, move
from zoo.data.sampling import Batch, evaluation_batches, training_batches
from zoo.data.split import ArraySplit

CPU = torch.device("cpu")
KINDS = (torch.uint8, torch.float32)


def split_of(count: int, channels: int, height: int, width: int, dtype: torch.dtype, **changes: object) -> ArraySplit:
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=noise)
    mean, std = [0.13, 0.5, 0.71][:channels], [0.31, 0.07, 1.9][:channels]
    spec = InputSpec("image", (channels, height, width), mean, std)
    raw = images if dtype == torch.uint8 else images / 255
    return ArraySplit(raw, torch.arange(count), spec, AugmentConfig.model_validate(changes), 0)


def take(split: ArraySplit, indices: Tensor, changes: Changes) -> Tensor:
    return one_pass.take(split.inputs, indices, changes.offsets, changes.flipped, split._scales)


def in_torch(split: ArraySplit, indices: Tensor, changes: Changes) -> Tensor:
    return split.prepare(move(split.inputs[indices], changes))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 28, 28), (3, 5, 7), (2, 1, 33), (3, 40, 3)])
def test_it_has_the_bits_of_several_passes(size: tuple[int, int, int], dtype: torch.dtype) -> None:
    split = split_of(9, *size, dtype)
    indices = torch.tensor([8, 0, 0, 3, 7, 1])
    offsets = torch.tensor([[0, 0], [1, -1], [-2, 3], [4, 4], [0, -6], [-1, 0]])
    flipped = torch.tensor([True, False, True, True, False, True])
    for shifts in (None, offsets):
        for flips in (None, flipped):
            changes = Changes(None, None, shifts, flips)
            assert torch.equal(take(split, indices, changes), in_torch(split, indices, changes))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.0, 1.0), (0.1307, 0.3081), (1.0, 1e-40), (0.5, 3e38), (-1e30, 1e30), (0.25, 0.5), (7.0, 1 / 3)],
)
def test_any_statistics_give_the_bits_of_a_division(mean: float, std: float) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 8, 32)
    spec = InputSpec("image", (1, 8, 32), [mean], [std])
    split = ArraySplit(images, torch.zeros(1, dtype=torch.int64), spec, AugmentConfig(), 0)
    none = Changes(None, None, None, None)
    found, wanted = take(split, torch.zeros(1, dtype=torch.int64), none), split.prepare(images)
    assert torch.equal(found.view(torch.int32), wanted.view(torch.int32))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_offsets_of_any_size_expose_zeros_and_touch_no_other_image(data: st.DataObject) -> None:
    split = split_of(
        3, 2, data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)), data.draw(st.sampled_from(KINDS))
    )
    far = st.one_of(st.integers(-8, 8), st.sampled_from([-(2**63), 2**63 - 1, -(2**31), 2**31]))
    offsets = data.draw(st.lists(st.tuples(far, far), min_size=3, max_size=3))
    flipped = torch.tensor(data.draw(st.lists(st.booleans(), min_size=3, max_size=3)))
    # torch's passes pad by the largest offset, so they get offsets beyond the image as ones that just leave it.
    near = [[max(-7, min(7, down)), max(-7, min(7, right))] for down, right in offsets]
    found = take(split, torch.arange(3), Changes(None, None, torch.tensor(offsets), flipped))
    assert torch.equal(found, in_torch(split, torch.arange(3), Changes(None, None, torch.tensor(near), flipped)))


def test_numbers_that_are_not_finite_stay_so() -> None:
    split = split_of(2, 1, 3, 4, torch.float32)
    split.inputs[1, 0, 1, 2], split.inputs[1, 0, 2, 0] = torch.nan, torch.inf
    none = Changes(None, None, None, None)
    found = take(split, torch.tensor([1, 0]), none)
    assert torch.equal(found.nan_to_num(7), in_torch(split, torch.tensor([1, 0]), none).nan_to_num(7))
    assert bool(found[0, 0, 1, 2].isnan())
    assert not bool(found[1].isnan().any())


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("index", [-1, 5, 2**62, -(2**63)])
def test_an_index_outside_the_images_is_refused(index: int, dtype: torch.dtype) -> None:
    split = split_of(5, 1, 4, 4, dtype)
    with pytest.raises(ValueError, match="outside 0 to 4"):
        take(split, torch.tensor([0, index]), Changes(None, None, None, None))


@pytest.mark.parametrize("dtype", KINDS)
def test_an_empty_batch_is_empty(dtype: torch.dtype) -> None:
    for count in (0, 5):
        found = take(
            split_of(count, 3, 4, 6, dtype), torch.empty(0, dtype=torch.int64), Changes(None, None, None, None)
        )
        assert found.shape == (0, 3, 4, 6)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"shift": 2}, {"flip": True}, {"rotate": 15}, {"rotate": 9, "scale": 0.2, "shift": 1, "flip": True}],
)
def test_batches_are_those_of_torch_on_any_number_of_threads(
    changes: dict[str, object], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches() -> list[tuple[Tensor, Tensor]]:
        split = split_of(700, 3, 17, 19, dtype, **changes)
        trained = split.stream(training_batches(700, 100, 3, 0, 9), CPU)
        return [*trained, *split.stream(evaluation_batches(700, 300), CPU)]

    with monkeypatch.context() as patched:
        patched.setenv("ZOO_KERNELS", "reference")
        assert not one_pass.takes(split_of(1, 1, 2, 2, dtype).inputs)
        wanted = batches()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for found, expected in zip(batches(), wanted, strict=True):
                assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    finally:
        torch.set_num_threads(before)


def test_a_split_holds_its_samples_in_order_of_memory() -> None:
    turned = torch.randint(0, 256, (6, 4, 4, 1), dtype=torch.uint8).permute(0, 3, 2, 1)
    split = ArraySplit(turned, torch.arange(6), InputSpec("image", (1, 4, 4), [0.2], [0.5]), AugmentConfig(), 0)
    assert one_pass.takes(split.inputs)
    assert torch.equal(next(split.stream(evaluation_batches(6, 6), CPU))[0], split.prepare(turned))


@pytest.mark.parametrize("changes", [{"shift": 2}, {"rotate": 9, "scale": 0.1, "flip": True}])
@pytest.mark.parametrize("dtype", KINDS)
def test_inputs_are_float32_in_the_hosts_memory_whatever_torchs_defaults_are(
    dtype: torch.dtype, changes: dict[str, object]
) -> None:
    split, batch = split_of(6, 3, 4, 5, dtype, **changes), Batch(torch.arange(6), seed=1)
    wanted = split.prepare(split[batch][0])
    split = split_of(6, 3, 4, 5, dtype, **changes)  # with nothing kept
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(next(split.stream([batch], CPU))[0], wanted)
    finally:
        torch.set_default_dtype(before)
    split = split_of(6, 3, 4, 5, dtype)
    with torch.device("meta"):
        found, _ = next(split.stream([Batch(batch.indices)], CPU))
    assert torch.equal(found, split.prepare(split.inputs))
