"""What a damaged file is, what must come of it, and the undamaged crystals they are made of."""

import io
import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ase import Atoms
from ase.io.cif import write_cif
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from data_prep.cache import BUNDLED
from data_prep.checks import check_structure
from data_prep.errors import BadCrystal
from data_prep.reading.sources import open_source, read_item

MAX_ATOMS = 60
"""Of a crystal that is damaged; larger ones take long and show no more."""


class Expected(Enum):
    """What must come of a crystal, by what was done to it."""

    SAME = "read as the crystal it was"
    SAME_OR_REFUSED = "read as the crystal it was, or refused"
    REFUSED = "refused"
    ANYTHING = "refused, or read as another program reads it"


class Wanted(NamedTuple):
    """A crystal of a damaged file."""

    expected: Expected
    structure: Structure
    """before the damage"""


class Case(NamedTuple):
    """A damaged file, and its crystals in order."""

    kind: str
    file: str
    content: bytes
    crystals: Sequence[Wanted]


@dataclass(frozen=True)
class Crystals:
    """The undamaged crystals, as structures and, where the data have it, as the text of a CIF."""

    structures: Sequence[Structure]
    texts: Sequence[str | None]

    def structure(self, rng: random.Random) -> Structure:
        """Any of them."""
        return rng.choice(self.structures)

    def cif(self, rng: random.Random) -> tuple[str, Structure]:
        """A CIF in one of several spellings, and what is in it."""
        number = rng.randrange(len(self.structures))
        structure, text = self.structures[number], self.texts[number]
        spelling = rng.choice([as_it_is, symmetrised, of_ase])
        if spelling is as_it_is and text is not None:
            return text, structure
        return spelling(structure)


Maker: TypeAlias = Callable[[Crystals, random.Random], Case]
"""Makes a damaged file."""


def as_it_is(structure: Structure) -> tuple[str, Structure]:
    """A CIF of all atoms, as pymatgen writes it."""
    return str(CifWriter(structure)), structure


def symmetrised(structure: Structure) -> tuple[str, Structure]:
    """A CIF with symmetry, as pymatgen writes it, and its conventional cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib's, of its own future
        text = str(CifWriter(structure, symprec=0.01))
        return text, SpacegroupAnalyzer(structure, 0.01).get_refined_structure()


def of_ase(structure: Structure) -> tuple[str, Structure]:
    """A CIF of all atoms, as ASE writes it."""
    atoms = Atoms(
        numbers=structure.atomic_numbers,
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
        pbc=True,
    )
    file = io.BytesIO()
    write_cif(file, [atoms])
    return file.getvalue().decode(), structure


def load_crystals(paths: Sequence[Path], rng: random.Random, count: int) -> Crystals:
    """Some good crystals of the sources, at random; of the bundled ones if there is no source.

    The text of a CIF is kept for the figures of files as their makers wrote them.
    """
    structures, texts = list[Structure](), list[str | None]()
    for path in paths or [BUNDLED]:
        items = list(open_source(path).items())
        rng.shuffle(items)
        found = 0
        for item in items:
            record, structure = read_item(item)
            if isinstance(structure, BadCrystal) or len(structure) > MAX_ATOMS:
                continue
            try:
                check_structure(structure)
            except BadCrystal:
                continue
            text = record.structure
            structures.append(structure.copy().remove_oxidation_states())
            texts.append(text if isinstance(text, str) and text.lstrip()[:1] not in "{" else None)
            found += 1
            if found == max(1, count // max(1, len(paths))):
                break
    return Crystals(structures, texts)


def as_dict(structure: Structure) -> dict:
    """A dictionary of pymatgen, as JSON gives it back."""
    return json.loads(json.dumps(structure.as_dict()))
