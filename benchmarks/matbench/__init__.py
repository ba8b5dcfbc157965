"""The five folds of Matbench v0.1 with our model: `python -m benchmarks.matbench TASK FILE`."""
