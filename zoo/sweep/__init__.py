"""Sweeps: one recipe trained with many values of its keys, compared on the validation split alone."""
