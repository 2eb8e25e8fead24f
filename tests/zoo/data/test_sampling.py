from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.sampling import derive_seed, evaluation_batches, hold_out, training_batches
from zoo.utils.errors import DataError


def test_every_epoch_uses_each_sample_at_most_once_in_its_own_order() -> None:
    batches = [batch.indices for batch in training_batches(10, 3, seed=0, start=0, stop=9)]
    epochs = [torch.cat(batches[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(start: int) -> None:
    whole = list(training_batches(10, 3, seed=5, start=0, stop=9))[start:]
    rest = list(training_batches(10, 3, seed=5, start=start, stop=9))
    assert [(b.indices.tolist(), b.seed) for b in rest] == [(b.indices.tolist(), b.seed) for b in whole]


def test_another_seed_gives_another_order_and_other_augmentation() -> None:
    one, other = (next(training_batches(100, 50, seed, 0, 1)) for seed in (0, 1))
    assert one.indices.tolist() != other.indices.tolist()
    assert one.seed != other.seed


def test_processes_get_equal_shares_of_each_batch() -> None:
    whole = [batch.indices for batch in training_batches(20, 6, 0, 0, 5)]
    parts = [list(training_batches(20, 6, 0, 0, 5, rank, 2)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert len(first.indices) == len(second.indices) == 3
        assert sorted([*first.indices.tolist(), *second.indices.tolist()]) == sorted(batch.tolist())
        assert first.seed == second.seed  # each draws the random numbers of the whole batch


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_together_evaluate_every_sample_once(world: int) -> None:
    seen = [i for rank in range(world) for b in evaluation_batches(23, 4, rank, world) for i in b.indices.tolist()]
    assert sorted(seen) == list(range(23))


def test_the_same_share_of_every_class_is_held_out() -> None:
    labels = torch.arange(100) % 5
    rest, held = hold_out(labels, 20, seed=0)
    assert labels[held].bincount().tolist() == [4] * 5
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(100))


@pytest.mark.parametrize("part", [3, 96, 100, 1000, 0.01, 0.99])
def test_an_impossible_number_of_held_out_samples_is_refused(part: int) -> None:
    with pytest.raises(DataError, match=rf"data\.validation {part} of 100 .*: allowed are 5 to 95 samples"):
        hold_out(torch.arange(100) % 5, part, seed=0)


@pytest.mark.parametrize("parts", [(0,), (0, 1, 5, 0), (2**32 - 1, 3), (2**32, 3), (2**70, 1, 2)])
def test_a_derived_seed_is_the_first_word_of_numpys_sequence_for_seeds_of_any_size(parts: tuple[int, ...]) -> None:
    assert derive_seed(*parts) == np.random.SeedSequence(parts).generate_state(1)[0]
