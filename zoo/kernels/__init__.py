"""Kernel ops: for each a plain-torch reference, compiled CPU and CUDA bodies, and their autograd registration."""
