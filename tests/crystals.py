"""Small crystals of known structure, and real ones, for the tests of data preparation."""

import gzip
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep.cache import BUNDLED
from data_prep.errors import BadCrystal
from data_prep.reading.sources import StructureLike, open_structures, read_item

FCC_SITES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]

NACL = str(CifWriter(Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
"""A CIF of two atoms."""


def rock_salt() -> Structure:
    """NaCl, the cubic cell of 8 atoms: 2 kinds of atoms."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def diamond() -> Structure:
    """Carbon, the cubic cell of 8 atoms, all alike."""
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])


def ordered_alloy() -> Structure:
    """Cu3Au (L1_2): each Cu has 4 Au and 8 Cu at one distance, so 8 neighbours cut through."""
    return Structure(Lattice.cubic(3.75), ["Au", "Cu", "Cu", "Cu"], FCC_SITES)


def without_symmetry(n_atom: int = 12, seed: int = 0) -> Structure:
    """A cell without any symmetry, atoms at least 1.6 Å apart."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(7.1, 8.3, 9.7, 82, 95, 107)
    positions: list[np.ndarray] = []
    while len(positions) < n_atom:
        position = rng.random(3)
        if not positions or lattice.get_all_distances(positions, position).min() > 1.6:
            positions.append(position)
    elements = itertools.islice(itertools.cycle(["Mg", "O", "Si"]), n_atom)
    return Structure(lattice, list(elements), positions)


def shuffled(structure: Structure, seed: int = 0) -> tuple[Structure, np.ndarray]:
    """The same crystal with its atoms in another order, and that order."""
    order = np.random.default_rng(seed).permutation(len(structure))
    return Structure.from_sites([structure[int(site)] for site in order]), order


def jittered(structure: Structure, distance: float, seed: int = 0) -> Structure:
    """Every atom moved by ``distance`` (Å) in a direction of its own."""
    steps = np.random.default_rng(seed).normal(size=(len(structure), 3))
    steps *= distance / np.linalg.norm(steps, axis=1, keepdims=True)
    positions = structure.cart_coords + steps
    return Structure(structure.lattice, structure.species, positions, coords_are_cartesian=True)


def bundled(step: int) -> list[tuple[str, Structure]]:
    """Every ``step``-th of the bundled crystals."""
    with gzip.open(BUNDLED) as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, 0, None, step)]
    return [(row["id"], Structure.from_dict(row["structure"])) for row in rows]


def write_lines(path: Path, rows: list) -> Path:
    """JSON lines of rows, where a text is a line as it stands; compressed if the name says so."""
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def iter_structures(paths: Iterable[StructureLike]) -> Iterator[tuple[str, Structure | BadCrystal]]:
    """Id and structure, or the reason why there is none, of every crystal in ``paths``.

    Raises:
        UserError: as ``open_structures``.
    """
    results = map(read_item, open_structures(paths).items())
    return ((record.id, structure) for record, structure in results)
