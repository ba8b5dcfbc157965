"""The structure of a dictionary, of pymatgen or JARVIS."""

import warnings
from collections.abc import Mapping
from typing import Any

from pymatgen.core import Structure

from data_prep.errors import BadCrystal, one_line


def structure_from_dict(content: Mapping[str, Any]) -> Structure:
    """The structure of a dictionary of pymatgen (``Structure.as_dict``) or JARVIS (``atoms``).

    Raises:
        BadCrystal: a dictionary that is no structure.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "lattice_mat" not in content:
                return Structure.from_dict(dict(content))
            return Structure(
                content["lattice_mat"],
                [element.strip() for element in content["elements"]],
                content["coords"],
                coords_are_cartesian=content["cartesian"],
            )
    except Exception as error:
        raise BadCrystal(
            f"unreadable structure: {type(error).__name__} {one_line(error)}"
        ) from None
