"""Structures as dictionaries: every form that is read, and that nothing in them is ever run."""

import csv
import gzip
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from data_prep import build
from data_prep.checks import check_structure
from data_prep.errors import BadCrystal
from data_prep.reading.dictionaries import structure_from_dict
from gatgnn_jax import embed, evaluate, explain, predict, train
from gatgnn_jax.api import Predictor
from tests.commands import TINY, bundled_rows
from tests.crystals import iter_structures, rock_salt, without_symmetry, write_lines

SALT = {
    "lattice": {"matrix": [[4, 0, 0], [0, 5, 0], [0, 0, 6]]},
    "sites": [
        {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0], "label": "Na1"},
        {"species": [{"element": "Cl", "occu": 1.0}], "xyz": [2, 2.5, 3]},
    ],
}


def test_what_pymatgen_writes_is_read_back() -> None:
    charged = rock_salt().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    shared = Structure(Lattice.cubic(3), [{"Fe2+": 0.5, "Fe3+": 0.25, "Mg": 0.25}], [[0, 0, 0]])
    fixed = rock_salt().add_site_property("selective_dynamics", [[True, True, False]] * 8)
    for structure in (without_symmetry(), rock_salt(), charged, shared):
        for verbosity in (0, 1):
            written = json.loads(json.dumps(structure.as_dict(verbosity)))
            assert structure_from_dict(written) == structure
    assert structure_from_dict(fixed.as_dict()).species == rock_salt().species


def test_every_form_is_the_same_crystal() -> None:
    parameters = dict(
        zip(["a", "b", "c", "alpha", "beta", "gamma"], [4, 5, 6] + [90] * 3, strict=True)
    )
    jarvis = {
        "lattice_mat": SALT["lattice"]["matrix"],
        "elements": ["Na ", "Cl"],
        "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "cartesian": False,
    }
    forms = [
        SALT,
        SALT | {"lattice": parameters, "@module": "pymatgen.core.structure", "@class": "Structure"},
        jarvis,
        jarvis | {"coords": [[0, 0, 0], [2, 2.5, 3]], "cartesian": True},
    ]
    for form in forms:
        structure = structure_from_dict(form)
        assert structure.formula == "Na1 Cl1"
        np.testing.assert_allclose(structure.lattice.matrix, np.diag([4, 5, 6]), atol=1e-12)
        np.testing.assert_allclose(structure.frac_coords[1], 0.5)
    assert structure_from_dict(SALT).labels == ["Na1", "Cl"]


def test_isotopes_shared_sites_and_slabs() -> None:
    def of(**changes: Any) -> np.ndarray:
        site = {"species": [{"element": "D", "occu": 1}], "abc": [0, 0, 0]}
        return check_structure(structure_from_dict(SALT | {"sites": [site]} | changes))

    assert of().tolist() == [1]
    half = [{"species": [{"element": "Na", "occu": 0.5}] * 2, "abc": [0, 0, 0]}]
    assert of(sites=half).tolist() == [11]
    with pytest.raises(BadCrystal, match="a molecule or a slab"):
        of(lattice=SALT["lattice"] | {"pbc": [True, True, False]})


ANGLES = dict.fromkeys(("alpha", "beta", "gamma"), 90)


def site(**changes: Any) -> dict[str, Any]:
    return SALT | {"sites": [SALT["sites"][0] | changes]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "no 'lattice'"),
        ({"sites": SALT["sites"]}, "no 'lattice'"),
        ({"lattice": 3, "sites": []}, "the lattice is no dictionary"),
        ({"lattice": {"matrix": [1]}, "sites": []}, r"shape \[1\] instead of \[3, 3\]"),
        ({"lattice": {"a": 1, "b": 1}, "sites": []}, "no 'c'"),
        (site(abc=[0, 0]), r"shape \[2\]"),
        (site(abc=[0, 0, "x"]), "could not convert"),
        (site(abc=None), r"shape \[\]"),
        (site(abc=[0, 0, 0], xyz=[0, 0, 1]), "site 0 has 'abc' and 'xyz' that are 1 Å apart"),
        (SALT | {"lattice": SALT["lattice"] | {"pbc": "TTF"}}, "'pbc' is 'TTF'"),
        (SALT | {"lattice": SALT["lattice"] | {"pbc": ["True"] * 3}}, "three of true and false"),
        (
            SALT | {"lattice": SALT["lattice"] | dict.fromkeys(("a", "b", "c"), 9) | ANGLES},
            "lengths and angles do not agree",
        ),
        (site(species=[]), "a site without atoms"),
        (site(species=[{"element": "Na", "occu": 0}]), "a site without atoms"),
        (site(species=[{"element": "Na", "occu": 2}]), "sum to more than 1"),
        (site(species=[{"element": "Na"}]), "no 'occu'"),
        (site(species=[{"element": "Xx", "occu": 1}]), "'Xx' is no element"),
        (site(species=[DummySpecies("X").as_dict() | {"occu": 1}]), "'X' is no element"),
        ({"lattice_mat": np.eye(3), "elements": ["H"], "coords": [[0, 0, 0]]}, "no 'cartesian'"),
        (
            {"lattice_mat": np.eye(3), "elements": ["H"], "coords": [], "cartesian": True},
            "instead of",
        ),
    ],
)
def test_what_is_no_structure_says_so(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadCrystal, match=f"unreadable structure.*{reason}"):
        structure_from_dict(content)


