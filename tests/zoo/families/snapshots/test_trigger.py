"""Rule 2: the trigger."""

from __future__ import annotations

import random

import pytest

from zoo.families.snapshots.config import TriggerConfig
from zoo.families.snapshots.trigger import Trigger, variance


def spikes(norms: list[float], every: int = 1, window: int = 10) -> list[int]:
    """Return the indices of the norms that completed a spike."""
    trigger = Trigger(TriggerConfig(every=every, window=window))
    return [i for i, norm in enumerate(norms) if trigger.observe(norm)]


def test_variance_is_the_population_variance() -> None:
    assert variance([1.0, 3.0]) == 1.0


def test_a_steady_variance_is_not_a_spike() -> None:
    assert spikes([1.0, 2.0] * 30) == []


def test_a_variance_change_of_more_than_half_is_a_spike_in_either_direction() -> None:
    quiet, loud = [1.0, 1.1] * 5, [1.0, 3.0] * 5
    assert 19 in spikes(quiet + loud)
    assert 19 in spikes(loud + quiet)


def test_the_mean_of_the_norm_does_not_matter() -> None:
    assert spikes([1.0, 2.0] * 5 + [101.0, 102.0] * 5)[-1:] != [19]


def test_no_spike_occurs_before_two_windows_are_full() -> None:
    assert spikes([1.0] * 9 + [5.0] * 10) == []


def test_a_sample_is_the_mean_over_the_given_number_of_steps() -> None:
    trigger = Trigger(TriggerConfig(every=3))
    for norm in (1.0, 2.0, 6.0, 5.0):
        trigger.observe(norm)
    assert trigger.samples == [3.0]
    assert (trigger.total, trigger.count) == (5.0, 1)


def test_an_epoch_sample_is_the_mean_over_the_epoch() -> None:
    trigger = Trigger(TriggerConfig(every="epoch"))
    for norm in (1.0, 2.0, 6.0):
        assert not trigger.observe(norm)
    trigger.end_epoch()
    assert trigger.samples == [3.0]


def test_an_epoch_without_steps_adds_no_sample() -> None:
    trigger = Trigger(TriggerConfig(every="epoch"))
    trigger.end_epoch()
    assert trigger.samples == []


def test_pure_noise_spikes_in_nearly_half_of_all_windows() -> None:
    """This is why samples are epochs by default: per batch the trigger would be close to a timer."""
    noise = random.Random(0)
    share = len(spikes([noise.gauss(10, 1) for _ in range(20_000)])) / 20_000
    assert share == pytest.approx(0.44, abs=0.02)
