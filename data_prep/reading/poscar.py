"""The structure of a POSCAR."""

import warnings

from pymatgen.core import Structure

from data_prep.errors import BadCrystal, one_line


def structure_from_poscar(text: str) -> Structure:
    """The structure of a POSCAR that names its elements.

    Raises:
        BadCrystal: nothing to parse, or a file without element names.
    """
    # Imported where needed: half a second that most runs can do without.
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without names pymatgen calls the elements H, He, Li, … and only warns.
            warnings.simplefilter("error", BadPoscarWarning)
            return Poscar.from_str(text).structure
    except Exception as error:
        raise BadCrystal(f"unreadable POSCAR: {one_line(error)}") from None
