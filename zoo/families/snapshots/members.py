"""The snapshots of a network as modules of their own."""

from __future__ import annotations

from torch import Tensor, nn

from sdk.families.snapshots import last_of_phases
from zoo.families.snapshots.model import SnapshotNet


class Member(nn.Module):
    """One snapshot of a network as a module of its own."""

    def __init__(self, net: SnapshotNet, number: int) -> None:
        super().__init__()
        self.net = net
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``[B, *input_shape]`` to logits ``[B, classes]``."""
        return self.net.member(self.number, x)


def members(net: SnapshotNet) -> dict[str, Member]:
    """Return the last snapshot of each phase by the phase's name, and every snapshot by its number."""
    count = len(net.snapshots)
    phases = [net.config.phases[net.snapshots[number].phase].name for number in range(count)]
    named = {phases[number]: number for number in last_of_phases(phases)}
    return {name: Member(net, number) for name, number in (named | {str(n): n for n in range(count)}).items()}
