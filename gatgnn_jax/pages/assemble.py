"""What all web pages share: one file with everything in it, and how a crystal is told to it."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from pymatgen.core import Element, Structure

from data_prep.labels import atom_labels, formula

SPHERE = 0.4
"""Spheres are drawn with this share of the atomic radius, so that bonds are seen."""


def assemble(
    body: str, title: str, styles: Sequence[str], scripts: Sequence[str], data: Mapping
) -> str:
    """A page that needs nothing else, not even a network, from files of the folder `web`."""
    html = (
        web_text(["frame.html"]).replace("__TITLE__", title).replace("__BODY__", web_text([body]))
    )
    html = html.replace("__STYLE__", web_text(styles)).replace("__SCRIPT__", web_text(scripts))
    return with_data(html, data)


def with_data(html: str, data: Mapping) -> str:
    """A page with the data it shows in the place of `__DATA__`.

    To be put in last, and without "<": names come from files, and must neither be replaced nor end
    the script.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return html.replace("__DATA__", text)


def web_text(names: Sequence[str]) -> str:
    """Files of the folder `web`, one after another."""
    folder = resources.files("gatgnn_jax") / "pages" / "web"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def crystal_data(structure: Structure) -> dict[str, Any]:
    """Formula, lattice [3][3] (Å) and atoms, as `crystal.js` draws them."""
    return {
        "formula": formula(structure.composition),
        "lattice": np.round(structure.lattice.matrix, 6).tolist(),
        "atoms": [
            {
                "label": label,
                "element": site.specie.symbol,
                "position": np.round(site.frac_coords, 6).tolist(),
                "radius": round(SPHERE * atomic_radius(site.specie.symbol), 3),
                "metal": Element(site.specie.symbol).is_metal,
                "electronegativity": electronegativity(site.specie.symbol),
            }
            for label, site in zip(atom_labels(structure), structure, strict=True)
        ],
    }


def electronegativity(symbol: str) -> float | None:
    """Pauling's electronegativity of an element; None where there is none, as of neon."""
    value = Element(symbol).data.get("X")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def atomic_radius(symbol: str) -> float:
    """Slater's radius of an element (Å); 1.5 where there is none."""
    return float(Element(symbol).atomic_radius or 1.5)
