"""The models that come with the package: found by name, good on crystals they have not seen."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from benchmarks.make_pretrained import of_property
from benchmarks.model_card import command as card_command
from data_prep.cache import BUNDLED
from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax import Predictor, evaluate, predict, train
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED
from tests.commands import bundled_rows, error_of, untrained_run
from tests.crystals import rock_salt

pytestmark = pytest.mark.usefixtures("optimized")

NAMES = sorted(place.parent.name for place in PRETRAINED.glob("*/config.json"))


def test_there_are_six_and_each_is_small() -> None:
    assert NAMES == [
        "band_gap", "bulk_modulus", "formation_energy", "is_metal", "poisson_ratio",
        "shear_modulus",
    ]  # fmt: skip
    for name in NAMES:
        files = [path for path in (PRETRAINED / name).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 4e6
        card = (PRETRAINED / name / "README.md").read_text()
        [error] = re.findall(r"it has never seen: (?:mean absolute error|accuracy) ([\d.]+)", card)
        assert re.search(rf"test (MAE|accuracy) {error} ± ", repr(Predictor.load(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_command_in_a_card_has_the_settings_of_the_run(name: str) -> None:
    card = (PRETRAINED / name / "README.md").read_text()
    [command] = re.findall(r"\*\*Training\*\*: `python -m gatgnn_jax.train (.*?)`", card)
    options = train.parse(command.split())
    config = RunDirectory(PRETRAINED / name).config()
    assert (options.graph, options.model) == (config.graph, config.model)
    assert options.train == config.train
    assert name in options.property.split(",")


@pytest.mark.parametrize(
    "changes",
    [
        {"train": TrainConfig(standardize=False, milestones=(0.2, 0.5), seed=3)},
        {"model": ModelConfig(residual=True, num_layers=9), "graph": GraphConfig(reduce=False)},
    ],
)
def test_any_settings_can_be_written_as_a_command(changes: dict[str, Any]) -> None:
    run = RunConfig(GraphConfig(), ModelConfig(), TrainConfig(), (Property("x", "x"),), DataInfo())
    run = dataclasses.replace(run, **changes)
    options = train.parse(card_command(run, 1000).split()[3:])
    assert (options.graph, options.model, options.train) == (run.graph, run.model, run.train)


@pytest.mark.parametrize("name", ["bulk_modulus", "shear_modulus", "poisson_ratio"])
def test_good_on_crystals_it_has_not_seen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far better than the mean, on just those of the bundled crystals that are new to it."""
    monkeypatch.chdir(tmp_path)
    assert evaluate.main([name, "--data", str(BUNDLED), "--quiet"]) == 0
    out = tmp_path / f"evaluation-{BUNDLED.name.partition('.')[0]}-all"
    table = pd.read_csv(out / "predictions.csv")
    seen = set(RunDirectory(PRETRAINED / name).seen_ids())
    ids = {row["id"] for row in bundled_rows(2000)}
    assert set(table.id) == ids - seen
    assert 200 < len(table) < len(ids)
    skipped = pd.read_csv(out / "skipped.csv")
    assert set(skipped.id) == ids & seen
    assert (skipped.reason == f"{name} was trained or selected with it").all()
    error = (table.prediction - table.target).abs().mean()
    naive = (table.target - table.target.mean()).abs().mean()
    assert error < 0.7 * naive
    assert json.loads((out / "metrics.json").read_text())["all_mae"] == pytest.approx(error)


@pytest.mark.parametrize(
    ("name", "salt", "copper", "within"),
    [("formation_energy", -2.1, 0.0, 0.15), ("band_gap", 5.0, 0.0, 0.5)],
)
def test_what_is_known_of_salt_and_copper(
    name: str, salt: float, copper: float, within: float
) -> None:
    """As PBE has them: rock salt holds together by 2.1 eV an atom and has a gap of 5 eV."""
    metal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.62), ["Cu"], [[0, 0, 0]])
    values = Predictor.load(name).predict([rock_salt(), metal]).values[:, 0]
    np.testing.assert_allclose(values, [salt, copper], atol=within)


def test_copper_is_a_metal_and_salt_is_none() -> None:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.62), ["Cu"], [[0, 0, 0]])
    table = Predictor.load("is_metal").predict([rock_salt(), copper]).to_dataframe()
    assert table.prediction.tolist() == ["insulator", "metal"]


def test_a_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    crystal = Structure.from_dict(bundled_rows(1)[0]["structure"])
    CifWriter(crystal).write_file("crystal.cif")
    assert predict.main(["bulk_modulus", "crystal.cif", "--quiet"]) == 0
    table = pd.read_csv("predictions.csv")
    values = Predictor.load("bulk-modulus").predict(crystal).values
    np.testing.assert_allclose(table.prediction_gpa, values[:, 0], rtol=1e-5)


def test_a_run_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bulk_modulus").mkdir()
    assert RunDirectory.open(Path("bulk_modulus")).path.parent == PRETRAINED
    Path("bulk_modulus", "config.json").write_text("{}")
    assert RunDirectory.open(Path("bulk_modulus")).path == Path("bulk_modulus")


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.slow
def test_a_run_of_several_properties_gives_a_model_of_each(tmp_path: Path, ensemble: int) -> None:
    names = ("bulk_modulus", "poisson_ratio")
    both = RunDirectory(untrained_run(tmp_path / "both", names, ensemble=ensemble))
    config, _, model = both.load_best()
    crystals = [Structure.from_dict(row["structure"]) for row in bundled_rows(3)]
    expected = Predictor.load(both.path).predict(crystals).values
    for column, p in enumerate(config.properties):
        own, own_model = of_property(config, model, p)
        run = RunDirectory.create(tmp_path / p.name, own)
        run.save_best(own_model)
        values = Predictor.load(run.path).predict(crystals).values
        np.testing.assert_allclose(values[:, 0], expected[:, column], rtol=1e-6)


def test_what_does_not_work_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(predict.main, ["bulk_moduli_2", tmp_path], capsys)
    assert "(there are: band_gap, bulk_modulus, " in message
    assert "--data" in error_of(evaluate.main, ["bulk_modulus"], capsys)
    assert "not trained here" in error_of(train.main, ["--resume", "bulk_modulus"], capsys)
