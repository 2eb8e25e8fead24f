"""Rule 6: spikes earn credits, growth spends all of them."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.families.snapshots.config import EconomyConfig


@dataclass
class Economy:
    """The account of credits."""

    config: EconomyConfig
    credits: int = 0

    def earn(self) -> None:
        """Add the reward of one spike."""
        self.credits += self.config.reward

    @property
    def affords_growth(self) -> bool:
        """True if the credits cover the price of growth."""
        return self.credits >= self.config.price

    def spend(self) -> None:
        """Pay for growth that took place; attempts that added nothing cost nothing.

        Raises ValueError when the credits do not cover the price.
        """
        if not self.affords_growth:
            raise ValueError(f"credits: found {self.credits}, growth costs {self.config.price}")
        self.credits = 0
