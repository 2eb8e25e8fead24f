"""Rule 2: the trigger of growth, which looks for spikes in the variance of the gradient's norm."""

from __future__ import annotations

from dataclasses import dataclass, field

from zoo.families.snapshots.config import TriggerConfig


@dataclass
class Trigger:
    """Averages gradient norms into samples and compares the last ``window`` samples with the ``window`` before."""

    config: TriggerConfig
    samples: list[float] = field(default_factory=list)
    """Samples of the last two windows, the newest last."""
    total: float = 0.0
    count: int = 0
    """Sum and number of the norms in the unfinished sample."""

    def observe(self, norm: float) -> bool:
        """Record the gradient norm of one step; return True if it completes a sample and that is a spike."""
        self.total += norm
        self.count += 1
        return self.count == self.config.every and self._sample()

    def end_epoch(self) -> bool:
        """Complete the epoch's sample, if samples are epochs; return True if it is a spike."""
        return self.config.every == "epoch" and self.count > 0 and self._sample()

    def _sample(self) -> bool:
        self.samples.append(self.total / self.count)
        self.total, self.count = 0.0, 0
        window = self.config.window
        del self.samples[: -2 * window]
        if len(self.samples) < 2 * window:
            return False
        before, after = variance(self.samples[:window]), variance(self.samples[window:])
        return abs(after - before) > self.config.change * before


def variance(values: list[float]) -> float:
    """Return the population variance."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)
