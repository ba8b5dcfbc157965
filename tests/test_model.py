"""The model's invariances: padding, order, isolation of crystals, choice of cell."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from data_prep.config import GraphConfig
from data_prep.graph import CrystalGraph
from data_prep.packing import pack
from gatgnn_jax.batches.arrays import sizes_of
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.models.global_attention import Atoms
from tests.crystals import bundled
from tests.models import (
    GLOBAL_ATTENTIONS,
    arrays_of,
    assert_trees_close,
    batch_of,
    dataset_of,
    loss_and_gradient,
    outputs,
    predictions,
    small_model,
    with_receivers,
)

FULL = GraphConfig(reduce=False, clusters=True)
REDUCED = GraphConfig(clusters=True)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """No silent changes of dtype."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    """Twelve bundled crystals of different sizes."""
    return [structure for _, structure in bundled(100)]


def distorted(structure: Structure, seed: int = 0) -> Structure:
    """Every site moved at random by 0.1 Å: no symmetry, no ties."""
    shift = np.random.default_rng(seed).normal(0, 0.1, (len(structure), 3))
    return Structure(
        structure.lattice,
        structure.species,
        structure.cart_coords + shift,
        coords_are_cartesian=True,
    )


@pytest.mark.parametrize(
    ("global_attention", "config"),
    [("composition", FULL), *((name, REDUCED) for name in GLOBAL_ATTENTIONS)],
)
def test_padding_changes_neither_outputs_nor_gradients(crystals, config, global_attention):
    data = arrays_of(dataset_of(crystals, config))
    model = small_model(config, global_attention)
    tight, wide = batch_of(data, extra=1), batch_of(data, extra=50)
    count = len(crystals)
    np.testing.assert_allclose(
        predictions(model, tight, count), predictions(model, wide, count), rtol=1e-5
    )
    expected = loss_and_gradient(model, tight, count)
    actual = loss_and_gradient(model, wide, count)
    assert_trees_close(actual[1], expected[1], 2e-5)
    assert_trees_close(actual[2], expected[2], 1e-5)


@pytest.mark.parametrize("global_attention", GLOBAL_ATTENTIONS)
@pytest.mark.slow
def test_a_crystal_is_predicted_alike_in_any_batch(crystals, global_attention):
    data = arrays_of(dataset_of(crystals, REDUCED))
    model = small_model(REDUCED, global_attention)
    together = predictions(model, batch_of(data), len(crystals))
    order = np.random.default_rng(1).permutation(len(crystals))
    shuffled = predictions(model, batch_of(data, order), len(crystals))
    alone = [predictions(model, batch_of(data, [i]), 1)[0] for i in range(3)]
    np.testing.assert_allclose(shuffled, together[order], rtol=1e-5)
    np.testing.assert_allclose(alone, together[:3], rtol=1e-5)
    assert np.ptp(together) > 1e-3  # the crystals can be told apart at all


@pytest.mark.parametrize(
    # The draws of random clusters go by the number of an atom.
    "global_attention",
    [name for name in GLOBAL_ATTENTIONS if name != "cluster-random"],
)
def test_order_of_atoms(crystals, global_attention):
    before = dataset_of(crystals, FULL)
    after = pack(
        [renumbered(before.crystal(i), i) for i in range(len(before))], before.ids, {}, FULL
    )
    model = small_model(FULL, global_attention)
    np.testing.assert_allclose(
        predictions(model, batch_of(arrays_of(after)), len(before)),
        predictions(model, batch_of(arrays_of(before)), len(before)),
        rtol=1e-5,
    )


def renumbered(graph: CrystalGraph, seed: int) -> CrystalGraph:
    """The same unreduced graph with its nodes, and so its atoms, in another order."""
    order = np.random.default_rng(seed).permutation(len(graph.atomic_number))
    return CrystalGraph(
        atomic_number=graph.atomic_number[order],
        multiplicity=graph.multiplicity[order],
        sender=np.argsort(order)[graph.sender[order]].astype(np.int32),
        distance=graph.distance[order],
        edge_multiplicity=graph.edge_multiplicity[order],
        atom_node=graph.atom_node,
        cluster=graph.cluster[order],
    )


def test_order_of_neighbours(crystals):
    dataset = dataset_of(crystals, FULL)
    order = np.random.default_rng(3).permutation(dataset.edge_sender.shape[1])
    permuted = dataset_of(crystals, FULL)
    for name in ("edge_sender", "edge_distance", "edge_multiplicity"):
        object.__setattr__(permuted, name, getattr(dataset, name)[:, order])
    model = small_model(FULL)
    np.testing.assert_allclose(
        predictions(model, batch_of(arrays_of(permuted)), len(crystals)),
        predictions(model, batch_of(arrays_of(dataset)), len(crystals)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("model_name", ["gatgnn", "gat"])
@pytest.mark.slow
def test_segments_equal_slots(crystals, model_name):
    """The general layout with receivers gives what the dense one gives."""
    dense = batch_of(arrays_of(dataset_of(crystals, FULL)), extra=9)
    assert dense.receivers is None
    model = small_model(FULL, model=model_name)
    expected = loss_and_gradient(model, dense, len(crystals))
    actual = loss_and_gradient(model, with_receivers(dense), len(crystals))
    assert_trees_close(actual, expected, 2e-5)


def test_no_gradient_between_crystals(crystals):
    """A crystal's prediction does not depend on the distances in another one."""
    data = arrays_of(dataset_of(crystals, REDUCED))
    graph = batch_of(data, extra=5)
    model = small_model(REDUCED)

    def first(distance: jax.Array) -> jax.Array:
        moved = graph._replace(globals={**graph.globals, "bond_distance": distance})
        return model(moved).prediction[0, 0]

    gradient = np.asarray(jax.jit(jax.grad(first))(graph.globals["bond_distance"]))
    own = int(data.num_rows[0, 2])
    assert np.abs(gradient[:own]).max() > 1e-6
    np.testing.assert_array_equal(gradient[own:], 0)


