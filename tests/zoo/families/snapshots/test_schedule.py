"""Rules 7, 10, 11 and 12: phases, limits, stabilisation and the end of training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zoo.families.snapshots.config import EndConfig, PhaseConfig, SnapshotsConfig
from zoo.families.snapshots.schedule import End, Limits, phase_at

CONFIG = SnapshotsConfig()


def test_phases_end_with_epochs_50_and_100() -> None:
    assert [phase_at(CONFIG.phases, epoch) for epoch in (1, 50, 51, 100, 101, 150, 900)] == [0, 0, 1, 1, 2, 2, 2]


def test_a_phases_quota_is_spread_over_its_possible_events() -> None:
    limits = Limits(CONFIG)
    quotas = []
    for epoch in range(1, 50):
        if quota := limits.quota(epoch):
            quotas.append(quota)
            limits.charge(epoch, quota)
    assert quotas == [2, 2, 2, 2, 2]
    assert limits.used == [10, 0, 0]


def test_unused_quota_is_left_for_later_events() -> None:
    limits = Limits(CONFIG)
    limits.charge(1, 0)
    assert limits.quota(11) == 3
    limits.charge(11, 1)
    assert limits.quota(21) == 3


@given(epochs=st.sets(st.integers(1, 160)))
def test_a_phase_never_grows_more_than_its_limit(epochs: set[int]) -> None:
    limits = Limits(CONFIG)
    for epoch in sorted(epochs):
        if quota := limits.quota(epoch):
            limits.charge(epoch, quota)
    assert all(used <= phase.structures for used, phase in zip(limits.used, CONFIG.phases, strict=True))


def test_a_phase_grows_no_later_than_it_says_and_reaches_its_limit_by_then() -> None:
    phases = tuple(
        PhaseConfig(name=name, until=until, structures=6, snapshots=1, grow_until=last)
        for name, until, last in (("a", 20, 9), ("b", 40, 25))
    )
    limits = Limits(SnapshotsConfig(phases=phases, stabilisation=2))
    grown = {}
    for epoch in range(1, 41):
        if quota := limits.quota(epoch):
            grown[epoch] = quota
            limits.charge(epoch, quota)
    assert grown == {1: 2, 3: 1, 5: 1, 7: 1, 9: 1, 20: 2, 22: 2, 24: 2}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"grow_until": 20}, "grow_until 20 should come before the phase's last epoch, 20"),
        ({"grow_until": 0}, "greater"),
        ({"prune_until": 9}, "belong together"),
        ({"edges": 9}, "belong together"),
        ({"edges": 9, "prune_until": 9}, "belong together"),
        ({"edges": 9, "grow_until": 9}, "belong together"),
        ({"edges": 9, "grow_until": 9, "prune_until": 9}, "between grow_until, 9, and the phase's last epoch, 20"),
        ({"edges": 9, "grow_until": 9, "prune_until": 20}, "prune_until 20 should lie between"),
    ],
)
def test_a_phase_that_ends_growth_or_pruning_too_late_or_lacks_a_key_is_refused(
    keys: dict[str, int], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        PhaseConfig.model_validate({"name": "a", "until": 20, "structures": 6, "snapshots": 1, **keys})


def test_pruning_a_network_of_two_sweeps_is_refused() -> None:
    phase = {"name": "a", "until": 20, "structures": 6, "snapshots": 1, "grow_until": 5, "prune_until": 9, "edges": 9}
    with pytest.raises(ValidationError, match="pruning needs a network of one sweep, found sweeps 2"):
        SnapshotsConfig.model_validate({"phases": [phase]})


def test_growth_that_ends_before_its_phase_starts_is_refused() -> None:
    first = PhaseConfig(name="a", until=20, structures=6, snapshots=1)
    second = PhaseConfig(name="b", until=40, structures=6, snapshots=1, grow_until=19)
    with pytest.raises(ValidationError, match="b grows until epoch 19, but starts after epoch 20"):
        SnapshotsConfig(phases=(first, second))


def test_a_phase_says_until_when_it_grows_only_if_a_recipe_does() -> None:
    unset = PhaseConfig(name="a", until=20, structures=6, snapshots=1)
    assert "grow_until" not in unset.model_dump()
    assert unset.model_copy(update={"grow_until": 9}).model_dump()["grow_until"] == 9


def test_nothing_grows_for_ten_epochs_after_growth() -> None:
    limits = Limits(CONFIG)
    limits.charge(20, 1)
    assert next(epoch for epoch in range(20, 40) if limits.quota(epoch)) == 30


def test_nothing_grows_too_late_to_settle_before_the_end() -> None:
    limits = Limits(CONFIG)
    assert limits.quota(140) > 0
    assert limits.quota(141) == 0


def test_growth_after_a_phases_last_epoch_counts_for_the_next_phase() -> None:
    limits = Limits(CONFIG)
    limits.charge(50, 7)
    assert limits.used == [0, 7, 0]


def test_without_stabilisation_growth_is_possible_after_every_epoch() -> None:
    limits = Limits(CONFIG.model_copy(update={"stabilisation": 0}))
    for epoch in range(1, 150):
        limits.charge(epoch, limits.quota(epoch))
    assert limits.used == [10, 50, 200]


@pytest.mark.parametrize(
    ("accuracies", "extrema", "epoch"),
    [
        ([0.5] * 100, True, 31),  # the first epoch is a gain
        ([0.5 + 0.001 * i for i in range(100)], True, None),
        ([0.5 + 0.0005 * i for i in range(100)], True, None),  # slow, but it gains a tenth of a point in two epochs
        ([0.5 + 0.01 * i for i in range(100)], False, 50),
    ],
)
def test_training_ends_after_epochs_without_gain_or_without_extrema(
    accuracies: list[float], extrema: bool, epoch: int | None
) -> None:
    end, reached = End(EndConfig()), None
    for i, accuracy in enumerate(accuracies, 1):
        end.observe(1, accuracy, extrema)
        reached = reached or (i if end.reached else None)
    assert reached == epoch


def test_an_epoch_with_extrema_resets_the_count() -> None:
    end = End(EndConfig(no_gain=10**6))
    for extrema in [False] * 49 + [True] + [False] * 49:
        end.observe(1, 0.5, extrema)
    assert not end.reached
    end.observe(1, 0.5, False)
    assert end.reached


def test_epochs_between_validations_count() -> None:
    end = End(EndConfig())
    end.observe(1, 0.5, True)
    end.observe(30, 0.5, True)
    assert end.reached


def test_inconsistent_phases_are_refused() -> None:
    def phase(name: str, until: int) -> PhaseConfig:
        return PhaseConfig(name=name, until=until, structures=1, snapshots=1)

    with pytest.raises(ValueError, match=r"phases: fine ends in epoch 5, should end after coarse \(epoch 5\)"):
        SnapshotsConfig(phases=(phase("coarse", 5), phase("fine", 5)))
    with pytest.raises(ValueError, match="each should be unique"):
        SnapshotsConfig(phases=(phase("coarse", 5), phase("coarse", 6)))
