"""`python -m benchmarks.peak_memory torch|full|reduced DATA_DIR`: MB that training takes at most.

A process of its own for each contender: it sets up 512 elastic crystals and trains four steps of
256 with 5 layers, compilation included.
"""

import resource
import sys
from pathlib import Path

from benchmarks.contenders import NAMES, load


def own_peak_memory() -> float:
    """This process's peak resident memory in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss starts at the parent's
        kilobytes = status.read_text().partition("VmHWM:")[2].split()[0]
        return int(kilobytes) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    wanted, data_dir = sys.argv[1:]
    crystals = load(Path(data_dir) / "mp_elastic.jsonl.gz", "bulk_modulus", 512)
    contender = crystals.contender(next(name for name in NAMES if name == wanted), 5, 256)
    for _ in range(4):
        contender.train_step()
    sys.stdout.write(f"{own_peak_memory()}\n")
