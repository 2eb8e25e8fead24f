"""What the tests of the snapshots family share."""

SHORT = [
    "train.epochs=12",
    "model.phases=[{name: coarse, until: 6, structures: 4, snapshots: 1}, "
    "{name: fine, until: 12, structures: 8, snapshots: 2}]",
    "model.stabilisation=2",
    "model.trigger={every: 1, window: 2}",
]
"""Overrides of snapshots-digits: a training of seconds that grows a few times."""
