"""Ensembles of different networks: each is trained as it would be alone, and counts as much."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from gatgnn_jax import Predictor, convert, embed, explain, train
from gatgnn_jax.config import TrainConfig, members_of
from gatgnn_jax.jobs.train_options import as_file, asked_for, parse
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.ensemble import Ensemble, MixedEnsemble
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.serving.answers import Models
from gatgnn_jax.training.optimizer import part_of
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, evaluate_to, train_run, untrained_run
from tests.crystals import bundled, rock_salt
from tests.models import arrays_of, batch_of, dataset_of, outputs, small_model, small_network

ENSEMBLE = "cgcnn:2,megnet:1"
SHORT = ["--limit=60", "--num-layers=1", "--neurons=8", "--batch-size=32", "--workers=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "mixed"
    return train_run(path, "--ensemble", ENSEMBLE, "--epochs=2", *SHORT)


def test_outputs_are_those_of_the_members() -> None:
    graph = batch_of(arrays_of(dataset_of([s for _, s in bundled(12)], GraphConfig())))
    alone = [small_model(GraphConfig()), small_network("gated-gatgnn", GraphConfig())]
    other = small_network("gated-gatgnn", GraphConfig())
    other.out.bias[...] += 1
    mixed = MixedEnsemble([alone[0], Ensemble([alone[1], other])])
    actual = outputs(mixed, graph)
    expected = [outputs(network, graph) for network in (*alone, other)]
    assert actual.prediction.shape[1:] == (3, 1)
    for member, own in enumerate(expected):
        np.testing.assert_allclose(actual.prediction[:, member], own.prediction, rtol=1e-4)
    vectors = np.concatenate([own.crystal_vector for own in expected], axis=1)
    np.testing.assert_allclose(actual.crystal_vector[:, 0], vectors, rtol=1e-3, atol=1e-5)
    weights = np.mean([own.atom_attention for own in expected], axis=0)
    np.testing.assert_allclose(actual.atom_attention, weights, rtol=1e-4, atol=1e-6)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(mixed, nnx.Param))
    parts = {part_of(path) for path, _ in leaves}
    assert {"embed_atom", "layers", "global_attention", "hidden", "out"} <= parts
    assert not {"groups", "members"} & parts


def _part(groups: nnx.State, number: int) -> nnx.State:
    """A group's arrays; MEGNet has no running statistics."""
    return groups[number] if number in groups else nnx.State({})


