"""Rules 7, 10, 11 and 12: phases and their limits, stabilisation, and the end of training. Epochs count from 1."""

from __future__ import annotations

from dataclasses import dataclass, field

from zoo.families.snapshots.config import EndConfig, PhaseConfig, SnapshotsConfig


def phase_at(phases: tuple[PhaseConfig, ...], epoch: int) -> int:
    """Return the number of the phase of an epoch; epochs beyond the last phase belong to it."""
    return next((i for i, phase in enumerate(phases) if epoch <= phase.until), len(phases) - 1)


@dataclass
class Limits:
    """Rule 7: structures grown in each phase, and the quota of an event."""

    config: SnapshotsConfig
    used: list[int] = field(default_factory=list)
    """Structures grown in each phase."""
    last_growth: int | None = None
    """Epoch of the last growth."""

    def __post_init__(self) -> None:
        self.used = self.used or [0] * len(self.config.phases)

    def settles(self, epoch: int) -> bool:
        """True if growth may not follow ``epoch``, because the last growth has not settled yet (rule 10)."""
        return self.last_growth is not None and epoch < self.last_growth + self.config.stabilisation

    def quota(self, epoch: int) -> int:
        """Return how many structures growth after ``epoch`` may add: the phase's remainder over its possible events.

        0 while the last growth settles, after the phase's ``grow_until``, and when growth could not settle before
        training ends.
        """
        pause = self.config.stabilisation
        if self.settles(epoch):
            return 0
        if epoch > self.config.phases[-1].until - max(1, pause):
            return 0
        number = phase_at(self.config.phases, epoch + 1)  # new edges learn from the next epoch on
        phase = self.config.phases[number]
        left = phase.structures - self.used[number]
        last = min(phase.grow_until or phase.until - 1, self.config.phases[-1].until - max(1, pause))
        if epoch > last:
            return 0
        events = (last - epoch) // max(1, pause) + 1
        return -(-left // events)

    def charge(self, epoch: int, structures: int) -> None:
        """Record growth after ``epoch``."""
        self.used[phase_at(self.config.phases, epoch + 1)] += structures
        self.last_growth = epoch


@dataclass
class End:
    """Rule 12: epochs since the network last had extrema, and since it last gained accuracy."""

    config: EndConfig
    best: float = 0.0
    """Best validation accuracy so far, in [0, 1]."""
    since_gain: int = 0
    since_extrema: int = 0

    def observe(self, epochs: int, accuracy: float, extrema: bool) -> None:
        """Record a validation ``epochs`` after the last one: accuracy in [0, 1], and True if it found extrema."""
        gained = accuracy >= self.best + self.config.gain
        self.since_gain = 0 if gained else self.since_gain + epochs
        self.since_extrema = 0 if extrema else self.since_extrema + epochs
        if gained:
            self.best = accuracy

    @property
    def reached(self) -> bool:
        """True if training should end."""
        return self.since_gain >= self.config.no_gain or self.since_extrema >= self.config.no_extrema
