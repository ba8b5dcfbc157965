"""Nearest training crystals, and warnings for crystals that are far from all of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import data_prep.surroundings
from data_prep.config import GraphConfig
from data_prep.graph import build_graph
from data_prep.surroundings import SIZE, Surroundings, surroundings
from gatgnn_jax.jobs.train_options import asked_for, parse
from gatgnn_jax.prediction.reliability import (
    Reliability,
    read_reliability,
    write_reliability,
)
from gatgnn_jax.prediction.subsets import predict_subsets
from gatgnn_jax.prediction.training_crystals import (
    COMPONENTS,
    Points,
    TrainingCrystals,
    element_basis,
    fit_training_crystals,
    measured_risk,
)
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training import reliability
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.prepare import prepare
from tests.commands import TINY, untrained_run
from tests.crystals import rock_salt

COUNT = 60


def random_surroundings(rng: np.random.Generator, count: int) -> Surroundings:
    """Each crystal of one atom of sodium and two of chlorine."""
    crystal = np.repeat(np.arange(count), 2)
    element, atoms = np.tile([11, 17], count), np.tile([1.0, 2.0], count)
    return Surroundings(crystal, element, atoms, rng.normal(size=(2 * count, SIZE)))


@pytest.fixture
def training() -> TrainingCrystals:
    rng = np.random.default_rng(0)
    ids = np.array([f"c{k}" for k in range(COUNT)])
    return fit_training_crystals(
        ids,
        ids,
        rng.normal(size=(COUNT, 1)),
        rng.normal(size=(COUNT, 8)) * 3 + 5,
        random_surroundings(rng, COUNT),
    )


def test_the_nearest_is_that_of_brute_force() -> None:
    """In standardized features, as no more components are kept than there are."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(80, 6)) * [1, 10, 100, 1, 1, 0] + 7
    kind = rng.integers(0, 3, 80)
    points = Points.fit(features, kind)
    scale = np.where(features.std(0) > 1e-9, features.std(0), np.inf)
    new, own = rng.normal(size=(20, 6)) * [1, 10, 100, 1, 1, 0] + 7, rng.integers(0, 3, 20)
    apart = np.linalg.norm(((new[:, None] - features) / scale), axis=-1)
    apart[own[:, None] != kind] = np.inf
    distance, number = points.nearest(new, own)
    np.testing.assert_array_equal(number, apart.argmin(1))
    np.testing.assert_allclose(distance, apart.min(1), atol=5e-3)
    among = np.linalg.norm((features[:, None] - features) / scale, axis=-1)
    among[(kind[:, None] != kind) | np.eye(80, dtype=bool)] = np.inf
    np.testing.assert_allclose(points.spacing, among.min(1), atol=5e-3)
    missing = points.nearest(new[:1], np.array([9]))
    assert missing[0] == [np.inf] and missing[1] == [-1]


def test_strangeness_by_hand() -> None:
    """Of spacings 1, 1 and 4 one is 3 or more: p = (1 + 1) / (3 + 1)."""
    features = np.array([[0.0], [1.0], [5.0]])
    points = Points.fit(features, np.zeros(3, int))
    unit = features.std()
    np.testing.assert_allclose(points.spacing * unit, [1, 1, 4], rtol=1e-3)
    own = points.strangeness(np.array([0, 3, 9]) / unit, np.zeros(3, int))
    np.testing.assert_allclose(own, -np.log([4 / 4, 2 / 4, 1 / 4]))
    assert points.strangeness(np.array([np.inf]), np.array([7])) == [0]


def test_training_crystals_are_near_and_others_far(training: TrainingCrystals) -> None:
    rng = np.random.default_rng(0)
    rng.normal(size=(COUNT, 1))
    vectors = rng.normal(size=(COUNT, 8)) * 3 + 5
    around = random_surroundings(rng, COUNT)
    same = training.strangeness(vectors, around)
    far = training.strangeness(vectors + 100, around._replace(features=around.features + 100))
    assert same.max() < 0.1
    # Nobody is farther: p = 1 / (60 + 1), of the surroundings and of 0.2 of the vector.
    np.testing.assert_allclose(far, 1.2 * np.log(COUNT + 1), rtol=1e-6)
    neighbors = training.neighbors(vectors)
    assert [own.id for own in neighbors] == training.ids.tolist()
    np.testing.assert_allclose([own.distance for own in neighbors], 0, atol=0.01)
    assert neighbors[3].values == training.values[3]


def test_several_neighbors_come_nearest_first(training: TrainingCrystals) -> None:
    """Those of brute force among the kept points; no more than there are."""
    vectors = np.random.default_rng(2).normal(size=(4, 8)) * 3 + 5
    kept, mean = training.vectors.points.astype(float), training.vectors.mean
    own = (vectors - mean) @ training.vectors.components
    apart = np.linalg.norm(own[:, None] - kept, axis=-1)
    usual = np.median(training.vectors.spacing)
    for found, distance in zip(training.several_neighbors(vectors, 3), apart, strict=True):
        nearest = np.argsort(distance)[:3]
        assert [neighbor.id for neighbor in found] == training.ids[nearest].tolist()
        np.testing.assert_allclose([n.distance for n in found], distance[nearest] / usual)
    assert len(training.several_neighbors(vectors, 10**6)[0]) == COUNT