@pytest.mark.slow
def test_every_member_reaches_the_tables(run: Path, tmp_path: Path, cache: Path) -> None:
    """A group is a run of its own once its arrays are cut out: the tables are of these."""
    config, _, model = RunDirectory.open(run).load_best()
    assert (config.model.model, config.model.neurons) == ("cgcnn", 8)
    assert [own.model for own in config.others] == ["megnet"]
    table = pd.read_csv(run / "predictions.csv")
    structures = {row["id"]: row["structure"] for row in bundled_rows(60)}
    crystals = [structures[name] for name in table.id]
    predicted = []
    for group, (network, count) in enumerate(((config.model, 2), (config.others[0], 1))):
        train_settings = replace(config.train, ensemble=count)
        single = replace(config, model=network, others=(), train=train_settings)
        graphdef = nnx.split(single.new_model(), nnx.Param, nnx.BatchStat)[0]
        own = ModelState(*(_part(state["groups"], group) for state in model))
        result = Predictor(single, graphdef, own).predict(crystals)
        predicted.append((result.transformed[:, 0], result.uncertainty))
    (pair, spread), (one, none) = predicted
    assert none is None
    first, second = pair - spread[:, 0] / 2**0.5, pair + spread[:, 0] / 2**0.5
    np.testing.assert_allclose(table.prediction, (first + second + one) / 3, rtol=1e-4)
    expected = np.std([first, second, one], axis=0, ddof=1)
    np.testing.assert_allclose(table.uncertainty, expected, rtol=1e-2, atol=1e-4)
    assert len(json.loads((run / "summary.json").read_text())["members"]["test_mae"]) == 3

    assert evaluate_to(tmp_path / "evaluation", run) == 0
    out = tmp_path / "vectors.npz"
    (tmp_path / "salt.vasp").write_text(rock_salt().to(fmt="poscar"))
    assert embed.main([str(run), str(tmp_path / "salt.vasp"), "--out", str(out), "--quiet"]) == 0
    widths = 2 * 8 + (4 * config.others[0].neurons // 2 + config.others[0].neurons)
    assert np.load(out)["vector"].shape == (1, widths)


def test_the_report_names_all_networks(run: Path, tmp_path: Path) -> None:
    values = "[...document.querySelectorAll('.tile .value')].map(tile => tile.textContent.trim())"
    opened = open_page(run / "report.html", tmp_path, f"return {values};")
    assert opened.console == []
    assert "2 × CGCNN + MEGNET" in opened.result


def test_it_goes_on_to_the_same_files(run: Path, tmp_path: Path, cache: Path) -> None:
    before = (run / "predictions.csv").read_text()
    (run / "summary.json").unlink()
    assert train.main(["--resume", str(run), "--quiet"]) == 0
    assert (run / "predictions.csv").read_text() == before


def test_the_networks_and_their_sizes(tmp_path: Path) -> None:
    options = parse(["--preset=gated", "--ensemble=gated-gatgnn:3,gatgnn:2,gat:1"])
    asked = asked_for(options)
    assert options.model == PRESETS["gated"].model
    assert options.train.members == 6
    assert [own.model for own in asked.others] == ["gatgnn", "gat"]
    assert asked.others[0].num_layers == 5
    options = parse(["--preset=paper-megnet", "--ensemble=megnet:1,gatgnn:1", "--neurons=16"])
    [other] = asked_for(options).others
    assert (options.model.neurons, other.neurons) == (16, 64)
    assert (other.gaussian_step, other.num_layers) == (0.5, 5)
    assert members_of(4) == {"": 4}
    file = tmp_path / "settings.yaml"
    file.write_text(as_file(options))
    again = asked_for(parse(["--config", str(file)]))
    assert (again.model, again.others) == (options.model, (other,))
    clustered = replace(other, global_attention="cluster-fixed")
    assert replace(asked_for(options), others=(clustered,)).graph.clusters


@pytest.mark.parametrize("text", ["gatgnn", "gatgnn:0", "gatgnn:x", ":2", "gatgnn:1,,", ""])
def test_what_is_no_ensemble_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give a number, or how many of which network, as gatgnn"):
        TrainConfig(ensemble=text)


def test_what_it_cannot_do_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["--run-dir", tmp_path / "new", "--workers=1"]
    salt = tmp_path / "salt.vasp"
    salt.write_text(rock_salt().to(fmt="poscar"))
    cases = [
        (convert.main, [run, "--to-torch", "--out", tmp_path / "x.pt"], "cannot express"),
        (explain.main, [run, salt, "--out", tmp_path], "no attention in common"),
        (train.main, ["--init-from", run, *new], "has different networks: give a run of one kind"),
        (train.main, ["--ensemble=gatgnn:1,cgcnn:1", "--init-from", run, *new], "one kind of"),
        (train.main, ["--ensemble=gatgnn:1,foo:2", *new], "model is 'foo': choose one of gatgnn"),
        (train.main, ["--ensemble=gatgnn:1,gatgnn:2", *new], "name each network once"),
        (train.main, ["--ensemble=gatgnn:1,gat:1", "--model=cgcnn", *new], "leave out --model"),
        (train.main, ["--ensemble=some", *new], "give a number, or how many of which network"),
    ]
    for command, arguments, says in cases:
        assert says in error_of(command, arguments, capsys)
    config = json.loads((run / "config.json").read_text())
    config["others"] = []
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"others are 0 networks, but train\.ensemble is 'cgcnn:2"):
        RunDirectory(tmp_path).config()


def test_the_page_answers_without_attention(tmp_path: Path) -> None:
    """The first of these networks has attention, all together have none to show."""
    place = untrained_run(tmp_path / "run", ensemble="gatgnn:1,cgcnn:1")
    models = Models({"mixed": Predictor.load(place)})
    crystal = rock_salt().to(fmt="cif").encode()
    (answer,) = models.answer("salt.cif", crystal, [])["crystals"]
    assert len(answer["values"][0]["networks"]) == 2
    assert answer["explained"] == {}


@pytest.mark.slow
def test_a_network_of_the_users_own(tmp_path: Path) -> None:
    """In a file, beside one of ours that is named first."""
    file = tmp_path / "twin.py"
    file.write_text("from gatgnn_jax.models.layers import AGATLayer\n\n\nclass Twin(AGATLayer):\n")
    with file.open("a") as text:
        text.write('    """The same by another name."""\n')
    run = train_run(tmp_path / "run", "--ensemble", f"gatgnn:1,{file}:Twin:1", "--epochs=1", *SHORT)
    config = RunDirectory(run).config()
    assert [model.model for model, _ in config.networks] == ["gatgnn", "twin.py:Twin"]
    assert config.train.ensemble == "gatgnn:1,twin.py:Twin:1"
    assert (run / "source" / "twin.py").read_text() == file.read_text()
    assert np.isfinite(Predictor.load(run).predict(rock_salt()).values).all()
