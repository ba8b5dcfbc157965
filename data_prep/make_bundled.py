"""Make the bundled crystals: ``python -m data_prep.make_bundled matminer-0.4.2.tar.gz``.

The archive is matminer's source distribution on PyPI (``pip download --no-deps --no-binary :all:
matminer==0.4.2``); its table ``elastic_tensor.csv`` holds 1,181 crystals of the Materials Project
with their elastic moduli. Licences and citations stand in ``bundled/README.md``.
"""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from pymatgen.core import Structure

from data_prep.reading.cif import structure_from_cif

TABLE = "matminer-0.4.2/matminer/datasets/elastic_tensor.csv"
OUTPUT = Path(__file__).parent / "bundled" / "elastic_2015.jsonl.gz"
TARGETS = {"bulk_modulus": "K_VRH", "shear_modulus": "G_VRH", "poisson_ratio": "poisson_ratio"}


def read_table(archive: Path) -> pd.DataFrame:
    """The table of elastic tensors inside matminer's source distribution."""
    with tarfile.open(archive) as members:
        content = members.extractfile(TABLE)
        if content is None:
            raise FileNotFoundError(f"{TABLE} is not in {archive}")
        return pd.read_csv(content, comment="#")


def minimal_dict(structure: Structure) -> dict[str, Any]:
    """What ``Structure.from_dict`` needs and no more: cell (Å), elements, fractional positions."""
    return {
        "lattice": {"matrix": structure.lattice.matrix.round(8).tolist()},
        "sites": [
            {"species": [{"element": site.specie.symbol, "occu": 1}], "abc": abc}
            for site, abc in zip(structure, structure.frac_coords.round(8).tolist(), strict=True)
        ],
    }


def json_lines(table: pd.DataFrame) -> str:
    """One JSON object a line: id, structure, targets (GPa, GPa, 1), sorted by id."""
    lines = []
    for _, row in table.sort_values("material_id").iterrows():
        targets = {name: round(float(row[column]), 6) for name, column in TARGETS.items()}
        crystal = {
            "id": row["material_id"],
            "structure": minimal_dict(structure_from_cif(row["structure"])),
            "targets": targets,
        }
        lines.append(json.dumps(crystal, separators=(",", ":")) + "\n")
    return "".join(lines)


def main(archive: Path, /) -> None:
    """Write the bundled file from matminer's source distribution."""
    text = json_lines(read_table(archive))
    # Without the time of day in the header the same archive gives the same bytes.
    OUTPUT.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m data_prep.make_bundled")
