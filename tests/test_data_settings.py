"""Graph settings, the table of the elements, and properties."""

import math
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Element

from data_prep.config import GraphConfig
from data_prep.elements import BINS, FEATURE_SIZE, element_features
from data_prep.errors import UserError
from data_prep.properties import Property, default_property, resolve_property
from data_prep.targets import check_spread, select_targets


@pytest.mark.parametrize(
    "settings",
    [
        {"radius": 0},
        {"radius": math.nan},
        {"radius": math.inf},
        {"max_neighbors": 0},
        {"max_neighbors": 256},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} is .*: give"):
        GraphConfig(**settings)


def test_settings_survive_json_and_refuse_unknown_keys():
    config = GraphConfig(6.5, 20, fake_edges=True, reduce=False)
    assert GraphConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="did you mean 'radius'"):
        GraphConfig.from_dict({"raduis": 8.0})


def test_element_table_is_the_one_of_cgcnn():
    table = element_features()
    assert table.shape == (101, 92)
    assert table.dtype == np.float32
    assert not table[0].any()
    # Columns that are set in the published table, for a few elements.
    published = {
        1: [1, 19, 30, 36, 46, 64, 73, 78, 86],
        2: [18, 19, 36, 47, 67, 78, 88],
        5: [13, 20, 30, 38, 48, 62, 72, 79, 82],
        26: [8, 22, 29, 40, 53, 61, 72, 80, 83],
        89: [0, 25, 27, 43, 47, 59, 73, 81, 87],
        100: [0, 25, 42, 47, 60, 81],
    }
    for number, columns in published.items():
        assert np.flatnonzero(table[number]).tolist() == columns


def test_element_table_agrees_with_the_periodic_table():
    table = element_features()
    assert sum(BINS.values()) == FEATURE_SIZE == 92
    ends = np.cumsum([*BINS.values()])[:-1]
    group, period, *_, block, _ = np.split(table, ends, axis=1)
    for number in range(1, 101):
        element = Element.from_Z(number)
        # pymatgen has lutetium among the lanthanides and helium in the p block.
        inner = (element.is_lanthanoid or element.is_actinoid) and element.symbol != "Lu"
        letter = "s" if element.symbol == "He" else element.block
        assert group[number].argmax() == (0 if inner else element.group)
        assert block[number].argmax() == "spdf".index(letter)
        assert period[number].argmax() == element.row - 1


@pytest.mark.parametrize(
    ("asked", "columns", "column", "transform"),
    [
        ("bulk_modulus", ["bulk_modulus"], "bulk_modulus", "log10"),
        ("bulk-modulus", ["bulk_modulus"], "bulk_modulus", "log10"),
        ("bulk_moduli", ["K_VRH", "G_VRH"], "K_VRH", "log10"),
        ("band_gap", ["band_gap", "formation_energy"], "band_gap", "none"),
        ("is_metal", ["band_gap"], "band_gap", "is_zero"),
        ("is_metal", ["band_gap", "is_metal"], "is_metal", "none"),
        ("shear_modulus", ["target"], "target", "log10"),
        ("Debye T", ["Debye T", "x"], "Debye T", "none"),
        ("log10(K_VRH)", ["log10(K_VRH)"], "log10(K_VRH)", "none"),
    ],
)
def test_properties_are_found_by_any_usual_name(asked, columns, column, transform):
    found = resolve_property(asked, columns)
    assert (found.column, found.transform) == (column, transform)


def test_units_and_tasks():
    assert resolve_property("bulk_modulus", ["target"]).unit == "GPa"
    assert resolve_property("fermi_energy", ["efermi"]).unit == "eV"
    assert resolve_property("is_metal", ["band_gap"]).task == "classification"
    assert resolve_property("mine", ["mine", "other"]).unit == ""


def test_unknown_property_lists_what_there_is():
    with pytest.raises(UserError, match=r"did you mean 'bulk_modulus'\? It has: bulk_modulus"):
        resolve_property("bulk_modulos", ["bulk_modulus", "shear_modulus"])
    with pytest.raises(UserError, match="'gap' is no column of numbers: gap = '1 eV'"):
        resolve_property("gap", ["x"], {"gap": {0: "gap = '1 eV' is not a number"}})


