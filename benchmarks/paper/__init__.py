"""The paper's tables and figures, each a command: `python -m benchmarks.paper NAME`."""
