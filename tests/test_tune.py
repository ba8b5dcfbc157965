"""`python -m gatgnn_jax.tune`: ranges, trials in run directories, going on, the best as a file."""

import json

import numpy as np
import optuna
import pandas as pd
import pytest

from data_prep.errors import UserError
from gatgnn_jax import train, tune
from gatgnn_jax.jobs import tune as tuning
from gatgnn_jax.jobs.ranges import Range, read_ranges
from gatgnn_jax.pipeline import start
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import TINY, error_of

PRESET = PRESETS["paper-cgcnn"]
TRAINING = ["--limit", "40", "--epochs", "1", *TINY, "--quiet"]
SEARCH = ["--search", "learning_rate=1e-4..1e-1", "huber_delta=0.5,1.0"]


def search(out, trials, *arguments):
    return tune.main(["--out", str(out), "--trials", str(trials), *SEARCH, *TRAINING, *arguments])


@pytest.fixture(scope="module")
def searched(tmp_path_factory, cache):
    """Two trials, the second of which was stopped as it began; then a third."""
    out = tmp_path_factory.mktemp("tune") / "search"

    def stopped(request, path, how):
        if path.name == "trial-001" and not path.exists():
            (path / "checkpoints").mkdir(parents=True)  # as a kill may leave it
            raise KeyboardInterrupt
        return start(request, path, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "start", stopped)
        with pytest.raises(KeyboardInterrupt):
            search(out, 2)
    (out / "trial-001" / "checkpoints").rmdir()
    assert search(out, 3) == 0
    return out


@pytest.mark.slow
def test_every_trial_is_a_run_judged_by_validation(searched):
    """Nothing is lost by the stop, and no trial is made twice."""
    trials = pd.read_csv(searched / "trials.csv")
    assert trials.trial.tolist() == [0, 1, 2]
    assert (trials.state == "complete").all()
    for row in trials.itertuples():
        run = RunDirectory.open(searched / f"trial-{row.trial:03d}")
        assert run.config().train.learning_rate == pytest.approx(row.learning_rate)
        assert run.config().train.huber_delta == row.huber_delta
        assert row.val_score == pytest.approx(run.read_json("summary.json")["val_mae"], rel=1e-5)
        assert 1e-4 <= row.learning_rate <= 1e-1
    splits = [(searched / f"trial-{k:03d}" / "split.json").read_text() for k in range(3)]
    assert len({*splits}) == 1


def test_the_best_is_written_in_the_shape_of_a_config(searched):
    trials = pd.read_csv(searched / "trials.csv")
    best = trials.trial[trials.val_score.idxmin()]
    config = json.loads((searched / f"trial-{best:03d}" / "config.json").read_text())
    written = json.loads((searched / "best.json").read_text())
    assert written == {part: config[part] for part in ("graph", "model", "train")}
    options = train.parse(["--config", str(searched / "best.json")])
    for part, values in written.items():
        assert json.loads(json.dumps(vars(getattr(options, part)))) == values


def test_optuna_reads_the_study(searched):
    storage = optuna.storages.RDBStorage(f"sqlite:///{searched / 'study.db'}")
    assert len(optuna.load_study(study_name="tune", storage=storage).trials) == 3
    storage.remove_session()
    storage.engine.dispose()


def test_another_search_in_its_place_is_refused(searched, capsys):
    message = error_of(tune.main, ["--out", searched, *SEARCH, *TRAINING, "--seed", "1"], capsys)
    assert "other settings" in message
    assert search(searched, 3) == 0  # all done: it says so again
    assert len(pd.read_csv(searched / "trials.csv")) == 3


def test_ranges():
    found = read_ranges(
        ["learning-rate=1e-4..1e-2", "num_layers=2..6", "neurons=16,64", "residual=true,false"],
        PRESET,
    )
    assert found == {
        "learning_rate": Range(1e-4, 1e-2),
        "num_layers": Range(2, 6),
        "neurons": Range(choices=(16, 64)),
        "residual": Range(choices=(True, False)),
    }
    assert found["learning_rate"].distribution().log
    assert not found["num_layers"].distribution().log
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    ranges = {name: own.distribution() for name, own in found.items()}
    drawn = [study.ask(ranges).params for _ in range(100)]
    assert {own["num_layers"] for own in drawn} == {2, 3, 4, 5, 6}
    assert {own["neurons"] for own in drawn} == {16, 64}
    assert np.median([own["learning_rate"] for own in drawn]) == pytest.approx(1e-3, rel=0.6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate", "write NAME=LOW..HIGH"),
        ("learnin_rate=1..2", "did you mean 'learning_rate'"),
        ("learning_rate=-1..2", "above 0"),
        ("num_layers=6..2", "below the second"),
        ("num_layers=a..b", "invalid literal"),
        ("residual=0..1", "no number"),
        ("residual=maybe", "neither true nor false"),
        ("milestones=0.5,0.7", "several values"),
        ("schedule=sometimes", "one of piecewise"),
    ],
)
def test_a_range_that_cannot_be(text, words, capsys):
    assert words in error_of(tune.main, ["--search", text], capsys)
    assert words in error_of(tune.main, ["--search", "neurons=8,16", text], capsys)


def test_a_run_of_its_own_is_refused(tmp_path, capsys):
    for arguments in (["--run-dir", tmp_path], ["--distributed", "auto"], ["--print-config"]):
        assert "leave" in error_of(tune.main, arguments, capsys)


def test_how_a_search_is_run_may_change(tmp_path):
    """As the cores that prepare its data; what changes its results may not."""
    for arguments in (["--dask", "local"], ["--workers", "2", "--quiet"]):
        with tuning.opened(tmp_path, train.parse([*TRAINING, *arguments]), {}):
            pass
    other = train.parse([*TRAINING, "--seed", "1"])
    with pytest.raises(UserError, match="other settings"), tuning.opened(tmp_path, other, {}):
        pass