def test_the_risk_is_what_was_measured() -> None:
    strangeness = np.arange(100.0)
    error = np.ones((100, 2))
    error[94:, 0] = 4.0  # six in a hundred: usual (94 + 24) / 100
    error[:50, 1] = np.nan
    limit, risk = measured_risk(strangeness, error)
    assert (strangeness > limit).sum() == 6
    assert risk == pytest.approx((4 / 1.18 + 1) / 2)
    assert measured_risk(strangeness[:40], error[:40])[0] == np.inf


def test_surroundings_do_not_depend_on_how_atoms_are_merged() -> None:
    """By hand: sodium has six chlorine atoms at 2.82 Å and six of the twelve sodium at 3.99 Å."""
    merged, full = (
        surroundings([build_graph(rock_salt(), GraphConfig(reduce=reduce))])
        for reduce in (True, False)
    )
    np.testing.assert_array_equal(merged.element, [11, 17])
    np.testing.assert_array_equal(merged.atoms, full.atoms)
    np.testing.assert_allclose(merged.features, full.features, rtol=1e-5, atol=1e-12)


def test_surroundings_do_not_depend_on_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_graph(rock_salt(), GraphConfig(reduce=False))  # of eight nodes
    expected = surroundings([graph])
    monkeypatch.setattr(data_prep.surroundings, "SLICE", 3)
    for own, other in zip(surroundings([graph]), expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-12)


def test_the_basis_tells_elements_apart_whatever_their_mean() -> None:
    basis = element_basis()
    assert basis.shape == (SIZE // 2, 26)
    np.testing.assert_allclose(basis[1:, 1:].T @ basis[1:, 1:], np.eye(25), atol=1e-10)


def test_a_run_keeps_them(training: TrainingCrystals, tmp_path: Path, cache: Path) -> None:
    run = RunDirectory(untrained_run(tmp_path / "run"))
    write_reliability(run, Reliability(training=training))
    again = read_reliability(run).training
    assert again is not None
    assert again.elements.points.shape == (2 * COUNT, COMPONENTS)
    rng = np.random.default_rng(5)
    vectors, around = rng.normal(size=(9, 8)), random_surroundings(rng, 9)
    np.testing.assert_array_equal(
        again.strangeness(vectors, around), training.strangeness(vectors, around)
    )


def test_a_far_crystal_gets_the_warning(training: TrainingCrystals) -> None:
    """By its vector; elements that training never saw are told too."""
    graphs = [build_graph(rock_salt(), GraphConfig())]
    vector = np.full((1, 8), 1000.0)
    known = Reliability(training=replace(training, limit=0.5, risk=2.5))
    (told,) = known.warnings(vector, graphs, {"Na": 3})
    assert told == (
        "not in the training crystals: Cl; farther from the training crystals than nearly all "
        "validation crystals: errors there were 2.5 times the usual"
    )
    near = Reliability(training=replace(training, limit=100.0))
    assert near.warnings(vector, graphs, {"Na": 3, "Cl": 3}) == [""]
    old = Reliability(training=training)
    assert old.warnings(vector, graphs, {"Na": 3, "Cl": 30}) == [
        "in fewer than 10 training crystals: Na"
    ]


@pytest.mark.slow
def test_those_kept_fit_no_batch_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """66 crystals train in three batches of 22; the 30 that are kept would make one of 30."""
    monkeypatch.setattr(reliability, "MOST_CRYSTALS", 30)
    prepared = prepare(
        asked_for(parse(["--limit", "110", "--batch-size", "32", *TINY])), quiet=True
    )
    trainer = Trainer(prepared.config, prepared.dataset, prepared.target, prepared.subsets)
    train = prepared.subsets["train"]
    assert trainer.feed.plan.shape.crystals == 22 and len(train) == 66
    predictions = predict_subsets(
        trainer.predict, trainer.best, prepared.subsets, prepared.dataset.ids, trainer.target
    )
    kept = reliability.measure_distances(trainer, prepared.dataset, predictions)
    assert len(kept.ids) == 30 and set(kept.ids) <= set(prepared.dataset.ids[train])
    # Each has the vector that it has in training, and so is the nearest to itself.
    numbers = {i: row for row, i in enumerate(prepared.dataset.ids)}
    rows = np.array([numbers[i] for i in kept.ids])
    vectors = trainer.predict.crystal_vectors(trainer.best, train, train)
    vectors = vectors[np.searchsorted(train, rows)].reshape(30, -1)
    _, nearest = kept.vectors.nearest(vectors, np.zeros(30, int))
    assert nearest.tolist() == [*range(30)]
