"""What a run directory stores is checked as it is opened: settings, weights, training state."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import UserError
from gatgnn_jax import predict
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.runs.checkpoints import HASHES, load_training, save_training
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED, ready_made_names
from tests.commands import error_of, untrained_run

NAN = float("nan")
MISSING = object()

WRONG_SETTINGS = [
    ("properties.0.scale", 0, "above 0"),
    ("properties.0.scale", -1.0, "above 0"),
    ("properties.0.scale", NAN, "a number"),
    ("properties.0.mean", "high", "a number"),
    ("properties.0.mean", 10**400, "a number"),
    ("properties.0.transform", "foo", "none, log10, is_zero"),
    ("properties.0.transform", "is_zero", "a regression has none such"),
    ("properties.0.unit", None, "text"),
    ("properties.0.name", "", "is empty"),
    ("properties.0.column", MISSING, "text"),
    ("properties.0", None, "an object"),
    ("properties", [], "one or several"),
    ("properties", None, "a list"),
    ("model.residual", "yes", "true or false"),
    ("model.heads", 2.0, "a whole number"),
    ("model.heads", True, "a whole number"),
    ("model.num_layers", 0, "1 or more"),
    ("model.num_layers", MISSING, "a whole number"),
    ("model.global_attention", 4, "text"),
    ("model.neuron", 64, "did you mean 'neurons'"),
    ("model", [], "an object"),
    ("train.learning_rate", NAN, "a number"),
    ("train.milestones", [0.5, "late"], "a list, each a number"),
    ("train.seed", -1, "0 or more"),
    ("train.averaging", 1.0, "below 1"),
    ("data.element_counts", {"Xx": 3}, "Xx"),
    ("data.element_counts", {"Na": -3}, "Na"),
    ("data.limit", 0, "1 or more"),
    ("data", MISSING, "an object"),
    ("graph.radius", "8", "a number"),
    ("graph.max_neighbors", 12.5, "a whole number"),
    ("graph.reduce", 1, "true or false"),
    ("format_version", 2, "reads 1"),
    ("format_version", MISSING, "a whole number"),
]


@pytest.fixture
def copy(untrained, tmp_path):
    return Path(shutil.copytree(untrained, tmp_path / "copy"))


def edited(text, place, value):
    """JSON with the value at a place like `model.heads` set, or taken away."""
    settings = inner = json.loads(text)
    *path, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    for step in path:
        inner = inner[step]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(settings)


@pytest.mark.parametrize(("place", "value", "allowed"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named(copy, place, value, allowed):
    """With its file, its place and what is allowed."""
    file = copy / "config.json"
    file.write_text(edited(file.read_text(), place, value))
    with pytest.raises(UserError) as error:
        RunDirectory(copy).config()
    message = str(error.value)
    assert message.startswith(f"{file} cannot be read: ")
    parent, _, name = place.rpartition(".")
    assert parent.replace(".0", "[0]") in message
    assert name.replace("0", "properties") in message
    assert allowed in message


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", "{}", "\x00", "[" * 10])
def test_settings_that_are_none(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        RunDirectory(copy).config()


@pytest.mark.parametrize("name", ["model", "global_attention"])
def test_a_network_that_does_not_exist(copy, name):
    file = copy / "config.json"
    file.write_text(edited(file.read_text(), f"model.{name}", "nothing"))
    with pytest.raises(UserError, match=r"config\.json cannot be used: .*'nothing'"):
        RunDirectory(copy).load_best()


def test_settings_that_older_runs_lack_mean_their_defaults(copy):
    text = (copy / "config.json").read_text()
    config = RunConfig.from_json(text)
    settings = ["schedule", "decay_norms", "optimizer"]
    later = ["model.residual", "model.layer_options", *(f"train.{name}" for name in settings)]
    for place in (*later, "graph.clusters"):
        text = edited(text, place, MISSING)
    assert RunConfig.from_json(text) == config


def files_of(checkpoint):
    """The files of a checkpoint, the largest first."""
    files = [file for file in checkpoint.rglob("*") if file.is_file()]
    return sorted(files, key=lambda file: -file.stat().st_size)


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "a flipped bit": flipped,
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "prose": lambda content: b"no weights",
    "gone": lambda content: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused(copy, tmp_path, damage):
    """In whichever file of the checkpoint."""
    best = copy / "checkpoints" / "best"
    whole = Path(shutil.copytree(best, tmp_path / "whole"))
    RunDirectory(copy).load_best()
    for number, file in enumerate(files_of(whole)):
        shutil.rmtree(best)
        shutil.copytree(whole, best)
        content = DAMAGES[damage](file.read_bytes())
        damaged = best / file.relative_to(whole)
        if content is not None:
            damaged.write_bytes(content)
        elif file.name != HASHES:
            damaged.unlink()
        else:  # as of an older version: taken as it is
            continue
        with pytest.raises(UserError, match="damaged") as error:
            RunDirectory(copy).load_best()
        assert str(best) in str(error.value), number
        assert len(str(error.value).splitlines()) == 2


def test_weights_are_saved_where_a_kill_has_left_the_old_ones(copy):
    """A kill between the two renames of a save: both folders are there."""
    best = copy / "checkpoints" / "best"
    shutil.copytree(best, best.with_name(".best.old"))
    run = RunDirectory(copy)
    _, _, model = run.load_best()
    run.save_best(model)
    run.save_best(model)
    assert [file.name for file in best.parent.iterdir()] == ["best"]
    run.load_best()


def test_what_came_trained_is_not_to_be_finished(copy):
    with pytest.raises(UserError, match=r"no split.json: it was not trained here$"):
        RunDirectory(copy).split()


@pytest.mark.slow
def test_another_networks_weights_are_refused(copy, tmp_path, capsys):
    """Of other sizes, and of other layers: neither is cut to fit."""
    for settings in ({"neurons": 9}, {"num_layers": 2}, {"model": "gat"}):
        name = "-".join(map(str, settings.values()))
        other = untrained_run(tmp_path / name, **settings)
        shutil.rmtree(copy / "checkpoints")
        shutil.copytree(other / "checkpoints", copy / "checkpoints")
        (tmp_path / "x.cif").write_text("")
        message = error_of(predict.main, [copy, tmp_path / "x.cif"], capsys)
        assert str(copy / "checkpoints" / "best") in message
        assert "another network" in message


def test_a_damaged_training_state_is_refused(tmp_path):
    """State and progress come back as saved, or not at all."""
    folder = tmp_path / "latest"
    state, progress = {"w": np.arange(3000.0)}, {"epoch": 3, "best_score": 0.5}
    assert load_training(folder, state) is None
    save_training(folder, state, progress)
    restored, saved = load_training(folder, state)
    np.testing.assert_array_equal(restored["w"], state["w"])
    assert saved == progress
    largest = files_of(folder)[0]
    largest.write_bytes(flipped(largest.read_bytes()))
    with pytest.raises(UserError, match=f"{folder} cannot be read"):
        load_training(folder, state)


@pytest.mark.parametrize("text", ["[]", "{}", '{"train": [1], "val": [], "test": []}', "{"])
def test_a_damaged_split_is_refused(copy, text):
    (copy / "split.json").write_text(text)
    with pytest.raises(UserError, match=r"split\.json"):
        RunDirectory(copy).split()
    ids = {name: [name] for name in SUBSETS}
    (copy / "split.json").write_text(json.dumps(ids))
    assert RunDirectory(copy).split() == ids


def test_ready_made_models_carry_hashes():
    for name in ready_made_names():
        best = PRETRAINED / name / "checkpoints" / "best"
        others = {file.relative_to(best).as_posix() for file in files_of(best)} - {HASHES}
        assert set(json.loads((best / HASHES).read_text())) == others
        RunDirectory(PRETRAINED / name).load_best()
