"""GATGNN, the global-attention graph network for crystal properties, in pure JAX."""
