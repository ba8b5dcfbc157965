"""Benchmarks: the PyTorch version to measure against, and the commands that measure."""
