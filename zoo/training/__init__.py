"""One training loop for all families: rounds, checkpoints, metrics, several seeds. It knows no family by name."""
