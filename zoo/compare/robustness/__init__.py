"""The robustness suite: one set of probes, with the same settings, for the models of all families."""
