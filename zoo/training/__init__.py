"""The training loop for every family, with checkpoints, a metrics log and several seeds. It knows no family by name."""
