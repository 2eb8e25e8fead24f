"""Trained models on disk: write, check, edit, evaluate, probe, describe, push and pull them."""
