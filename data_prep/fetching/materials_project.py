"""Crystals and their properties from the Materials Project, through its own client mp-api.

First the ids of all crystals that are asked for are listed, then their documents come in chunks
and are appended to a partial file. Whatever ends the program, the same command goes on.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from data_prep.errors import UserError, check_limit
from data_prep.fetching.growing_lines import GrowingLines
from data_prep.progress import track
from data_prep.properties import canonical_name

CHUNK = 200
"""Documents in one request; their ids have to fit into its address."""

PAGE = 1000
"""Ids in one answer: the most the server gives."""

KEY_VARIABLE = "MP_API_KEY"
KEY_PAGE = "https://materialsproject.org/api"


@dataclass(frozen=True)
class Field:
    """Where the Materials Project keeps a property."""

    path: str
    """In a summary document."""
    part: str
    """The part of the database (`has_props`) of which a crystal must have an entry."""


FIELDS = {
    "formation_energy": Field("formation_energy_per_atom", "thermo"),
    "absolute_energy": Field("energy_per_atom", "thermo"),
    "band_gap": Field("band_gap", "electronic_structure"),
    "fermi_energy": Field("efermi", "electronic_structure"),
    "bulk_modulus": Field("bulk_modulus.vrh", "elasticity"),
    "shear_modulus": Field("shear_modulus.vrh", "elasticity"),
    "poisson_ratio": Field("homogeneous_poisson", "elasticity"),
    "is_metal": Field("is_metal", "electronic_structure"),
}
"""Their units are ours: eV/atom, eV, GPa (averages of Voigt, Reuss and Hill)."""

LICENCE = {
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "reference": "A. Jain et al., The Materials Project, APL Materials 1, 011002 (2013), "
    "https://doi.org/10.1063/1.4812323",
}


@dataclass(frozen=True)
class Query:
    """Which crystals, and which of their properties (names of `FIELDS`)."""

    properties: tuple[str, ...]
    elements: tuple[str, ...] = ()
    """Only crystals with all of these."""
    chemsys: tuple[str, ...] = ()
    """Only crystals of these systems, like Li-Fe-O."""
    ids: tuple[str, ...] = ()
    """These crystals, and no others are looked for."""
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.properties:
            raise UserError(f"give one property or more: {', '.join(FIELDS)}")
        for name in self.properties:
            if name not in FIELDS:
                raise UserError(f"the Materials Project has no {name!r}: {', '.join(FIELDS)}")
        check_limit(self.limit)
        if self.ids and (self.elements or self.chemsys):
            raise UserError("give ids, or elements and systems to look for, not both")


def query_of(names: Sequence[str], **filters: Any) -> Query:
    """A query for properties in any spelling; each once.

    Raises:
        UserError: a property that the Materials Project does not have.
    """
    return Query(tuple(dict.fromkeys(map(canonical_name, names))), **filters)


class Database:
    """The Materials Project, with its errors turned into ours."""

    def __init__(self, key: str | None):
        """Connect.

        Raises:
            UserError: no key or a wrong one, no network, or mp-api is not installed.
        """
        if not key:
            raise UserError(
                f"the Materials Project wants a key: set {KEY_VARIABLE}, or give --api-key; "
                f"{KEY_PAGE} shows yours once you have logged in"
            )
        try:
            client = import_module("mp_api.client")
        except ImportError as error:
            raise UserError(
                f"fetching from the Materials Project needs mp-api ({error}): "
                'pip install -e ".[fetch]"'
            ) from None
        self._error: type[Exception] = client.MPRestError
        with self._translated():
            self._rester = client.MPRester(key, use_document_model=False, mute_progress_bars=True)
        self.version = str(self._rester.db_version)

    def ids(self, query: Query) -> list[str]:
        """The ids of the crystals with any of the properties, sorted."""
        if query.ids:
            return list(dict.fromkeys(query.ids))[: query.limit]
        pages = None if query.limit is None else math.ceil(query.limit / PAGE)
        found: set[str] = set()
        for part in sorted({FIELDS[name].part for name in query.properties}):
            documents = self._search(
                elements=list(query.elements) or None,
                chemsys=list(query.chemsys) or None,
                has_props=[part],
                fields=["material_id"],
                num_chunks=pages,
                chunk_size=PAGE,
                # Pages of a list in no order may overlap.
                _sort_fields="material_id",
            )
            found.update(str(document["material_id"]) for document in documents)
        return sorted(found)[: query.limit]

    def rows(self, ids: Sequence[str], query: Query) -> list[dict[str, Any]]:
        """A row of our JSON lines for each crystal that is there and has a value, in order."""
        fields = {FIELDS[name].path.partition(".")[0] for name in query.properties}
        documents = self._search(
            material_ids=list(ids),
            fields=["material_id", "structure", *sorted(fields)],
            chunk_size=PAGE,
        )
        rows = {str(d["material_id"]): _row(d, query.properties) for d in documents}
        return [row for name in ids if (row := rows.get(name)) is not None]

    def _search(self, **criteria: Any) -> list[dict[str, Any]]:
        with self._translated():
            # The crystals of GNoME have another licence.
            found = self._rester.materials.summary.search(
                deprecated=False, include_gnome=False, **criteria
            )
        return list(found)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, self._error) as error:
            text = " ".join(str(error).split())
            if "status code 401" in text or "status code 403" in text:
                raise UserError(
                    f"the Materials Project does not accept the key: compare it with {KEY_PAGE}"
                ) from None
            raise UserError(f"the Materials Project cannot be asked: {text[:300]}") from None


def fetch(database: Database, query: Query, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Write the crystals to `out` as JSON lines, going on with what an earlier process has.

    Returns:
        What was fetched, for `OUT.source.json`; ids that are not there, or have no value, stand
        under `missing`.

    Raises:
        UserError: the database stops answering; what has come is kept.
    """
    # Another version has other values: the two are not mixed in one file.
    settings = {"database_version": database.version, "query": asdict(query)}
    lines = GrowingLines(out, json.dumps(settings, sort_keys=True))
    ids = lines.restore()
    if ids is None:
        if not quiet:
            sys.stderr.write(f"Listing crystals of version {database.version}\n")
        ids = database.ids(query)
        if not ids:
            raise UserError("the Materials Project has no such crystals: ask for less")
        lines.begin(ids)
    done = lines.ids()
    left = [name for name in ids if name not in done]
    try:
        for _ in track(_chunks(database, query, left, lines), len(left), "Fetching", quiet):
            pass
    except UserError as error:
        raise UserError(f"{error}\n{lines.part} is kept: the same command goes on") from None
    done = lines.ids()
    if not done:
        raise UserError(f"none of {len(ids)} crystals has {' or '.join(query.properties)}")
    lines.finish()
    return {
        "source": "Materials Project",
        **settings,
        "fields": {name: FIELDS[name].path for name in query.properties},
        "crystals": len(done),
        "missing": [name for name in ids if name not in done],
        **LICENCE,
    }


def _chunks(
    database: Database, query: Query, ids: Sequence[str], lines: GrowingLines
) -> Iterator[str]:
    """Fetch and append chunk by chunk; every id that is dealt with."""
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        lines.append(database.rows(chunk, query))
        yield from chunk


def _row(document: Mapping[str, Any], properties: Sequence[str]) -> dict[str, Any] | None:
    values = {name: _value(document, FIELDS[name].path) for name in properties}
    targets = {name: value for name, value in values.items() if value is not None}
    structure = document.get("structure")
    if not targets or not structure:
        return None
    # Cartesian positions, labels and magnetic moments make up two thirds of a document.
    sites = [{key: site[key] for key in ("species", "abc")} for site in structure["sites"]]
    lattice = {"matrix": structure["lattice"]["matrix"]}
    return {
        "id": str(document["material_id"]),
        "structure": {"lattice": lattice, "sites": sites},
        "targets": targets,
    }


def _value(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