def test_without_a_name_the_only_column_is_taken(tmp_path: Path):
    """What has no name goes by that of its file or folder, and is a plain number."""
    folder = tmp_path / "hardness_data.2"
    folder.mkdir()
    unnamed = Property("hardness_data.2", "target")
    assert default_property(["target"], folder) == unnamed
    assert default_property(["target"], tmp_path / "hv.jsonl.gz") == Property("hv", "target")
    assert default_property(["gap pbe"], folder).name == "band_gap"
    assert default_property(["x", "K_VRH"], folder).column == "K_VRH"
    for columns, source, message in [
        (["x", "gap"], folder, "choose with --property what to predict. It has: gap, x"),
        ([], folder, "It has: none"),
        (["target"], tmp_path / "bulk-moduli.csv", "say so with --property bulk_modulus, else"),
    ]:
        with pytest.raises(UserError, match=message):
            default_property(columns, source)


def test_numbers_beyond_float32_are_left_out():
    columns = {"x": np.array([1e39, -3e38, 1.0]), "k_vrh": np.array([1e200, 1.0, 1.0])}
    values, reasons = select_targets(columns, [resolve_property("x", columns)])
    np.testing.assert_array_equal(values[:, 0], [np.nan, -3e38, 1])
    assert reasons == {0: "x = 1e+39: 32-bit numbers end at 3e+38"}
    assert list(select_targets(columns, [resolve_property("k_vrh", columns)])[1]) == [0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([5.0, 5.0, 5.0], "x is 5 in all 3 crystals of train: there is nothing to learn"),
        # 0.1 three times, added up and divided, is not 0.1: still one value.
        ([0.1, 0.1, 0.1 + 2e-17], "x is 0.1 in all 3"),
        ([5.0, np.nan, np.nan], "a single crystal of train has a value of x"),
        ([np.nan, np.nan, np.nan], "no crystal of train has a usable value of x"),
    ],
)
def test_nothing_to_learn_is_said(values: list[float], message: str):
    varied = np.array([1.0, 2.0, 3.0])
    properties = [Property("y", "y"), Property("x", "x")]
    with pytest.raises(UserError, match=message):
        check_spread(properties, np.stack([varied, values], axis=1))
    check_spread(properties, np.stack([varied, -535_000 + 1e-3 * varied], axis=1))
    # A class may be the same for all.
    check_spread([Property("c", "c", task="classification")], np.ones((3, 1)))


def test_targets_are_transformed_and_missing_ones_are_nan():
    columns = {
        "bulk_modulus": np.array([100.0, 10.0, np.nan, -3.2, np.inf, 1.0]),
        "band_gap": np.array([0.0, 1.5, np.nan, np.nan, np.nan, np.nan]),
    }
    wanted = [resolve_property(name, columns) for name in ("bulk_modulus", "is_metal", "band_gap")]
    values, reasons = select_targets(columns, wanted)
    assert values.dtype == np.float64
    nan = np.nan
    expected = [[2, 1, 0], [1, 0, 1.5], [nan] * 3, [nan] * 3, [nan] * 3, [0, nan, nan]]
    np.testing.assert_allclose(values, expected)
    assert sorted(reasons) == [2, 3, 4]
    assert reasons[2].startswith("no value of bulk_modulus")
    assert reasons[3].startswith("bulk_modulus = -3.2: log10 needs a value above 0")
    assert reasons[4].startswith("bulk_modulus is infinite")


def test_classes_other_than_0_and_1_are_no_class():
    columns = {"is_metal": np.array([0.0, 1.0, 2.0])}
    values, reasons = select_targets(columns, [resolve_property("is_metal", columns)])
    np.testing.assert_array_equal(values, [[0], [1], [np.nan]])
    assert reasons == {2: "is_metal = 2: a class is 0 (insulator) or 1 (metal)"}
