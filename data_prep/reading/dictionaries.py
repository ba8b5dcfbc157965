"""The structure of a dictionary, of pymatgen or JARVIS.

Read key by key: pymatgen's and monty's own readers import whatever module a dictionary names under
`@module`, which is to run a stranger's code.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from data_prep.errors import BadCrystal, one_line

SAME_PLACE = 0.05
"""Positions of a site in two ways are the same if no farther apart than this (Å)."""

_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


def structure_from_dict(content: Mapping[str, Any]) -> Structure:
    """The structure of a dictionary of pymatgen (``Structure.as_dict``) or JARVIS (``atoms``).

    Of the sites species, position and label are taken; other properties are left aside.

    Raises:
        BadCrystal: a dictionary that is no structure.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _of_jarvis(content) if "lattice_mat" in content else _of_pymatgen(content)
    except KeyError as error:
        raise BadCrystal(f"unreadable structure: no {one_line(error)}") from None
    except ValueError as error:
        raise BadCrystal(f"unreadable structure: {one_line(error)}") from None
    except Exception as error:  # a text for a number, a number for a list, and so on
        raise BadCrystal(
            f"unreadable structure: {type(error).__name__} {one_line(error)}"
        ) from None


def structure_to_dict(structure: Structure) -> dict[str, Any]:
    """What `structure_from_dict` reads: a structure in plain JSON values, all digits kept."""
    sites = [
        {
            "species": [_entry(specie, share) for specie, share in site.species.items()],
            "abc": site.frac_coords.tolist(),
            "label": site.label,
        }
        for site in structure
    ]
    lattice = structure.lattice
    return {"lattice": {"matrix": lattice.matrix.tolist(), "pbc": [*map(bool, lattice.pbc)]}} | {
        "sites": sites
    }


def _entry(specie: Element | Species | DummySpecies, share: float) -> dict[str, Any]:
    charge = getattr(specie, "oxi_state", None)
    own = {"element": specie.symbol, "occu": float(share)}
    return (
        own if charge is None or isinstance(specie, Element) else own | {"oxidation_state": charge}
    )


def _of_jarvis(content: Mapping[str, Any]) -> Structure:
    if not isinstance(content["cartesian"], bool):
        raise ValueError("'cartesian' is neither true nor false")
    return Structure(
        _numbers(content["lattice_mat"], (3, 3)),
        [Element(element.strip()) for element in content["elements"]],
        _numbers(content["coords"], (len(content["elements"]), 3)),
        coords_are_cartesian=content["cartesian"],
    )


def _of_pymatgen(content: Mapping[str, Any]) -> Structure:
    lattice = _lattice(content["lattice"])
    sites = content["sites"]
    positions = np.reshape([_position(site, lattice) for site in sites], (-1, 3))
    both = [n for n, site in enumerate(sites) if "abc" in site and "xyz" in site]
    cartesian = np.reshape([_numbers(sites[n]["xyz"], (3,)) for n in both], (-1, 3))
    apart = lattice.get_fractional_coords(cartesian) - positions[both]
    apart = np.linalg.norm((apart - np.rint(apart)) @ lattice.matrix, axis=1)
    if len(apart) and apart.max() > SAME_PLACE:
        site = both[int(apart.argmax())]
        raise ValueError(f"site {site} has 'abc' and 'xyz' that are {apart.max():.3g} Å apart")
    return Structure(
        lattice,
        [_species(site["species"]) for site in sites],
        positions,
        labels=[_label(site) for site in sites],
    )


def _lattice(content: Any) -> Lattice:
    if not isinstance(content, Mapping):
        raise ValueError("the lattice is no dictionary")
    pbc = content.get("pbc")
    pbc = (True, True, True) if pbc is None else tuple(pbc)
    if len(pbc) != 3 or not all(isinstance(own, bool | np.bool_) for own in pbc):
        raise ValueError(f"'pbc' is {content['pbc']!r}: give three of true and false")
    has_parameters = all(name in content for name in _PARAMETERS)
    if "matrix" not in content:
        return Lattice.from_parameters(*(float(content[name]) for name in _PARAMETERS), pbc=pbc)
    lattice = Lattice(_numbers(content["matrix"], (3, 3)), pbc)
    if has_parameters:
        stated = np.array([float(content[name]) for name in _PARAMETERS])
        if not np.allclose(lattice.parameters, stated, rtol=0.01, atol=0.01):
            raise ValueError("the lattice's 'matrix' and its lengths and angles do not agree")
    return lattice


def _species(entries: Any) -> dict[Element | Species | DummySpecies, float]:
    """The occupancies of a site, from `[{"element", "occu", "oxidation_state"}, …]`."""
    occupancy: dict[Element | Species | DummySpecies, float] = {}
    for entry in entries:
        symbol, charge = entry["element"], entry.get("oxidation_state")
        if not Element.is_valid_symbol(symbol):
            raise ValueError(f"{symbol!r} is no element")
        specie = Element(symbol) if charge is None else Species(symbol, float(charge))
        occupancy[specie] = occupancy.get(specie, 0.0) + float(entry["occu"])
    if not occupancy or min(occupancy.values()) <= 0:
        raise ValueError("a site without atoms")
    return occupancy


def _position(site: Mapping[str, Any], lattice: Lattice) -> np.ndarray:
    """Fractional, [3]; some sites have a Cartesian position (Å) only."""
    if "abc" in site:
        return _numbers(site["abc"], (3,))
    return lattice.get_fractional_coords(_numbers(site["xyz"], (3,)))


def _label(site: Mapping[str, Any]) -> str | None:
    label = site.get("label")
    return one_line(label) if isinstance(label, str) else None


def _numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.array(values, np.float64)
    if numbers.shape != shape:
        raise ValueError(f"numbers of shape {list(numbers.shape)} instead of {list(shape)}")
    return numbers
