"""CIFs with several blocks, and the order and labels of atoms."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep.build import build_dataset
from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.labels import atom_labels
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.structures import read_structure
from tests.cifs import EIGHT_SITES, TWO_SITES, cif
from tests.crystals import iter_structures

MGO = [line.replace("Na", "Mg").replace("Cl", "O") for line in EIGHT_SITES]
SALT = cif(EIGHT_SITES)


def found(path: Path) -> dict[str, str]:
    """Formula or reason of each crystal of a file, by id."""
    return {
        name: structure.reason if isinstance(structure, BadCrystal) else structure.formula
        for name, structure in iter_structures([path])
    }


def test_every_block_is_a_crystal_of_its_own(tmp_path):
    path = tmp_path / "pair.cif"
    path.write_text(cif(EIGHT_SITES, name="NaCl") + cif(MGO, [4.21] * 3 + [90] * 3, name="MgO"))
    assert found(path) == {"pair:NaCl": "Na4 Cl4", "pair:MgO": "Mg4 O4"}
    assert list(found(tmp_path)) == ["pair:NaCl", "pair:MgO"]
    with pytest.raises(BadCrystal, match=r"2 crystals \(blocks NaCl, MgO\)"):
        read_structure(path)
    with pytest.raises(BadCrystal, match="2 crystals"):
        structure_from_cif(path.read_text())


def test_blocks_of_one_name_are_told_apart_by_their_place(tmp_path):
    path = tmp_path / "twice.cif.gz"
    path.write_bytes(gzip.compress((cif(EIGHT_SITES, name="I") + cif(MGO, name="I")).encode()))
    assert found(path) == {"twice:I:1": "Na4 Cl4", "twice:I:2": "Mg4 O4"}


def test_very_many_blocks_hide_no_crystal(tmp_path):
    path = tmp_path / "many.cif"
    texts = "_publ_text\n;\ndata_b\n;\n" * 1000
    path.write_text("data_a\n" * 20_000 + cif(MGO, name="MgO") + texts)
    assert found(path) == {"many": "Mg4 O4"}


def test_a_bad_block_is_reported_and_the_others_are_read(tmp_path):
    lost = cif(EIGHT_SITES[1:], name="lost", chemical_formula_sum="Na4 Cl4")
    odd = cif(EIGHT_SITES, name="odd").replace("Cl4 Cl", "Cl4")
    path = tmp_path / "some.cif"
    path.write_text(lost + odd + cif(MGO, name="MgO"))
    results = found(path)
    assert results["some:MgO"] == "Mg4 O4"
    assert "Na3 Cl4" in results["some:lost"]
    assert "Wrong number of values" in results["some:odd"]


def test_publications_are_no_crystals_but_what_is_left_of_one_is(tmp_path):
    path = tmp_path / "paper.cif"
    paper = "data_global\n_publ_section_title\n;\n_cell_length_a of data_x\n;\n"
    path.write_text(paper + SALT)
    assert found(path) == {"paper": "Na4 Cl4"}
    path.write_text(SALT + paper)
    assert found(path) == {"paper": "Na4 Cl4"}
    path.write_text(SALT + "data_cut\n_chemical_name_common salt\n")
    assert "cut off" in found(path)["paper:cut"]
    path.write_text(paper)
    assert "no CIF of a crystal" in found(path)["paper"]


# ---- order and labels ----------------------------------------------------------------------------


def test_atoms_keep_the_order_and_labels_of_the_file():
    """Not that of electronegativity, also in the form that pymatgen writes."""
    lines = ["O7 O 0 0 0.25", "Fe2 Fe 0 0 0", "O1 O 0.5 0.5 0.02", "Li1 Li 0.5 0.5 0.27"]
    structure = structure_from_cif(cif(lines, (4, 4, 8.6, 90, 90, 90)))
    assert structure.labels == ["O7", "Fe2", "O1", "Li1"]
    np.testing.assert_allclose(structure.frac_coords[:, 2], [0.25, 0, 0.02, 0.27])
    written = Structure(structure.lattice, ["O", "Fe", "O", "Li"], structure.frac_coords)
    again = structure_from_cif(str(CifWriter(written)))
    np.testing.assert_allclose(again.frac_coords, structure.frac_coords)
    assert again.labels == ["O0", "Fe1", "O2", "Li3"]


def test_copies_by_symmetry_follow_their_line():
    structure = structure_from_cif(cif(TWO_SITES[::-1], symmetry="F m -3 m"))
    assert structure.labels == ["Cl1"] * 4 + ["Na1"] * 4


def test_structures_without_labels_are_numbered_by_element():
    positions = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    structure = Structure(Lattice.cubic(4), ["O", "Fe", "O", "O"], positions)
    assert atom_labels(structure) == ["O1", "Fe1", "O2", "O3"]


def test_a_folder_with_targets_takes_one_crystal_a_file(tmp_path):
    (tmp_path / "pair.cif").write_text(cif(EIGHT_SITES, name="NaCl") + cif(MGO, name="MgO"))
    (tmp_path / "salt.cif").write_text(SALT)
    (tmp_path / "id_prop.csv").write_text("pair,1.0\nsalt,2.0\n")
    dataset, skipped = build_dataset(tmp_path, GraphConfig(), workers=1, progress=False)
    assert dataset.ids.tolist() == ["salt"]
    assert [entry.id for entry in skipped] == ["pair"]
    assert "2 crystals" in skipped[0].reason
