"""Attention per atom and neighbour: the model's own, on whatever graph it was trained."""

import numpy as np
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.properties import Property
from data_prep.reading.cif import structure_from_cif
from gatgnn_jax.batches.arrays import crystal_arrays
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.pages.explain_page import color_domain
from gatgnn_jax.prediction.explanation import explain as explain_structure
from gatgnn_jax.runs.config import DataInfo, RunConfig
from tests.cifs import cif
from tests.crystals import bundled, rock_salt, shuffled, without_symmetry
from tests.models import batch_of, dataset_of, outputs, small_model


def explained(structure, graph=None, global_attention="composition", **settings):
    """A small model's explanation, and the model."""
    graph = graph or GraphConfig()
    sizes = {"num_layers": 2, "neurons": 8, "heads": 2} | settings
    network = ModelConfig(global_attention=global_attention, **sizes)
    if network.model == "gated-gatgnn":
        model = new_network(network, graph, 1, rngs=nnx.Rngs(0))
    else:
        model = small_model(graph, global_attention, **settings)
    properties = (Property("gap", "gap", "eV"),)
    config = RunConfig(graph, network, TrainConfig(), properties, DataInfo())
    graphdef, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    return explain_structure(config, graphdef, ModelState(params, stats), structure), model


@pytest.mark.parametrize(
    ("name", "global_attention"),
    [
        *(("gatgnn", how) for how in ("composition", "cluster-random", "none")),
        ("gated-gatgnn", "composition"),
    ],
)
@pytest.mark.slow
def test_the_full_graph_explains_the_quotient_graph(name, global_attention):
    """What the model computes on the graph it was trained on, told atom by atom."""
    structure = bundled(300)[2][1] * (2, 1, 1)
    explanation, model = explained(structure, global_attention=global_attention, model=name)
    dataset = dataset_of([structure], GraphConfig(clusters=True))
    graph = dataset.crystal(0)
    assert len(graph.atomic_number) < len(structure)
    output = outputs(model, batch_of(crystal_arrays(dataset, np.zeros((1, 1)), dense=False)))
    weights = np.asarray(output.atom_attention[: len(structure)])
    np.testing.assert_allclose(explanation.atom_weights, weights / weights.sum(), atol=1e-6)
    np.testing.assert_allclose(explanation.atom_weights.sum(), 1)
    np.testing.assert_allclose(
        explanation.prediction.transformed[0, 0], output.prediction[0, 0], rtol=1e-5
    )
    # A merged edge has the attention of its neighbours together: those of the class and distance.
    node = graph.atom_node
    for edge, (receiver, slot) in enumerate(np.argwhere(graph.edge_multiplicity)):
        merged = (
            (node[explanation.receivers] == receiver)
            & (node[explanation.senders] == graph.sender[receiver, slot])
            & (abs(explanation.distances - graph.distance[receiver, slot]) < 1e-3)
        )
        count = graph.edge_multiplicity[receiver, slot]
        assert merged.sum() == count * graph.multiplicity[receiver]
        for own, layer in zip(explanation.edge_attention, output.edge_attention, strict=True):
            np.testing.assert_allclose(own[merged], layer[edge].mean() / count, rtol=1e-4)
    assert graph.edge_multiplicity.max() > 1


@pytest.mark.parametrize("structure", [rock_salt(), without_symmetry()])
def test_neighbours_are_where_they_are_said_to_be(structure):
    explanation, _ = explained(structure)
    table = explanation.edge_table()
    assert (table.groupby("atom").size() == 12).all()
    assert not table.duplicated(["atom", "neighbour", "image"]).any()
    positions = structure.frac_coords
    steps = positions[table.neighbour] + np.array(table.image.tolist()) - positions[table.atom]
    lengths = np.linalg.norm(steps @ structure.lattice.matrix, axis=1)
    np.testing.assert_allclose(lengths, table.distance, atol=2e-4)
    sums = table.groupby("atom")[["layer_1", "layer_2"]].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_atoms_in_any_order():
    structure = without_symmetry()
    other, order = shuffled(structure)
    weights = explained(structure)[0].atom_weights
    explanation, _ = explained(other)
    np.testing.assert_allclose(explanation.atom_weights, weights[order], atol=1e-6)
    assert np.ptp(weights) > 1e-4
    assert explanation.elements == [structure[int(k)].specie.symbol for k in order]
    shares = explanation.atom_table().groupby("element").weight.sum()
    assert explanation.element_weights() == pytest.approx(shares.to_dict())


def test_what_is_no_neighbour_is_left_out():
    """GAT's share of the atom itself, and fake edges to the first atom."""
    sums = explained(rock_salt(), model="gat")[0].edge_table().groupby("atom").layer_1.sum()
    assert ((sums > 0.1) & (sums < 0.99)).all()
    config = GraphConfig(radius=3.0, fake_edges=True)  # six neighbours at 2.82 Å
    table = explained(rock_salt(), config)[0].edge_table()
    assert (table.groupby("atom").size() == 6).all()
    assert (table.groupby("atom").layer_1.sum() < 0.99).all()


def test_weights_that_hardly_differ_get_hardly_different_colours():
    np.testing.assert_allclose(color_domain(np.array([[0.1, 0.9]])), (0.1, 0.9))
    # As far to both sides, even if no weight is below 0; and never narrow.
    np.testing.assert_allclose(color_domain(np.array([[0.1, 0.1, 0.1, 0.7]])), (-0.2, 0.7))
    low, high = color_domain(np.array([[0.5 - 1e-7, 0.5 + 1e-7]]))
    np.testing.assert_allclose([low, high], [0.25, 0.75])


def test_atoms_are_called_as_in_their_file():
    lines = ["O7 O 0 0 0.25", "Fe2 Fe 0 0 0", "O1 O 0.5 0.5 0.02", "Li1 Li 0.5 0.5 0.27"]
    explanation, _ = explained(structure_from_cif(cif(lines, (4, 4, 8.6, 90, 90, 90))))
    atoms, edges = explanation.atom_table(), explanation.edge_table()
    assert atoms.label.tolist() == ["O7", "Fe2", "O1", "Li1"]
    assert atoms.element.tolist() == ["O", "Fe", "O", "Li"]
    assert edges.label.tolist() == atoms.label[edges.atom].tolist()
    assert edges.neighbour_label.tolist() == atoms.label[edges.neighbour].tolist()
    assert explained(rock_salt())[0].labels == [f"Na{k}" for k in range(1, 5)] + [
        f"Cl{k}" for k in range(1, 5)
    ]
