"""A page that predicts crystals: what it is told of a file, and how it is served."""
