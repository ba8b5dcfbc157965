"""Crystals to try the page with, by name, as POSCAR files.

Lattice constants and positions at room temperature as R. W. G. Wyckoff gives them (Crystal
Structures, 2nd edition, volumes 1 and 2, 1963–1964), rounded.
"""


def _poscar(name: str, cell: str, elements: str, counts: str, *positions: str) -> str:
    return "\n".join([name, "1.0", *cell.split("; "), elements, counts, "Direct", *positions, ""])


EXAMPLES = {
    "Silicon": _poscar(
        "Si",
        "0 2.7155 2.7155; 2.7155 0 2.7155; 2.7155 2.7155 0",
        "Si",
        "2",
        "0 0 0",
        "0.25 0.25 0.25",
    ),
    "Rutile": _poscar(
        "TiO2",
        "4.594 0 0; 0 4.594 0; 0 0 2.959",
        "Ti O",
        "2 4",
        "0 0 0",
        "0.5 0.5 0.5",
        "0.305 0.305 0",
        "0.695 0.695 0",
        "0.195 0.805 0.5",
        "0.805 0.195 0.5",
    ),
    "Perovskite": _poscar(
        "SrTiO3",
        "3.905 0 0; 0 3.905 0; 0 0 3.905",
        "Sr Ti O",
        "1 1 3",
        "0 0 0",
        "0.5 0.5 0.5",
        "0.5 0.5 0",
        "0.5 0 0.5",
        "0 0.5 0.5",
    ),
    "Cementite": _poscar(
        "Fe3C",
        "4.524 0 0; 0 5.089 0; 0 0 6.743",
        "Fe C",
        "12 4",
        "0.833 0.040 0.25",
        "0.167 0.960 0.75",
        "0.667 0.540 0.25",
        "0.333 0.460 0.75",
        "0.333 0.175 0.065",
        "0.667 0.825 0.935",
        "0.167 0.675 0.065",
        "0.833 0.325 0.935",
        "0.333 0.175 0.435",
        "0.667 0.825 0.565",
        "0.167 0.675 0.435",
        "0.833 0.325 0.565",
        "0.43 0.87 0.25",
        "0.57 0.13 0.75",
        "0.07 0.37 0.25",
        "0.93 0.63 0.75",
    ),
}
