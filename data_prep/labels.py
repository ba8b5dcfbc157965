"""What atoms are called: as in their file, or by element and number."""

import warnings
from collections import Counter
from collections.abc import Iterable

from pymatgen.core import Composition, Structure


def atom_labels(structure: Structure) -> list[str]:
    """A label for each atom: those of a CIF, or Fe1, Fe2, O1, … where the structure has none."""
    labels = structure.labels
    # pymatgen calls an atom without a label by its species.
    if any(label != site.species_string for label, site in zip(labels, structure, strict=True)):
        return labels
    return numbered(site.specie.symbol for site in structure)


def numbered(symbols: Iterable[str]) -> list[str]:
    """A label for each of some atoms, by element and number in their order: Fe1, Fe2, O1, …"""
    seen: Counter[str] = Counter()
    labels = []
    for symbol in symbols:
        seen[symbol] += 1
        labels.append(f"{symbol}{seen[symbol]}")
    return labels


def formula(composition: Composition) -> str:
    """The reduced formula, without pymatgen's word on elements that have no electronegativity."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")
        return composition.reduced_formula
