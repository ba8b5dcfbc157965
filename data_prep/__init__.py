"""From crystal structures to packed graph datasets: NumPy, pymatgen and scikit-learn, no JAX."""
