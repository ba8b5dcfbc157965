"""Settings in files: what is typed goes before the file, and the file before the preset."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep.errors import UserError
from gatgnn_jax import train
from gatgnn_jax.presets import PRESETS, PUBLISHED_SIZES
from tests.commands import TINY, assert_same_run, error_of, train_run, write_source

YAML = """
data: my_folder
property: hardness
limit: 40
device: cpu
learning-rate: 2e-3  # as the command line has it
model:
  num_layers: 2
train:
  epochs: 30
  milestones: [0.25, 0.5]
"""

TOML = """
data = "my_folder"
property = "hardness"
limit = 40
device = "cpu"
learning_rate = 2e-3
num_layers = 2
[train]
epochs = 30
milestones = [0.25, 0.5]
"""


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.toml", TOML)])
def test_a_file_stands_for_what_is_typed(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    typed = ["--data", "my_folder", "--property", "hardness", "--limit", "40", "--device", "cpu"]
    typed += ["--num-layers", "2", "--learning-rate", "2e-3"]
    typed += ["--epochs", "30", "--milestones", "0.25", "0.5"]
    assert _without_file(train.parse(["--config", str(file)])) == train.parse(typed)
    options = train.parse([f"--config={file}", "--epochs", "7", "--limit", "None", "other"])
    assert (options.train.epochs, options.limit, options.data) == (7, None, Path("other"))
    assert options.train.learning_rate == 2e-3


def test_presets_are_below_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gated.yaml"
    file.write_text("preset: gated\nepochs: 5")
    options = train.parse(["--config", str(file)])
    assert options.train.epochs == 5
    assert options.train.schedule == "one-cycle"
    assert options.model == PRESETS["gated"].model
    assert train.parse(["--config", str(file), "--preset", "best"]).train.averaging == 0.99
    # A network of the command line or of the file brings its sizes.
    assert (
        train.parse(["--config", str(file), "--model", "cgcnn"]).model == PUBLISHED_SIZES["cgcnn"]
    )
    file.write_text("model: cgcnn\nneurons: 32")
    model = train.parse(["--config", str(file)]).model
    assert (model.num_layers, model.neurons) == (PUBLISHED_SIZES["cgcnn"].num_layers, 32)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_printed_gives_the_same_settings(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--preset", preset, "--epochs", "11", "--split", "60:20:20", "--data", "a folder"]
    assert train.main([*typed, "--print-config"]) == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    again, before = train.parse(["--config", str(file)]), train.parse(typed)
    assert (again.graph, again.model, again.train) == (before.graph, before.model, before.train)
    assert (again.data, again.split) == (Path("a folder"), "60:20:20")


@pytest.mark.slow
def test_a_run_is_repeated_to_the_bit(tmp_path: Path) -> None:
    """From its config.json, or from the run itself."""
    source = write_source(tmp_path / "moduli.jsonl", 60, lambda number, targets: targets)
    settings = ["--property", "shear_modulus", "--split", "50:25:25", "--limit", "50"]
    settings += ["--seed", "3", "--epochs", "2"]
    settings += ["--global-attention", "cluster-random", "--averaging", "0.9", *TINY]
    first = train_run(tmp_path / "first", "--data", source, *settings)
    again = train_run(tmp_path / "again", "--config", first / "config.json")
    assert_same_run(again, first)
    assert (again / "config.json").read_bytes() == (first / "config.json").read_bytes()
    options = train.parse(["--config", str(first), "--seed", "4"])
    assert (options.train.seed, options.property) == (4, "shear_modulus")


WRONG = {
    "a slip": ("epoch: 3", "epoch is no setting: did you mean 'epochs'?"),
    "a slip under a heading": ("train:\n  batchsize: 3", "did you mean 'batch_size'?"),
    "under another heading": ("model:\n  epochs: 3", "model.epochs is no setting"),
    "twice": ("epochs: 3\ntrain:\n  epochs: 3", "epochs stands there twice"),
    "twice in YAML": ("epochs: 3\nepochs: 4", "is no YAML"),
    "no number": ("epochs: many", "epochs is 'many': give a whole number"),
    "out of range": ("learning_rate: -1", "learning_rate is -1.0: it must be above 0"),
    "no preset": ("preset: papers", "preset is 'papers': give one of default"),
    "no list": ("milestones: 0.5", "milestones is 0.5: give a list"),
    "no path": ("data: [a, b]", "data is ['a', 'b']: give a path"),
    "no heading": ("train: fast", "give settings under it"),
    "trust": ("trust_code: true", "trust_code is no setting"),
    "nothing": ("", "has no settings"),
    "a list": ("- epochs", "has no settings"),
    "no YAML": ("epochs: [3", "is no YAML"),
    "half a run": ('{"format_version": 1}', "is no whole config.json of a run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_named(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, says = WRONG[case]
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    message = error_of(train.main, ["--config", file], capsys)
    assert str(file) in message
    assert says in message


def test_a_mistake_without_a_file_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(train.main, ["--ensemble", "gatgnn:x"], capsys)
    assert message.startswith("error: ensemble is 'gatgnn:x'")


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text("epochs: 3")
    (tmp_path / "a.json").write_text("epochs: 3")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xff")
    for name, says in (
        ("nowhere.yaml", "cannot be read: No such file"),
        ("a.toml", "is no TOML"),
        ("a.json", "is no JSON"),
        ("b.yaml", "is no YAML"),
        ("", "cannot be read"),  # a folder without a run
    ):
        assert says in error_of(train.main, ["--config", tmp_path / name], capsys)


def test_nothing_is_ignored_silently(run: Path) -> None:
    with pytest.raises(UserError, match="leaves nothing to --preset"):
        train.parse(["--config", str(run), "--preset", "best"])
    with pytest.raises(UserError, match="drop the other"):
        train.main(["--resume", str(run), "--config", str(run)])


def test_settings_of_an_older_run_find_their_place(run: Path, tmp_path: Path) -> None:
    """A setting may have moved to another part of the settings since."""
    values = json.loads((run / "config.json").read_text())
    values["graph"]["neurons"] = values["model"].pop("neurons")
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert train.parse(["--config", str(tmp_path)]).model.neurons == 16


def _without_file(options: train.TrainOptions) -> train.TrainOptions:
    return replace(options, config=None)
