"""An ensemble is its members: trained side by side, as each would be alone."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax import Predictor, convert, train
from gatgnn_jax.batches.feeds import ResidentFeed
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.models.ensemble import Ensemble
from gatgnn_jax.pages.calibration import coverage
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import init_state, make_train_steps
from tests.commands import (
    SMALL,
    bundled_rows,
    error_of,
    evaluate_to,
    predict_to,
    train_run,
    untrained_run,
)
from tests.crystals import bundled, rock_salt
from tests.models import arrays_of, batch_of, dataset_of, outputs, predictions, small_model

MEMBERS = 3
SHORT = ["--limit", "60", *SMALL]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "ensemble"
    return train_run(path, "--ensemble", str(MEMBERS), "--epochs", "3", *SHORT)


def members() -> list[nnx.Module]:
    """Small models with weights of their own."""
    models = [small_model(GraphConfig()) for _ in range(MEMBERS)]
    for number, model in enumerate(models):
        scaled = jax.tree.map(lambda x, n=number: x * (1 + n / 10), nnx.state(model, nnx.Param))
        nnx.update(model, scaled)
    return models


@pytest.mark.slow
def test_training_is_that_of_each_member_alone() -> None:
    """Five steps: every member comes to predict what it comes to by itself.

    Predictions and not weights: a bias in front of a softmax goes where rounding takes it.
    """
    structures = [structure for _, structure in bundled(20)]
    data = arrays_of(dataset_of(structures, GraphConfig()))
    everything, mesh = np.arange(20), data_mesh(jax.devices()[:1])
    feed = ResidentFeed(data, {"train": everything}, 20, mesh)
    [(crystals, batches)] = feed(feed.plan.deal(everything))
    optimizer = make_optimizer(TrainConfig(learning_rate=1e-3), 1)

    def trained(model: nnx.Module) -> tuple[np.ndarray, float]:
        graphdef, state = init_state(model, optimizer)
        properties = (Property("x", "x"),)
        steps = make_train_steps(graphdef, optimizer, properties, feed.plan.shape, mesh)
        batch = jnp.repeat(batches, 5, axis=0)
        state, sums = steps(replicate(state, mesh), crystals, batch, jax.random.key(0))
        params, stats = jax.device_get(state.model)
        output = outputs(nnx.merge(graphdef, params, stats), batch_of(data))
        return np.asarray(output.prediction[:20]), float(sums.loss[0])

    untrained = [predictions(model, batch_of(data), 20) for model in members()]
    alone = [trained(model) for model in members()]
    together, loss = trained(Ensemble(members()))
    np.testing.assert_allclose(loss, np.mean([own for _, own in alone]), rtol=1e-4)
    for number, (prediction, _) in enumerate(alone):
        assert np.abs(prediction - untrained[number]).max() > 0.05
        np.testing.assert_allclose(together[:, number], prediction, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.slow
def test_outputs_are_those_of_the_members(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as on a CPU, and all at once, as on a GPU."""
    structures = [structure for _, structure in bundled(12)]
    graph = batch_of(arrays_of(dataset_of(structures, GraphConfig())))
    expected = [outputs(model, graph) for model in members()]
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    together = Ensemble(members())
    actual = jax.jit(lambda graph: together(graph))(graph)  # for this backend, whatever ran before
    assert actual.prediction.shape[1] == MEMBERS
    for number, own in enumerate(expected):
        np.testing.assert_allclose(actual.prediction[:, number], own.prediction, rtol=1e-4)
        np.testing.assert_allclose(
            actual.crystal_vector[:, number], own.crystal_vector, rtol=1e-3, atol=1e-5
        )
    mean = np.mean([own.atom_attention for own in expected], axis=0)
    np.testing.assert_allclose(actual.atom_attention, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_mean_and_spread_reach_every_table(ensemble: Path, tmp_path: Path, cache: Path) -> None:
    """A member is a run of its own once its arrays are cut out: the tables are of these."""
    config, _, model = RunDirectory.open(ensemble).load_best()
    table = pd.read_csv(ensemble / "predictions.csv")
    single = replace(config, train=replace(config.train, ensemble=1))
    predicted = []
    structures = {r["id"]: r["structure"] for r in bundled_rows(60)}
    for number in range(MEMBERS):
        own = jax.tree.map(lambda x, n=number: x[n], model)
        graphdef = nnx.split(single.new_model(), nnx.Param, nnx.BatchStat)[0]
        result = Predictor(single, graphdef, own).predict([structures[name] for name in table.id])
        assert result.uncertainty is None
        predicted.append(result.transformed[:, 0])
    assert np.std(predicted, axis=0).min() > 1e-4
    np.testing.assert_allclose(table.prediction, np.mean(predicted, axis=0), rtol=1e-4)
    spread = np.std(predicted, axis=0, ddof=1)
    np.testing.assert_allclose(table.uncertainty, spread, rtol=1e-2, atol=1e-4)
    is_test = (table.subset == "test").to_numpy()
    errors = [np.abs(own - table.target)[is_test].mean() for own in predicted]
    summary = json.loads((ensemble / "summary.json").read_text())
    assert summary["members"]["test_mae"] == pytest.approx(errors, rel=1e-3)

    assert evaluate_to(tmp_path / "evaluation", ensemble) == 0
    again = pd.read_csv(tmp_path / "evaluation" / "predictions.csv").set_index("id")
    test = table[table.subset == "test"].set_index("id")
    np.testing.assert_allclose(again.uncertainty, test.uncertainty[again.index], rtol=1e-4)

    (tmp_path / "salt.vasp").write_text(rock_salt().to(fmt="poscar"))
    assert predict_to(tmp_path / "salt.csv", ensemble, tmp_path / "salt.vasp") == 0
    row = pd.read_csv(tmp_path / "salt.csv").iloc[0]
    result = Predictor.load(ensemble).predict(rock_salt())
    assert result.uncertainty is not None
    assert row.uncertainty == pytest.approx(result.uncertainty[0, 0], rel=1e-3)
    explained = Predictor.load(ensemble).explain(rock_salt())
    assert explained.atom_weights.sum() == pytest.approx(1)
    assert explained.prediction.uncertainty is not None


def test_it_resumes_and_has_its_picture(ensemble: Path, tmp_path: Path, cache: Path) -> None:
    assert (ensemble / "calibration.png").stat().st_size > 5000
    settings = json.loads((ensemble / "config.json").read_text())
    assert settings["train"]["ensemble"] == MEMBERS
    (ensemble / "summary.json").unlink()
    before = (ensemble / "predictions.csv").read_text()
    assert train.main(["--resume", str(ensemble), "--quiet"]) == 0
    assert (ensemble / "predictions.csv").read_text() == before


def test_coverage_of_normal_errors_is_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 2, 20_000)
    expected, found = coverage(np.abs(rng.normal(size=20_000) * spread), spread)
    np.testing.assert_allclose(found, expected, atol=0.015)
    _, narrow = coverage(np.abs(rng.normal(size=20_000) * spread), spread / 3)
    assert (narrow < expected - 0.02).all()


def test_what_an_ensemble_cannot_do_is_said(
    ensemble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["--run-dir", tmp_path / "new"]
    single = untrained_run(tmp_path / "single")
    sizes = ["--num-layers", "1", "--neurons", "8", "--heads", "2"]
    cases = [
        (convert.main, [ensemble, "--to-torch", "--out", tmp_path / "x.pt"], "an ensemble"),
        (
            train.main,
            ["--ensemble", "2", "--init-from", single, *sizes, *new],
            "members of an ensemble would be the same",
        ),
        (train.main, ["--ensemble", "0", *new], "ensemble is 0"),
    ]
    for command, arguments, says in cases:
        assert says in error_of(command, arguments, capsys)
