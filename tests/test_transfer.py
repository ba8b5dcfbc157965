"""Starting from a trained run, and freezing parts of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from data_prep.properties import Property
from gatgnn_jax import Predictor, train
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.config import DataInfo
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.train import asked_for, parse
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.optimizer import part_of
from gatgnn_jax.training.prepare import prepare
from gatgnn_jax.training.terminal import closing_lines
from tests.commands import SMALL, error_of, train_run, untrained_run

SHORT = ["--limit", "60", "--epochs", "1", *SMALL]


def weights(run: Path) -> dict[str, Any]:
    """The trained weights by the model's part."""
    _, _, model = RunDirectory.open(run).load_best()
    parts: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
        parts.setdefault(part_of(path), []).append(np.asarray(leaf))
    return parts


def is_equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_frozen_parts_keep_their_weights_and_the_others_move(run: Path, tmp_path: Path) -> None:
    tuned = train_run(
        tmp_path / "tuned", "--init-from", run, "--freeze", "embed,agat",
        "--property", "shear_modulus", *SHORT,
    )  # fmt: skip
    before, after = weights(run), weights(tuned)
    same = {part for part in before if is_equal(before[part], after[part])}
    assert same == {"embed_atom", "embed_bond", "layers"}


@pytest.mark.slow
def test_weights_start_where_the_trained_ones_ended(run: Path, tmp_path: Path) -> None:
    still = ["--learning-rate", "1e-12", "--weight-decay", "0"]
    same = train_run(tmp_path / "same", "--init-from", run, *still, *SHORT)
    other = train_run(
        tmp_path / "other", "--init-from", run, "--property", "poisson_ratio", *still, *SHORT
    )
    # The last layer means what it meant, whatever units this run would have chosen.
    start, tuned = (RunDirectory.open(path).config().properties for path in (run, same))
    assert start == tuned
    before = weights(run)
    for part, values in weights(same).items():
        for x, y in zip(values, before[part], strict=True):
            np.testing.assert_allclose(x, y, atol=1e-9)
    # Another property needs a last layer of its own; all before it is taken over.
    for part, values in weights(other).items():
        close = all(np.allclose(x, y, atol=1e-9) for x, y in zip(values, before[part], strict=True))
        assert close == (part != "out"), part


