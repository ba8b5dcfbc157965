"""A run on disk: settings, checkpoints, tables."""
