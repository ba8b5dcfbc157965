"""The report of a run as one web page that needs nothing else, not even a network."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from monty.serialization import loadfn
from pymatgen.core import Structure

from gatgnn_jax.pages.assemble import assemble, atomic_radius, crystal_data

TITLE = "Report – gatgnn_jax"
SCRIPTS = (
    "tables.js",
    "geometry.js",
    "polyhedra.js",
    "crystal.js",
    "chart.js",
    "scatter.js",
    "uncertainty.js",
    "periodic.js",
    "sections.js",
    "report.js",
)

BOND = 1.15
"""Atoms are joined if they are closer than this times the sum of their radii."""


def report_page(numbers: Mapping[str, Any], structures: Mapping[int, Structure]) -> str:
    """The page of `report_numbers`, and of the structures by row that are to be shown."""
    scheme = resources.files("pymatgen.vis") / "ElementColorSchemes.yaml"
    colors = loadfn(str(scheme))["Jmol"]
    data = {
        **numbers,
        "structures": {
            row: structure_data(structure, colors) for row, structure in structures.items()
        },
    }
    return assemble("report.html", TITLE, ["style.css", "report.css"], SCRIPTS, data)


def structure_data(structure: Structure, colors: Mapping[str, list[int]]) -> dict[str, Any]:
    """A crystal as `crystal.js` draws it, in colours of the elements, with its bonds."""
    symbols = [site.specie.symbol for site in structure]
    radii = np.array([atomic_radius(symbol) for symbol in symbols])
    receivers, senders, images, distances = structure.get_neighbor_list(2 * BOND * radii.max())
    near = distances < BOND * (radii[receivers] + radii[senders])
    return {
        **crystal_data(structure),
        "colors": {symbol: colors.get(symbol, [200, 200, 200]) for symbol in symbols},
        "receivers": receivers[near].tolist(),
        "senders": senders[near].tolist(),
        "images": images[near].astype(int).tolist(),
        "distances": np.round(distances[near], 4).tolist(),
    }
