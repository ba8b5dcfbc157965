"""Classes of a user's own: words, numbers, more than two; weights; units and logarithms."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from data_prep.classes import class_column, class_numbers
from data_prep.columns import number_columns
from data_prep.properties import Property
from gatgnn_jax import Predictor, train
from gatgnn_jax.objective import (
    METRICS,
    deviations,
    loss_sums,
    metrics,
    predicted_values,
    selection_score,
)
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.data import balanced
from tests.browser import open_page
from tests.commands import (
    TINY,
    bundled_rows,
    error_of,
    evaluate_to,
    predict_to,
    train_run,
    write_source,
)
from tests.page_scripts import script

SHORT = ["--epochs", "3", "--batch-size", "16", *TINY]
PHASES = ("cubic", "hexagonal", "other")
PHASE = Property("phase", "phase", task="classification", classes=PHASES)


def test_a_column_of_words_has_classes() -> None:
    codes, names = class_column(["soft", None, " hard ", "soft", "n/a", "nan", 2])  # type: ignore[misc]
    assert names == ("2", "hard", "soft")
    np.testing.assert_array_equal(codes, [2, np.nan, 1, 2, np.nan, np.nan, 0])
    # Names of crystals, texts and lists are no classes.
    assert class_column(["NaCl", "KCl", "CsCl"]) is None
    assert class_column(["x" * 100] * 3) is None
    assert class_column([["a"], ["a"]]) is None
    assert class_column([f"name {number // 2}" for number in range(400)]) is None


def test_words_stand_beside_numbers() -> None:
    rows = [{"x": 1, "phase": "a"}, {"x": 2, "phase": "b"}, {"x": 3, "phase": "b"}]
    rows = [row | {"by": "me"} for row in [*rows, {"phase": "a"}, {"formula": "NaCl"}]]
    columns = number_columns(rows)
    assert columns.classes == {"phase": ("a", "b"), "by": ("me",)}
    np.testing.assert_array_equal(columns.values["phase"], [0, 1, 1, 0, np.nan])
    # A word that all have is no value of theirs.
    assert columns.reasons == {4: "no value of x or phase"}


def test_numbers_and_words_are_classes_by_name_or_place() -> None:
    raw, dates = np.array([1, 2, 20230105, np.nan]), ("1", "20230101", "20230105")
    np.testing.assert_array_equal(class_numbers(raw, dates), [0, np.nan, 2, np.nan])
    np.testing.assert_array_equal(class_numbers(raw, PHASES), [1, 2, np.nan, np.nan])
    words = ("other", "odd", "cubic")  # of another table, so in another order
    np.testing.assert_array_equal(
        class_numbers(np.array([0.0, 1, 2]), PHASES, words), [2, np.nan, 0]
    )


@pytest.mark.slow
def test_the_loss_counts_a_class_and_a_crystal_by_its_weight() -> None:
    weighted = Property(
        "phase", "phase", task="classification", classes=PHASES, class_weights=(0.5, 1.0, 4.0)
    )
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    target = np.array([[0.0], [2.0], [np.nan], [1.0]], np.float32)
    log_p = np.asarray(jax.nn.log_softmax(logits))
    own = -log_p[[0, 1, 3], [0, 2, 1]]
    plain, by_class = (loss_sums(logits, jnp.asarray(target), [p]) for p in (PHASE, weighted))
    np.testing.assert_allclose(plain.loss, [own.sum()], rtol=1e-6)
    np.testing.assert_allclose(by_class.loss, [own @ [0.5, 4, 1]], rtol=1e-6)
    crystal = np.array([[2.0], [0.0], [1.0], [3.0]], np.float32)
    both = loss_sums(logits, jnp.asarray(np.hstack([target, crystal])), [weighted])
    np.testing.assert_allclose(both.loss, [own @ [1, 0, 3]], rtol=1e-6)
    assert both.count.tolist() == [3]


def test_balanced_classes_count_alike() -> None:
    target = np.array([[0.0]] * 6 + [[2.0]] * 2 + [[np.nan]])
    (p,) = balanced([PHASE], target)
    # 8 crystals of 2 classes: 4 for each.
    np.testing.assert_allclose(p.class_weights, [4 / 6, 0, 2])


def test_metrics_of_three_classes_by_hand() -> None:
    probability = np.array(
        [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]
    )
    target = np.array([[0.0], [0.0], [1.0], [2.0], [2.0]])
    own = metrics(probability, target, [PHASE])
    assert list(own) == list(METRICS["classification"])
    assert own["accuracy"] == pytest.approx(4 / 5)
    assert own["balanced_accuracy"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert own["f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    right = np.array([0.7, 0.5, 0.8, 0.3, 0.7])
    assert own["log_loss"] == pytest.approx(-np.log(right).mean())
    np.testing.assert_allclose(deviations(probability, target, [PHASE])[:, 0], 1 - right)
    # All classes are told apart perfectly but for cubic's 0.2 against 0.1: still above.
    assert own["auc"] == pytest.approx(1)
    (weighted,) = balanced([PHASE], target)
    weight = np.array([weighted.class_weights[int(k)] for k in target[:, 0]])
    expected = -(weight * np.log(right)).sum() / weight.sum()
    assert selection_score(probability, target, [weighted], np.ones(1)) == pytest.approx(expected)


def test_members_of_an_ensemble_agree_on_probabilities() -> None:
    """Beside a number, whose column is not the property's."""
    number = Property("x", "x", mean=10.0, scale=2.0)
    logits = np.random.default_rng(1).normal(size=(3, 2, 4))
    values = predicted_values(logits, [PHASE, number])
    assert values.shape == (3, 4)
    share = np.exp(logits[..., :3]) / np.exp(logits[..., :3]).sum(-1, keepdims=True)
    np.testing.assert_allclose(values[:, :3], share.mean(1))
    np.testing.assert_allclose(values[:, 3], logits[..., 3].mean(1) * 2 + 10)


