from __future__ import annotations

import numpy as np
import pytest
import torch

from sdk import InputSpec
from zoo.config.data import AugmentConfig, CropConfig
from zoo.data.sampling import Batch, evaluation_batches, training_batches
from zoo.data.split import ArraySplit

CPU = torch.device("cpu")
SPEC = InputSpec("image", (1, 8, 8), (0.3053,), (0.3761,))


def split_of(inputs: torch.Tensor, augment: AugmentConfig | None = None) -> ArraySplit:
    return ArraySplit(inputs, torch.zeros(len(inputs)).long(), SPEC, augment or AugmentConfig(), 0)


def test_evaluation_inputs_are_scaled_and_normalised_but_not_augmented() -> None:
    raw = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    split = split_of(raw, AugmentConfig(shift=2, flip=True))
    mean, std = torch.tensor(split.spec.mean), torch.tensor(split.spec.std)
    expected = raw.float().div(255).sub(mean[0]).div(std[0])
    assert torch.equal(split.everything()[0], expected)
    streamed = torch.cat([inputs for inputs, _ in split.stream(evaluation_batches(len(split), 20), CPU)])
    assert torch.equal(streamed, expected)


def test_the_sdk_prepares_the_same_tensor_as_training() -> None:
    raw = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    split = split_of(raw)
    assert np.array_equal(split.spec.prepare(raw.numpy())[0], split.everything()[0].numpy())


def test_augmentation_depends_on_the_batchs_seed_only_and_leaves_the_global_generator_unchanged() -> None:
    split = split_of(torch.rand(20, 1, 8, 8), AugmentConfig(shift=2, rotate=30))
    state = torch.get_rng_state()
    first = split[Batch(torch.arange(20), seed=1)][0]
    assert torch.equal(split[Batch(torch.arange(20), seed=1)][0], first)
    assert not torch.equal(split[Batch(torch.arange(20), seed=2)][0], first)
    list(split.stream(training_batches(20, 5, 0, 0, 8), CPU))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("shape", "augment", "size"),
    [
        ((1, 8, 8), AugmentConfig(shift=1, rotate=10), 64),
        ((1, 28, 28), AugmentConfig(shift=2, rotate=8, scale=0.08), 7),
        ((3, 11, 13), AugmentConfig(shift=4, flip=True), 33),
        ((3, 8, 8), AugmentConfig(crop=CropConfig(scale=(0.3, 1.0)), shift=1), 5),
        ((5,), AugmentConfig(), 9),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_batches_that_are_prepared_together_have_the_bits_of_those_prepared_alone(
    shape: tuple[int, ...], augment: AugmentConfig, size: int, processes: int
) -> None:
    raw = torch.randint(0, 256, (21 * size, *shape), dtype=torch.uint8)
    spec = InputSpec("image" if len(shape) == 3 else "table", shape, (0.3,) * shape[0], (0.4,) * shape[0])
    split = ArraySplit(raw, torch.arange(len(raw)), spec, augment, 0)
    batches = list(training_batches(len(raw), size * processes, 3, 4, 23, processes - 1, processes))
    state = torch.get_rng_state()
    streamed = list(split.stream(batches, CPU))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(streamed) == len(batches) == 19
    for batch, (inputs, labels) in zip(batches, streamed, strict=True):
        alone, its_labels = split[batch]
        assert torch.equal(inputs, split.prepare(alone))
        assert torch.equal(labels, its_labels)


def test_batches_are_prepared_together_only_while_they_are_small() -> None:
    taken: list[int] = []
    for size, count in ((64, 64), (4000, 8), (10_000, 3), (40_000, 1)):
        split = split_of(torch.zeros(40_000, 1, 8, 8, dtype=torch.uint8))
        drawn = (taken.append(number) or Batch(torch.arange(size)) for number in range(80))  # type: ignore[func-returns-value]
        stream = split.stream(drawn, CPU)
        taken.clear()
        assert len(next(stream)[0]) == size
        assert len(taken) == count


def test_worker_processes_do_not_change_the_batches() -> None:
    split = split_of(torch.rand(20, 1, 8, 8), AugmentConfig(shift=2, rotate=30))
    alone = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    split.workers = 2
    together = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
