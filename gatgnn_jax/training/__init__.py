"""From prepared data to a trained network: step, optimizer, loop, results."""
