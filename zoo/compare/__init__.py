"""Compares trained models: accuracy, size, cost and robustness of all families and baselines in one table."""
