"""Rule 6: spikes earn credits, growth spends them all."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.families.snapshots.config import EconomyConfig


@dataclass
class Economy:
    config: EconomyConfig
    credits: int = 0

    def earn(self) -> None:
        self.credits += self.config.reward

    @property
    def affords_growth(self) -> bool:
        return self.credits >= self.config.price

    def spend(self) -> None:
        """Pay for growth that was realised; growth that was not costs nothing."""
        if not self.affords_growth:
            raise ValueError(f"growth costs {self.config.price} credits, there are {self.credits}")
        self.credits = 0
