"""A trained network at work: values, spreads, attention."""