def test_translation(crystals):
    moved = [s.copy() for s in crystals]
    for s in moved:
        s.translate_sites(range(len(s)), [0.137, 0.291, 0.433])
    model = small_model(FULL)
    np.testing.assert_allclose(
        predictions(model, batch_of(arrays_of(dataset_of(moved, FULL))), len(crystals)),
        predictions(model, batch_of(arrays_of(dataset_of(crystals, FULL))), len(crystals)),
        atol=2e-5,
    )


@pytest.mark.parametrize("config", [FULL, REDUCED], ids=["full", "reduced"])
def test_composition_attention_does_not_see_the_choice_of_cell(crystals, config):
    """Supercells and other unit cells; the sum of weights over a crystal is 1 either way.

    The cluster variants are not invariant (clusters come from the cell's own coordinates), and
    without global attention the crystal vector is a sum that grows with the cell.
    """
    originals = [distorted(s) for s in crystals if len(s) <= 8]
    doubled = [s.make_supercell([2, 1, 1], in_place=False) for s in originals]
    skewed = [
        s.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False) for s in originals
    ]
    model = small_model(config)
    expected = predictions(
        model, batch_of(arrays_of(dataset_of(originals, config))), len(originals)
    )
    for others in (doubled, skewed):
        actual = predictions(model, batch_of(arrays_of(dataset_of(others, config))), len(others))
        np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize("global_attention", GLOBAL_ATTENTIONS)
@pytest.mark.slow
def test_cells_of_one_two_and_two_hundred_atoms(global_attention):
    copper = Structure(Lattice.cubic(2.55), ["Cu"], [[0, 0, 0]])
    salt = Structure(Lattice.cubic(2.9), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    large = distorted(copper.make_supercell([10, 5, 4], in_place=False))
    structures = [copper, salt, large]
    data = arrays_of(dataset_of(structures, REDUCED))
    model = small_model(REDUCED, global_attention)
    output = outputs(model, batch_of(data))
    assert np.isfinite(output.prediction).all()
    weights = np.asarray(output.atom_attention)
    total = [weights[:1].sum(), weights[1:3].sum(), weights[3:203].sum()]
    np.testing.assert_allclose(
        total, [1, 2, 200] if global_attention == "none" else [1, 1, 1], rtol=1e-5
    )
    gradient = loss_and_gradient(model, batch_of(data), 3)[1]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_random_clusters_are_other_clusters(crystals):
    """Every draw names another cluster of the same crystal, each with the same frequency."""
    data = arrays_of(dataset_of(crystals, FULL))
    graph = batch_of(data)
    model = small_model(FULL, "cluster-random")
    attention = model.global_attention
    atoms = Atoms.of(graph, train=True)
    size = jax.ops.segment_sum(
        jnp.ones(len(atoms.cluster)), atoms.crystal * 3 + atoms.cluster, atoms.num_crystals * 3
    )
    keys = jax.random.split(jax.random.key(1), 400)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: attention._draw(key, atoms, size)))(keys))
    own, crystal = np.asarray(atoms.cluster), np.asarray(atoms.crystal)
    present = np.asarray(size).reshape(-1, 3)[crystal] > 0
    several = present.sum(1) > 1
    assert several.any()
    assert (drawn[:, several] != own[several]).all()
    assert (drawn[:, ~several] == own[~several]).all()
    assert np.take_along_axis(present[None], drawn[..., None], 2).all()
    three = np.flatnonzero(present.all(1))
    share = np.mean(drawn[:, three] == (own[three] + 1) % 3)
    assert abs(share - 0.5) < 0.03


def test_batches_hold_every_crystal_once_and_little_padding(crystals):
    rng = np.random.default_rng(0)
    data = arrays_of(
        dataset_of([crystals[i] for i in rng.integers(0, len(crystals), 300)], REDUCED)
    )
    subset = np.sort(rng.permutation(300)[:250])
    plan = BatchPlan(sizes_of(data), [subset], batch_size=64)
    batches = plan.deal(subset, np.random.default_rng(1))
    assert sorted(batches[batches >= 0]) == subset.tolist()
    assert batches.shape[-1] <= 64
    for batch in batches.reshape(-1, batches.shape[-1]):
        members = batch[batch >= 0]
        for rows, room in zip(plan.sizes, plan.shape[1:], strict=True):
            assert rows[members].sum() <= room
    assert 0 <= plan.padding_share(subset) < 0.1
    again = plan.deal(subset, np.random.default_rng(2))
    assert (again != batches).any()
