"""Starting from a trained run, and freezing parts of it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from gatgnn_jax import train
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.optimizer import part_of
from tests.commands import SMALL, error_of, train_run

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
