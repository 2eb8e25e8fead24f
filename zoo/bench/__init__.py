"""Benchmarks of kernels, training and prediction on this machine, next to named baselines and the machine's limits.

This module imports nothing: cold_start.py times a fresh process, in which no other module may be loaded early.
"""
