"""Trained models on disk: write, edit, evaluate, probe, describe, push and pull."""
