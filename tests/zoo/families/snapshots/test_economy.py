"""Rule 6: the economy."""

from __future__ import annotations

import pytest

from zoo.families.snapshots.config import EconomyConfig
from zoo.families.snapshots.economy import Economy


def test_ten_spikes_pay_for_growth() -> None:
    economy = Economy(EconomyConfig())
    for _ in range(9):
        economy.earn()
    assert not economy.affords_growth
    economy.earn()
    assert economy.affords_growth


def test_growth_spends_all_credits() -> None:
    economy = Economy(EconomyConfig(), credits=170)
    economy.spend()
    assert economy.credits == 0


def test_growth_cannot_be_paid_with_too_few_credits() -> None:
    with pytest.raises(ValueError, match="credits: found 90, growth costs 100"):
        Economy(EconomyConfig(), credits=90).spend()
