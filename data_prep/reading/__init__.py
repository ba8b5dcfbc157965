"""Files to structures: one crystal or many, with the reason where there is none."""