def kind(number: int) -> str:
    return PHASES[number % 3 if number % 4 else 0]


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two trained on three words; `kinds` beside it are the data."""
    folder = tmp_path_factory.mktemp("phases")
    source = write_source(
        folder / "kinds.jsonl",
        60,
        lambda number, old: {"phase": kind(number), "k": old["bulk_modulus"], "w": number % 5},
    )
    return train_run(
        folder / "run", "--data", source, "--property", "phase", *SHORT, "--ensemble", "2"
    )


@pytest.mark.slow
def test_words_are_learned_and_told(phases: Path, tmp_path: Path) -> None:
    """No option is needed: words are classes. Tables, the API and the report say their names."""
    (p,) = RunDirectory(phases).config().properties
    assert (p.task, p.classes) == ("classification", PHASES)
    table = pd.read_csv(phases / "predictions.csv")
    rows = bundled_rows(60)
    truth = {row["id"]: kind(number) for number, row in enumerate(rows)}
    assert dict(zip(table.id, table.target, strict=True)) == truth
    shares = table[[f"probability_{name}" for name in PHASES]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares.idxmax(axis=1).str.removeprefix("probability_") == table.prediction).all()
    summary = json.loads((phases / "summary.json").read_text())
    test = table[table.subset == "test"]
    recall = (test.prediction == test.target).groupby(test.target).mean()
    assert summary["test_balanced_accuracy"] == pytest.approx(recall.mean())

    assert evaluate_to(tmp_path / "test", phases) == 0
    confusion = pd.read_csv(tmp_path / "test" / "confusion.csv").set_index("true")
    counts = pd.crosstab(test.target, test.prediction)
    for true in PHASES:
        for said in PHASES:
            expected = counts.loc[true, said] if said in counts and true in counts.index else 0
            assert confusion.loc[true, said] == expected

    result = Predictor.load(phases).predict(rows[0]["structure"])
    own = table.set_index("id").loc[rows[0]["id"]]
    assert result.to_dataframe().prediction.tolist() == [own.prediction]
    np.testing.assert_allclose(
        result.probabilities["phase"].iloc[0], own[shares.columns].astype(float), atol=1e-5
    )
    look = script(
        "report",
        """
        result.confusion = [...document.querySelectorAll("table.confusion tbody tr")].map(
            row => [...row.cells].map(cell => cell.textContent));
        return result;
    """,
    )
    opened = open_page(phases / "report.html", tmp_path, look)
    assert opened.console == []
    told = [[row[0], *map(int, row[1:])] for row in opened.result["confusion"]]
    assert told == [[name, *confusion.loc[name, list(PHASES)]] for name in PHASES]


@pytest.mark.slow
def test_other_data_name_their_classes_as_they_like(phases: Path, tmp_path: Path) -> None:
    """In another order, with one that the model has never heard of."""
    other = write_source(
        tmp_path / "other.jsonl",
        12,
        lambda number, _: {"phase": ("other", "glass", "cubic")[number % 3]},
    )
    assert evaluate_to(tmp_path / "out", phases, "--data", other, "--seen") == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert set(table.target) == {"other", "cubic"}
    reasons = pd.read_csv(tmp_path / "out" / "skipped.csv").reason
    assert set(reasons) == {"phase = 'glass': a class is cubic, hexagonal or other"}


@pytest.mark.slow
def test_numbers_are_classes_if_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(
        tmp_path / "data.jsonl",
        40,
        lambda number, old: {"grade": number % 3 + 1, "x": number + 0.5, "hard": number % 2},
    )
    own = ["--data", source, "--task", "classification", *SHORT]
    run = train_run(tmp_path / "grade", *own, "--property", "grade", "--class-weight", "none")
    (p,) = RunDirectory(run).config().properties
    assert (p.classes, p.class_weights) == (("1", "2", "3"), ())
    assert set(pd.read_csv(run / "predictions.csv").target) == {1, 2, 3}
    assert predict_to(tmp_path / "p.csv", run, write_cif(tmp_path)) == 0
    names = ["id", "prediction", "probability_1", "probability_2", "probability_3"]
    assert list(pd.read_csv(tmp_path / "p.csv"))[:5] == names
    message = error_of(train.main, [*own, "--property", "x"], capsys)
    first = bundled_rows(1)[0]["id"]
    assert f"x = 0.5 of {first} is no class: classes are whole numbers or words" in message


def write_cif(folder: Path) -> Path:
    from pymatgen.core import Structure

    Structure.from_dict(bundled_rows(1)[0]["structure"]).to(str(folder / "one.cif"))
    return folder / "one.cif"


@pytest.mark.slow
def test_units_logarithms_and_weights_of_an_own_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(
        tmp_path / "data.jsonl",
        40,
        lambda number, old: {"hardness": 10.0 * number, "w": 1 + number % 3, "bad": number - 3},
    )
    own = ["--data", source, "--property", "hardness", *SHORT]
    run = train_run(
        tmp_path / "run", *own, "--unit", "GPa/m", "--transform", "log10", "--weight", "w"
    )
    config = RunDirectory(run).config()
    (p,) = config.properties
    assert (p.unit, p.transform, p.trained_unit) == ("GPa/m", "log10", "log10(GPa/m)")
    assert config.data.weight == "w"
    table = pd.read_csv(run / "predictions.csv")
    np.testing.assert_allclose(10**table.prediction, table.prediction_gpa_m, rtol=1e-6)
    assert set(table.unit) == {"log10(GPa/m)"}
    skipped = pd.read_csv(run / "skipped.csv")
    assert skipped.reason.tolist() == ["hardness = 0: log10 needs a value above 0"]
    result = Predictor.load(run).predict(bundled_rows(2)[1]["structure"])
    np.testing.assert_allclose(result.values, 10**result.transformed)
    assert result.units == ("GPa/m",)
    # Weights change what is learned, and only that.
    plain = train_run(tmp_path / "plain", *own, "--unit", "GPa/m", "--transform", "log10")
    rows = [pd.read_csv(path / "metrics.csv") for path in (run, plain)]
    assert not np.allclose(rows[0].train_loss, rows[1].train_loss)
    for options, says in (
        (
            ["--weight", "bad"],
            f"it is -3 for {bundled_rows(1)[0]['id']}: give weights of 0 or more",
        ),
        (["--weight", "v"], "--weight v: the data have no such column of numbers, but hardness, w"),
        (["--task", "classification", "--unit", "GPa"], "--unit: hardness has classes"),
    ):
        assert says in error_of(train.main, [*own, *options], capsys)


@pytest.mark.slow
def test_equal_weights_are_none(tmp_path: Path) -> None:
    source = write_source(
        tmp_path / "data.jsonl", 30, lambda number, old: {"k": old["bulk_modulus"], "w": 7.0}
    )
    own = ["--data", source, "--property", "k", *SHORT]
    one, other = train_run(tmp_path / "a", *own), train_run(tmp_path / "b", *own, "--weight", "w")
    for name in ("metrics.csv", "predictions.csv"):
        np.testing.assert_allclose(
            *(pd.read_csv(run / name).select_dtypes("number").to_numpy() for run in (one, other)),
            rtol=1e-4,
        )


def test_a_run_of_an_earlier_version_has_classes_0_and_1(phases: Path, tmp_path: Path) -> None:
    """Its settings lack names and weights."""
    settings = json.loads((phases / "config.json").read_text())
    own = settings["properties"][0]
    del own["classes"], own["class_weights"], settings["data"]["weight"]
    from gatgnn_jax.runs.config import RunConfig

    (p,) = RunConfig.from_json(json.dumps(settings)).properties
    assert (p.class_names, p.class_weights, p.num_outputs, p.num_values) == (("0", "1"), (), 2, 1)
