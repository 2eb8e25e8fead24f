from __future__ import annotations

import numpy as np
import torch

from sdk import InputSpec
from zoo.config.data import AugmentConfig
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


def test_worker_processes_do_not_change_the_batches() -> None:
    split = split_of(torch.rand(20, 1, 8, 8), AugmentConfig(shift=2, rotate=30))
    alone = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    split.workers = 2
    together = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
