"""`zoo bench`: how fast the kernels, training and prediction are here, beside named baselines and the machine's limits.

Kept free of imports: cold_start.py measures a fresh process that must not have loaded anything on the way.
"""
