"""Crystals as padded batches: layout, arrays, dealing and gathering, feeds, splits."""
