"""Damaged and hostile files against the readers (``python -m benchmarks.fuzz``)."""