@pytest.mark.slow
def test_members_of_an_ensemble_start_together_but_for_the_last_layer(
    run: Path, tmp_path: Path
) -> None:
    still = ["--learning-rate", "1e-12", "--weight-decay", "0"]
    tuned = train_run(
        tmp_path / "tuned", "--init-from", run, "--property", "poisson_ratio", "--ensemble", "2",
        *still, *SHORT,
    )  # fmt: skip
    before, after = weights(run), weights(tuned)
    assert set(after) == set(before)
    for part, values in after.items():
        for x, y in zip(values, before[part], strict=True):
            assert x.shape == (2, *y.shape)
            close = np.allclose(x, y[None], atol=1e-9)
            assert close == (part != "out"), part
    kernel = next(x for x in after["out"] if x.ndim == 3)
    assert not np.allclose(kernel[0], kernel[1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--num-layers", "3"], "was trained with --num-layers 2: add that"),
        (["--residual"], "was trained with --no-residual: add that"),
        (["--max-neighbors", "10"], "was trained with --max-neighbors 12: add that"),
        (["--freeze", "agat,embedding"], "--freeze embedding: choose from agat, embed, embed_atom"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: list[str], says: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--init-from", run, *SHORT, "--run-dir", tmp_path / "new", "--quiet", *options]
    assert says in error_of(train.main, arguments, capsys)


def test_a_start_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--init-from", tmp_path, *SHORT, "--run-dir", tmp_path / "new", "--quiet"]
    assert "is no run" in error_of(train.main, arguments, capsys)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_members_start_from_members_in_turn(run: Path, tmp_path: Path) -> None:
    """Three from the two of an ensemble, and one alone from the first."""
    still = ["--learning-rate", "1e-12", "--weight-decay", "0", *SHORT]
    parent = train_run(
        tmp_path / "parent", "--init-from", run, "--property", "poisson_ratio",
        "--ensemble", "2", "--learning-rate", "1e-2", "--taken-rate", "1", *SHORT,
    )  # fmt: skip
    other = ["--init-from", parent, "--property", "shear_modulus", *still]
    three = train_run(tmp_path / "three", *other, "--ensemble", "3")
    alone = train_run(tmp_path / "alone", *other)
    before, after, single = weights(parent), weights(three), weights(alone)
    for part in set(before) - {"out"}:
        for x, y, z in zip(before[part], after[part], single[part], strict=True):
            np.testing.assert_allclose(y, x[[0, 1, 0]], atol=1e-9)
            np.testing.assert_allclose(z, x[0], atol=1e-9)
    # The same property again: as many as there are, each its own.
    again = train_run(
        tmp_path / "again", "--init-from", parent, "--property", "poisson_ratio",
        "--ensemble", "2", *still,
    )  # fmt: skip
    for x, y in zip(before["out"], weights(again)["out"], strict=True):
        np.testing.assert_allclose(y, x, atol=1e-9)


def test_new_parts_warm_up_alone(run: Path, tmp_path: Path) -> None:
    """In the first half of two epochs nothing else moves; in the second it does, more slowly."""
    own = ["--init-from", run, "--property", "shear_modulus", "--limit", "60", *SMALL]
    patient = ["--epochs", "2", "--warm-up", "0.5"]
    settings = asked_for(parse([*map(str, own), *patient]))
    prepared = prepare(settings)
    trainer = Trainer(prepared.config, prepared.dataset, prepared.target, prepared.subsets)
    trainer.start_from(run)
    before = parts_of(trainer)
    trainer.run_epoch()
    first = parts_of(trainer)
    assert {part for part in before if not is_equal(before[part], first[part])} == {"out"}
    trainer.run_epoch()
    second = parts_of(trainer)
    assert not any(is_equal(first[part], second[part]) for part in first)


def parts_of(trainer: Trainer) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(trainer.state.params):
        parts.setdefault(part_of(path), []).append(np.array(leaf))
    return parts


def test_the_settings_of_a_start_are_chosen_unless_given(run: Path) -> None:
    scratch, chosen, given = (
        parse(own).train
        for own in (
            [],
            ["--init-from", str(run)],
            ["--init-from", str(run), "--taken-rate", "1", "--warm-up", "0"],
        )
    )
    assert (scratch.taken_rate, scratch.warm_up) == (given.taken_rate, given.warm_up) == (1, 0)
    assert (chosen.taken_rate, chosen.warm_up) == (0, -1)
    # A property that the parent predicts already has no new parts, so that the whole is slowed.
    same = prepare(asked_for(parse(["--init-from", str(run), *SHORT]))).config
    assert same.train.learning_rate == pytest.approx(5e-3 * 0.5)
    assert (same.train.taken_rate, same.train.warm_up) == (1, 0)


@pytest.mark.parametrize(
    ("given", "crystals", "expected"),
    [
        ({}, 249, (0.5, 0.2)),
        ({}, 250, (1, 0)),
        ({"warm_up": 0.0}, 100, (0.5, 0)),
        ({"warm_up": 0.1}, 900, (1, 0.1)),
        ({"taken_rate": 0.3}, 900, (0.3, 0)),
    ],
)
def test_few_crystals_are_started_with_patience(
    given: dict[str, float], crystals: int, expected: tuple[float, float]
) -> None:
    train = PRESETS["default"].changed({"init_from": "x", **given}).train
    chosen = train.start_for(crystals, has_new_parts=True)
    assert (chosen.taken_rate, chosen.warm_up) == expected
    assert chosen.start_for(10**6, has_new_parts=False) == chosen


def test_elements_that_the_parent_knows_are_known(run: Path, tmp_path: Path) -> None:
    """One of three crystals has lithium, which none of the new training crystals has."""
    data = DataInfo(element_counts={"Na": 2, "Cl": 2}, parent_elements={"Na": 1, "Li": 1, "O": 3})
    assert data.known_elements == {"Na": 3, "Cl": 2, "Li": 1, "O": 3}
    parent = RunDirectory(run).config().data.element_counts
    own = asked_for(parse(["--init-from", str(run), "--property", "shear_modulus", *SHORT]))
    config = prepare(own).config
    assert config.data.parent_elements == parent
    (lost, *_) = set(parent) - set(config.data.element_counts)
    # What is said of a crystal counts them as its warning does.
    place = untrained_run(tmp_path / "tuned")
    tuned = RunDirectory(place).config()
    (place / "config.json").write_text(replace(tuned, data=config.data).to_json())
    crystal = Structure(Lattice.cubic(3), [lost], [[0, 0, 0]])
    predictor = Predictor.load(place)
    for evidence in (predictor.evidence(crystal), predictor.explain(crystal).evidence):
        assert evidence.element_counts == {lost: parent[lost]}


def test_crystals_that_the_parent_has_seen_are_told_of(run: Path) -> None:
    """The bundled split is drawn with the seed: another one tests what was trained on."""
    seen = {*RunDirectory.open(run).seen_ids()}
    other = prepare(asked_for(parse(["--init-from", str(run), "--seed", "5", *SHORT])))
    test = other.split_ids()["test"]
    count = len(seen.intersection(test))
    assert count
    [note] = [note for note in other.notes if "test error" in note]
    assert note.startswith(f"{count} of {len(test)} test crystals had a part in the training of ")
    energy = ["--init-from", str(run), "--seed", "5", "--property", "shear_modulus", *SHORT]
    assert not [note for note in prepare(asked_for(parse(energy))).notes if "test error" in note]


def test_a_start_that_was_of_no_use_is_said() -> None:
    summary = {"test_mae": 1.0, "test_rmse": 1.0, "test_r2": 0.5, "epochs": 9, "seconds": 1.0}
    summary |= {"crystals": {"test": 3}}
    p = Property("x", "x")
    told = [
        closing_lines({**summary, "best_epoch": best}, [p], Path("run"), "parent")
        for best in (1, 4)
    ]
    assert "the first epoch was the best: what came from parent was lost" in told[0]
    assert "train once without --init-from to see what that was worth" in told[1]
    single = {**summary, "best_epoch": 1, "epochs": 1}
    assert "lost" not in closing_lines(single, [p], Path("run"), "parent")
    assert "parent" not in closing_lines({**summary, "best_epoch": 1}, [p], Path("run"))


def test_a_run_that_started_from_another_is_reproduced_by_its_settings(
    run: Path, tmp_path: Path
) -> None:
    """What was chosen for it is not chosen once more; an earlier version chose nothing."""
    own = prepare(asked_for(parse(["--init-from", str(run), *SHORT]))).config
    (tmp_path / "config.json").write_text(own.to_json())
    assert prepare(asked_for(parse(["--config", str(tmp_path)]))).config == own
    settings = json.loads(own.to_json())
    for name in ("taken_rate", "warm_up"):
        del settings["train"][name]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    again = parse(["--config", str(tmp_path)]).train
    assert (again.taken_rate, again.warm_up) == (1, 0)
