"""Neighbours and classes of atoms: against pymatgen and brute force."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from data_prep import neighbors
from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import CrystalGraph, build_graph
from tests.crystals import (
    bundled,
    diamond,
    jittered,
    ordered_alloy,
    rock_salt,
    shuffled,
    without_symmetry,
)

FULL = GraphConfig(reduce=False, clusters=True)
REDUCED = GraphConfig(clusters=True)


def atom_features(graph: CrystalGraph, rounds: int = 6) -> np.ndarray:
    """What a message-passing network with random weights knows of each atom, [a, 16]."""
    rng = np.random.default_rng(1)
    table, w_self, w_sender = rng.normal(size=(101, 16)), *rng.normal(size=(2, 16, 16)) / 4
    w_edge = rng.normal(size=(10, 16)) / 3
    centers = np.linspace(0, 9, 10)
    edge = np.exp(-((graph.distance[..., None].astype(float) - centers) ** 2)) @ w_edge
    weight = graph.edge_multiplicity[..., None].astype(float)
    x = table[graph.atomic_number]
    for _ in range(rounds):
        message = np.tanh(x[graph.sender] @ w_sender + edge) * np.tanh(edge + x[:, None])
        x = np.tanh(x @ w_self + (weight * message).sum(axis=1))
    return x[graph.atom_node]


def edges_by_distance(graph: CrystalGraph) -> list[list[tuple[float, int]]]:
    """Distance and element of each neighbour of each atom, for graphs that are not reduced."""
    return [
        sorted(
            (round(float(distance), 3), int(graph.atomic_number[sender]))
            for sender, distance, used in zip(*slots, strict=True)
            if used
        )
        for slots in zip(graph.sender, graph.distance, graph.edge_multiplicity, strict=True)
    ]


def assert_same_graph(one: CrystalGraph, other: CrystalGraph) -> None:
    """Equal as graphs; only ``atom_node`` and ``cluster`` go by the order of the atoms."""
    np.testing.assert_array_equal(one.atomic_number, other.atomic_number)
    np.testing.assert_array_equal(one.multiplicity, other.multiplicity)
    np.testing.assert_array_equal(one.sender, other.sender)
    np.testing.assert_array_equal(one.edge_multiplicity, other.edge_multiplicity)
    np.testing.assert_allclose(one.distance, other.distance, atol=1e-5)


REAL = bundled(step=60)


@pytest.mark.parametrize(("radius", "k"), [(8.0, 12), (4.0, 16), (6.0, 5)])
def test_neighbors_are_those_of_pymatgen(radius, k):
    config = GraphConfig(radius, k, reduce=False)
    for name, structure in REAL:
        graph = build_graph(structure, config)
        for atom, found in enumerate(structure.get_all_neighbors(radius)):
            expected = sorted(neighbor.nn_distance for neighbor in found)[:k]
            used = graph.edge_multiplicity[atom] == 1
            assert used.sum() == len(expected), name
            assert not graph.edge_multiplicity[atom, len(expected) :].any()
            np.testing.assert_allclose(graph.distance[atom, used], expected, atol=1e-3)
            # The sender must really be at that distance, in some periodic image.
            by_sender = {(n.index, round(n.nn_distance, 4)) for n in found}
            for sender, distance in zip(
                graph.sender[atom, used], graph.distance[atom, used], strict=True
            ):
                near = {(sender, round(float(distance) + step, 4)) for step in (0, 1e-4, -1e-4)}
                assert near & by_sender


def test_reduced_graph_gives_every_atom_the_same_features():
    exact = [rock_salt(), diamond(), ordered_alloy(), without_symmetry()]
    for structure in exact + [structure for _, structure in REAL]:
        for k in (8, 12):
            full = build_graph(structure, GraphConfig(max_neighbors=k, reduce=False))
            reduced = build_graph(structure, GraphConfig(max_neighbors=k))
            np.testing.assert_allclose(
                atom_features(reduced), atom_features(full), atol=1e-4, rtol=0
            )
            np.testing.assert_array_equal(
                np.bincount(reduced.atom_node), reduced.multiplicity.astype(int)
            )


def test_no_two_nodes_have_the_same_features():
    for structure in [rock_salt(), diamond(), ordered_alloy(), *(s for _, s in REAL)]:
        for k in (2, 8):
            graph = build_graph(structure, GraphConfig(max_neighbors=k))
            _, atom = np.unique(graph.atom_node, return_index=True)
            features = atom_features(graph)[atom]
            difference = np.abs(features[:, None] - features).max(axis=2)
            assert difference[np.triu_indices(len(atom), 1)].min(initial=1) > 1e-4


def test_atoms_told_apart_only_by_ties_left_out_are_merged():
    # N-C-O and N-C-N: with one neighbour each, C sees an N in both.
    positions = [[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 9, 0], [1, 9, 0], [-1, 9, 0]]
    molecules = Structure(
        Lattice.cubic(20), ["C", "N", "O", "C", "N", "N"], positions, coords_are_cartesian=True
    )
    graph = build_graph(molecules, GraphConfig(1.5, 1))
    assert graph.atomic_number.tolist() == [6, 7, 8]
    assert graph.multiplicity.tolist() == [2, 3, 1]


def test_fake_edges_stay_exact_under_reduction():
    wide = Structure(Lattice.cubic(3.9), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for structure in [wide * (2, 1, 1), rock_salt(), *(structure for _, structure in REAL)]:
        settings = {"radius": 4.0, "max_neighbors": 16, "fake_edges": True}
        full = build_graph(structure, GraphConfig(**settings, reduce=False))
        reduced = build_graph(structure, GraphConfig(**settings))
        assert (full.edge_multiplicity == 1).all()
        np.testing.assert_allclose(atom_features(reduced), atom_features(full), atol=1e-4, rtol=0)


def test_fake_edges_come_from_atom_0_at_radius_plus_1():
    chain = Structure(Lattice.orthorhombic(30, 30, 3), ["He"] * 2, [[0, 0, 0], [0.5, 0.5, 0]])
    graph = build_graph(chain, GraphConfig(4.0, 4, fake_edges=True, reduce=False))
    np.testing.assert_allclose(graph.distance, [[3, 3, 5, 5]] * 2)
    np.testing.assert_array_equal(graph.sender, [[0, 0, 0, 0], [1, 1, 0, 0]])
    masked = build_graph(chain, GraphConfig(4.0, 4, reduce=False))
    np.testing.assert_array_equal(masked.edge_multiplicity, [[1, 1, 0, 0]] * 2)


@pytest.mark.parametrize(
    ("structure", "elements", "multiplicity"),
    [
        (rock_salt(), [11, 17], [4, 4]),
        (diamond(), [6], [8]),
        (ordered_alloy(), [29, 79], [3, 1]),
    ],
)
def test_symmetric_crystals_reduce_to_their_kinds_of_atoms(structure, elements, multiplicity):
    graph = build_graph(structure, REDUCED)
    assert graph.atomic_number.tolist() == elements
    assert graph.multiplicity.tolist() == multiplicity


def test_equal_edges_are_merged_with_their_number():
    graph = build_graph(rock_salt(), REDUCED)
    # Six neighbours of the other element at a/2, then six of the twelve of its own at a/√2.
    np.testing.assert_array_equal(graph.sender[:, :2], [[1, 0], [0, 1]])
    np.testing.assert_array_equal(graph.edge_multiplicity[:, :3], [[6, 6, 0], [6, 6, 0]])
    np.testing.assert_allclose(graph.distance[:, :2], [[5.64 / 2, 5.64 / 2**0.5]] * 2, rtol=1e-6)
    full = build_graph(rock_salt(), FULL)
    assert full.edge_multiplicity.sum() == 8 * 12


def test_nothing_merges_without_symmetry():
    structure = without_symmetry()
    graph = build_graph(structure, REDUCED)
    assert sorted(graph.atomic_number.tolist()) == sorted(structure.atomic_numbers)
    assert graph.multiplicity.tolist() == [1] * len(structure)


@pytest.mark.parametrize("structure", [rock_salt(), diamond(), ordered_alloy()])
def test_jitter_undoes_the_merging(structure):
    graph = build_graph(jittered(structure, 0.002), REDUCED)
    assert len(graph.multiplicity) == len(structure)


def test_a_chain_of_small_gaps_merges_nothing_that_differs():
    # Pairs whose lengths rise in steps below the gap that separates shells, 6e-3 Å in all.
    steps = np.arange(80) * 8e-5
    corners = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)[:80] * 6.0
    positions = np.concatenate([corners, corners + [[1, 0, 0]] + steps[:, None] * [[1, 0, 0]]])
    cell = Lattice.cubic(30)
    pairs = Structure(cell, ["N"] * 160, positions, coords_are_cartesian=True)
    graph = build_graph(pairs, GraphConfig(2.0, 2))
    assert len(graph.multiplicity) == 160
    bonds = graph.distance[graph.atom_node, 0]
    np.testing.assert_allclose(bonds, np.tile(1 + steps, 2), atol=1e-5)


@pytest.mark.parametrize("config", [FULL, REDUCED, GraphConfig(max_neighbors=8, reduce=False)])
def test_choice_among_tied_neighbors_does_not_depend_on_atom_order(config):
    # With K = 8 the cut goes through the 12 equal distances, between Au and Cu.
    structure = ordered_alloy() * (2, 1, 1)
    graph = build_graph(structure, config)
    for seed in range(5):
        other, order = shuffled(structure, seed)
        moved = build_graph(other, config)
        np.testing.assert_allclose(atom_features(moved), atom_features(graph)[order], atol=1e-9)
        if not config.reduce:
            expected = edges_by_distance(graph)
            assert edges_by_distance(moved) == [expected[site] for site in order]


def test_order_of_atoms_changes_nothing_in_real_crystals():
    for name, structure in REAL:
        other, order = shuffled(structure)
        graph, moved = build_graph(structure, REDUCED), build_graph(other, REDUCED)
        assert_same_graph(graph, moved)
        np.testing.assert_array_equal(moved.atom_node, graph.atom_node[order], name)
        same = graph.cluster[order][:, None] == graph.cluster[order]
        np.testing.assert_array_equal(moved.cluster[:, None] == moved.cluster, same, name)


def test_translation_and_supercell_keep_the_graph():
    for structure in [rock_salt(), diamond(), without_symmetry(), *(s for _, s in REAL[:6])]:
        graph = build_graph(structure, REDUCED)
        moved = structure.copy()
        moved.translate_sites(range(len(moved)), [0.217, 0.113, 0.581], frac_coords=True)
        assert_same_graph(build_graph(moved, REDUCED), graph)
        bigger = build_graph(structure * (1, 2, 1), REDUCED)
        np.testing.assert_array_equal(bigger.multiplicity, 2 * graph.multiplicity)
        np.testing.assert_array_equal(bigger.sender, graph.sender)
        np.testing.assert_allclose(bigger.distance, graph.distance, atol=1e-5)


def test_cells_of_one_two_and_two_hundred_atoms():
    copper = Structure(Lattice.from_parameters(*[2.55] * 3, *[60] * 3), ["Cu"], [[0, 0, 0]])
    one = build_graph(copper, REDUCED)
    assert (one.sender.shape, one.edge_multiplicity[0, 0]) == ((1, 12), 12)
    assert one.cluster.tolist() == [0]
    two = build_graph(rock_salt().get_primitive_structure(), REDUCED)
    assert (two.multiplicity.tolist(), two.cluster.tolist()) == ([1, 1], [0, 0])
    large = ordered_alloy() * (5, 5, 2)
    assert build_graph(large, REDUCED).multiplicity.tolist() == [150, 50]
    assert build_graph(large, FULL).sender.shape == (200, 12)
    assert len(build_graph(jittered(large, 0.02), REDUCED).multiplicity) == 200


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]]), "no neighbour within 8 Å of atom 0"),
        (Structure(Lattice.cubic(4), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]), "disordered: site 0"),
        (Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]), "Lr is outside the table"),
        (Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]]), "outside the table"),
        (Structure(Lattice.cubic(4), ["Fe"] * 2, [[0, 0, 0], [0, 0, 0.001]]), "0.004 Å apart"),
        (Structure(Lattice.cubic(4), ["Fe"], [[0, 0, np.nan]]), "not a finite number"),
        (Structure(Lattice.orthorhombic(4, 4, 0.01), ["Fe"], [[0, 0, 0]]), "the cell is flat"),
        (Structure(Lattice.cubic(1e200), ["Fe"], [[0, 0, 0]]), "beyond all measure"),
        (Structure(Lattice.cubic(4), ["Fe"], [[1e200, 0, 0]]), "beyond all measure"),
        (Structure(Lattice.cubic(4), [], []), "no atoms"),
    ],
)
def test_bad_structures_say_why(structure, reason):
    with pytest.raises(BadCrystal, match=reason):
        build_graph(structure, REDUCED)


def test_charges_and_isotopes_are_read_as_their_elements():
    structure = Structure(Lattice.cubic(3), ["Fe3+", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert build_graph(structure, FULL).atomic_number.tolist() == [26, 1]


def test_neighbours_are_the_same_slab_by_slab(monkeypatch):
    # A layer of atoms with more than 20 Å of vacuum: many have few neighbours nearby.
    layer = Structure(
        Lattice.orthorhombic(12, 12, 25),
        ["Si"] * 16,
        np.c_[np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2) / 4, np.zeros(16)],
    )
    for structure in (layer, jittered(layer, 0.1), without_symmetry(), *(s for _, s in REAL[:4])):
        whole = build_graph(structure, REDUCED)
        with monkeypatch.context() as patch:
            patch.setattr(neighbors, "SLAB", 3)
            assert_same_graph(build_graph(structure, REDUCED), whole)
            full = build_graph(structure, FULL)
        for atom, found in enumerate(structure.get_all_neighbors(8.0)):
            expected = sorted(neighbor.nn_distance for neighbor in found)[:12]
            np.testing.assert_allclose(full.distance[atom, : len(expected)], expected, atol=1e-3)


def test_a_node_stands_for_seventy_thousand_atoms():
    cubic = Structure(Lattice.cubic(2.5), ["Po"], [[0, 0, 0]])
    graph = build_graph(cubic * (70, 100, 10), GraphConfig(radius=2.6, max_neighbors=6))
    assert graph.multiplicity.tolist() == [70_000]
    assert graph.edge_multiplicity.sum() == 6