EVIL = {"@module": "evil_module", "@class": "Evil", "@callable": "run", "@version": None}


def with_evil(structure: dict[str, Any]) -> list[dict[str, Any]]:
    """The structure with a name of a module at every place where a decoder would look."""
    first, *others = structure["sites"]
    places = [
        {**structure, **EVIL},
        {**structure, "lattice": structure["lattice"] | EVIL},
        {**structure, "charge": EVIL},
        {**structure, "properties": {"x": EVIL}},
        {**structure, "sites": [first | EVIL, *others]},
        {**structure, "sites": [first | {"properties": {"magmom": EVIL}}, *others]},
        {**structure, "sites": [first | {"properties": EVIL}, *others]},
        {**structure, "sites": [first | {"label": EVIL}, *others]},
        {**structure, "sites": [first | {"species": [first["species"][0] | EVIL]}, *others]},
    ]
    return places


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """A module that can be imported and leaves a trace; whether it has."""
    trace = tmp_path / "trace"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "evil_module.py").write_text(
        f"open({str(trace)!r}, 'w').close()\nclass Evil:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield trace.exists
    sys.modules.pop("evil_module", None)


def test_the_trace_would_be_seen(evil: Callable[[], bool]) -> None:
    """pymatgen's own reader imports the module: the test below can fail."""
    content = with_evil(rock_salt().as_dict())[5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # only one site has the property
        Structure.from_dict(content)
    assert evil()


def sources(folder: Path) -> list[Path]:
    """Files of every format, each with crystals that name the module."""
    structures = [
        evil
        for number, row in enumerate(bundled_rows(3))
        for evil in with_evil(Structure.from_dict(row["structure"]).as_dict())
    ]
    rows = [
        {"id": f"e{number}", "structure": structure, "gap": number / 2 + 1} | EVIL
        for number, structure in enumerate(structures)
    ]
    data = [[structure, row["gap"]] for structure, row in zip(structures, rows, strict=True)]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "list.json").write_text(json.dumps(structures))
    (folder / "named.json").write_text(json.dumps({row["id"]: row for row in rows}))
    (folder / "one.json").write_text(json.dumps(structures[5]))
    (folder / "matbench.json.gz").write_bytes(
        gzip.compress(
            json.dumps(
                {"index": list(range(len(data))), "columns": ["structure", "gap"], "data": data}
            ).encode()
        )
    )
    write_lines(folder / "lines.jsonl", rows)
    texts = [row | {"structure": json.dumps(row["structure"])} for row in rows]
    write_lines(folder / "texts.jsonl", texts)
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["id", "structure", "gap"], extrasaction="ignore")
        table.writeheader()
        table.writerows(texts)
    return sorted(path for path in folder.iterdir() if path.is_file())


def test_no_format_and_no_command_runs_what_a_dictionary_names(
    evil: Callable[[], bool], tmp_path: Path
) -> None:
    (tmp_path / "sources").mkdir()
    paths = sources(tmp_path / "sources")
    assert len(paths) == 8
    found = [structure for _, structure in iter_structures(paths)]
    assert len(found) > 150
    assert all(isinstance(structure, Structure) for structure in found)

    lines = tmp_path / "sources" / "lines.jsonl"
    out = tmp_path / "out"
    options = ["--epochs", "1", "--quiet", "--run-dir", str(out / "run"), "--property", "gap"]
    assert train.main(["--data", str(lines), *options, *TINY]) == 0
    assert build.main([str(lines), "--out", str(out / "dataset"), "--quiet"]) == 0
    run = str(out / "run")
    assert predict.main([run, *map(str, paths), "--out", str(out / "p.csv"), "--quiet"]) == 0
    assert embed.main([run, str(lines), "--out", str(out / "v.csv"), "--quiet", "--map=none"]) == 0
    assert explain.main([run, str(paths[-1]), "--out", str(out / "explained"), "--quiet"]) == 0
    assert evaluate.main([run, "--out", str(out / "own"), "--quiet"]) == 0
    assert evaluate.main([run, "--data", str(lines), "--out", str(out / "e"), "--quiet"]) == 0
    contents = with_evil(rock_salt().as_dict())
    assert not any(Predictor.load(run).predict(contents).reasons)
    assert not evil()
