"""The structure of a CIF."""

import warnings

from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser

from data_prep.errors import BadCrystal, one_line
from data_prep.reading.p1_cif import parse_p1_cif


def structure_from_cif(text: str) -> Structure:
    """The first structure of a CIF, as pymatgen's CifParser reads it.

    Raises:
        BadCrystal: nothing to parse, or sites that do not add up to the formula in the file.
    """
    structure = parse_p1_cif(text)
    if structure is not None:
        return structure
    if not text.strip():
        raise BadCrystal("the CIF is empty")
    problems: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = CifParser.from_str(text, check_cif=False)
            problems = parser.warnings
            structure = parser.parse_structures(primitive=False)[0]
            block = next(iter(parser.as_dict().values()))
    except Exception as error:  # the parser raises whatever its many steps raise
        cause = one_line(problems[-1] if problems else error)
        raise BadCrystal(f"unreadable CIF (truncated, or no CIF): {cause}") from None
    if structure.is_ordered:  # disorder is found out later and has a reason of its own
        _check_formula(structure, block.get("_chemical_formula_sum"))
    return structure


def _check_formula(structure: Structure, formula: object) -> None:
    """A file cut off between two sites parses well; only its formula tells."""
    try:
        stated = Composition(str(formula)).remove_charges().fractional_composition
        found = structure.composition.remove_charges().fractional_composition
    except Exception:  # a formula that cannot be understood: nothing to compare with
        return
    if not stated.almost_equals(found, atol=0.01):
        raise BadCrystal(
            f"the sites add up to {structure.composition.reduced_formula}, "
            f"the formula in the CIF is {formula}: truncated, or atoms without positions"
        )
