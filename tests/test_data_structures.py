"""Reading structures: both CIF readers against pymatgen's, and a reason for each bad file."""

import gzip
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from data_prep.errors import BadCrystal
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.dictionaries import structure_from_dict
from data_prep.reading.folders import structure_id
from data_prep.reading.p1_cif import parse_p1_cif
from data_prep.reading.poscar import structure_from_poscar
from data_prep.reading.structures import read_structure
from tests.crystals import bundled, rock_salt

SHARED = Path(__file__).parents[2] / "shared" / "data"


def cif_of(structure: Structure) -> str:
    return str(CifWriter(structure))


def parsed_by_pymatgen(cif: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CifParser.from_str(cif).parse_structures(primitive=False)[0]


def assert_identical(one: Structure, other: Structure) -> None:
    """Equal to the last bit; pymatgen sorts atoms by electronegativity."""
    np.testing.assert_array_equal(one.lattice.matrix, other.lattice.matrix)
    rows = [
        sorted(zip(s.atomic_numbers, s.frac_coords.tolist(), strict=True)) for s in (one, other)
    ]
    assert rows[0] == rows[1]


def read_without_the_fast_reader(cif: str) -> Structure:
    remark = f"# by hand\n{cif}"
    assert parse_p1_cif(remark) is None
    return structure_from_cif(remark)


NACL = cif_of(Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))


def test_readers_equal_pymatgen_on_bundled_crystals():
    crystals = bundled(step=8)
    fast = 0
    for _, structure in crystals:
        cif = cif_of(structure)
        read = read_without_the_fast_reader(cif)
        assert_identical(read, parsed_by_pymatgen(cif))
        if (other := parse_p1_cif(cif)) is not None:
            assert (other, other.labels) == (read, read.labels)
            fast += 1
    assert fast > 0.95 * len(crystals)


@pytest.mark.parametrize("file", ["mp_elastic", "mp_cgcnn", "mp_megnet"])
def test_fast_reader_equals_pymatgen_on_shared_crystals(file):
    path = SHARED / f"{file}.jsonl.gz"
    if not path.exists():
        pytest.skip("the larger crystal sets are not here")
    with gzip.open(path) as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, 0, 3000, 50)]
    cifs = [row["cif"] for row in rows if "cif" in row]
    for cif in cifs:
        fast = parse_p1_cif(cif)
        if fast is not None:
            assert_identical(fast, parsed_by_pymatgen(cif))
            assert_identical(read_without_the_fast_reader(cif), fast)
    assert sum(parse_p1_cif(cif) is not None for cif in cifs) > 0.95 * len(cifs)


@pytest.mark.parametrize(
    "edit",
    [
        ("  1  'x, y, z'\n", "  1  'x, y, z'\n  2  '-x, -y, -z'\n"),  # symmetry
        ("'P 1'", "'F m -3 m'"),
        ("0.50000000  1\n", "0.50000000  0.5\n"),  # occupancy
        ("0.50000000  1\n", "0.50000000  0.9999\n"),
        ("Cl  Cl1", "Cl-  Cl1"),  # charge
        ("Na  Na0", "D  D0"),
        ("Na  Na0", "Xx  Xx0"),  # no element
        ("0.50000000  0.50000000  0.50000000", "0.5(1)  0.50000000  0.50000000"),
        ("'Na1 Cl1'", "'Na1 Cl2'"),  # a site is missing
        ("_cell_volume", "_cell_measurement_temperature   293\n_cell_volume"),
        ("# generated", "# made"),
        ("  1  0.5", "  2  0.5"),  # site multiplicity
        ("_cell_volume   3", "_cell_volume   4"),
        ("units_Z   1", "units_Z   4"),
    ],
)
def test_fast_reader_leaves_anything_unusual_to_the_other(edit):
    assert parse_p1_cif(NACL) is not None
    assert edit[0] in NACL
    assert parse_p1_cif(NACL.replace(*edit, 1)) is None


def test_coordinates_near_thirds_are_made_exact_as_pymatgen_does():
    positions = [[0.33334, 0.66666, 0.25], [0.6667, 0.3333, 0.75], [0.33344, 0.1, -0.2]]
    cif = cif_of(Structure(Lattice.hexagonal(3, 5), ["Zn", "S", "O"], positions))
    fast = parse_p1_cif(cif)
    assert fast is not None
    assert_identical(fast, parsed_by_pymatgen(cif))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the CIF is empty"),
        ("this is no crystal", "no CIF of a crystal"),
        (NACL[:300], "unreadable CIF"),
        (NACL[:-30], "unreadable CIF"),
        (NACL[: NACL.index("  Cl  Cl1")], "add up to Na1, the formula in the CIF is Na1 Cl1"),
        (NACL.replace("0.50000000", "?"), "Cl1 has no position"),
        (NACL.replace("Cl  Cl1", "Na  Na1").replace("0.50000000", "0.0"), "add up to Na2"),
        (NACL.replace("0.50000000  1\n", "0.50000000  0.5\n"), "disordered: Cl1 has occupancy 0.5"),
    ],
)
def test_unreadable_cifs_say_why(text, reason):
    with pytest.raises(BadCrystal, match=reason):
        structure_from_cif(text)


def test_poscar_needs_the_names_of_its_elements():
    poscar = rock_salt().to(fmt="poscar")
    assert structure_from_poscar(poscar).composition == rock_salt().composition
    nameless = "c\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n"
    with pytest.raises(BadCrystal, match="unreadable POSCAR"):
        structure_from_poscar(nameless)
    with pytest.raises(BadCrystal, match="unreadable POSCAR"):
        structure_from_poscar(poscar[:80])


@pytest.mark.parametrize("content", [{}, {"lattice": 3, "sites": []}, {"lattice": {"matrix": [1]}}])
def test_dictionaries_that_are_no_structure_say_so(content):
    with pytest.raises(BadCrystal, match="unreadable structure"):
        structure_from_dict(content)


def test_files_are_read_by_their_names(tmp_path):
    poscar = rock_salt().to(fmt="poscar")
    texts = {"a.cif": NACL, "b.vasp": poscar, "c.poscar": poscar, "POSCAR-d": poscar}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert read_structure(path).composition.reduced_formula == "NaCl"
    assert structure_id(tmp_path / "mp-1.2.cif.gz") == "mp-1.2"
    assert structure_id(tmp_path / "POSCAR-d.gz") == "POSCAR-d"


def test_unreadable_files_say_why(tmp_path):
    (tmp_path / "empty.cif").write_text(" \n")
    (tmp_path / "cut.cif.gz").write_bytes(gzip.compress(NACL.encode())[:200])
    (tmp_path / "plain.cif.gz").write_text(NACL)
    (tmp_path / "notes.txt").write_text(NACL)
    (tmp_path / "binary.cif").write_bytes(bytes(range(256)))
    for name, reason in {
        "empty.cif": "the file is empty",
        "cut.cif.gz": "cut off or damaged",
        "plain.cif.gz": "cut off or damaged",
        "notes.txt": "neither a CIF",
        "binary.cif": "no CIF of a crystal",
        "absent.cif": "absent.cif is not there",
    }.items():
        with pytest.raises(BadCrystal, match=reason):
            read_structure(tmp_path / name)
