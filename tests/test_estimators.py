"""The estimators of scikit-learn, on crystals: its own checks, and its own tools."""

import pickle

import numpy as np
import pandas as pd
import pytest
from flax import nnx
from pymatgen.core import Lattice, Structure
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from data_prep.errors import UserError
from gatgnn_jax import GATGNNClassifier, GATGNNRegressor, Predictor, api
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.pipeline import create
from gatgnn_jax.runs.directory import RunDirectory
from tests.crystals import rock_salt

TINY = {
    "num_layers": 1,
    "neurons": 4,
    "heads": 1,
    "epochs": 1,
    "settings": {"hidden_layers": 0, "max_neighbors": 2, "radius": 6.0},
}


def crystal(row: np.ndarray) -> Structure:
    """A crystal made of a row of numbers, one for each."""
    share = 1 / (1 + np.exp(-np.resize(row, 3) / 10))
    return Structure(Lattice.orthorhombic(*(3 + share)), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])


class _Rows:
    """Rows of numbers in the place of crystals, as the checks of scikit-learn have them."""

    def fit(self, X, y, groups=None, sample_weight=None):
        X = validate_data(self, X)
        return super().fit([crystal(row) for row in X], y, groups, sample_weight)

    def _predicted(self, X):
        X = validate_data(self, X, reset=False)
        return super()._predicted([crystal(row) for row in X])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = tags.input_tags.dict = False
        tags.regressor_tags and setattr(tags.regressor_tags, "poor_score", True)
        tags.classifier_tags and setattr(tags.classifier_tags, "poor_score", True)
        return tags


class RowRegressor(_Rows, GATGNNRegressor):
    """Crystals of rows."""


class RowClassifier(_Rows, GATGNNClassifier):
    """Crystals of rows."""


@pytest.fixture
def untrained(monkeypatch):
    """Fitting ends with the initial weights: the many checks are of the interface."""

    def created(request, place, how):
        run = create(request, place, how)
        _, params, stats = nnx.split(run.config().new_model(), nnx.Param, nnx.BatchStat)
        run.save_best(ModelState(params, stats))
        return run

    monkeypatch.setattr(api, "_trained", created)


@pytest.mark.slow
@parametrize_with_checks(
    [RowRegressor(**TINY), RowClassifier(**TINY)],
    expected_failed_checks=lambda estimator: (
        {
            "check_sample_weight_equivalence_on_dense_data": "crystals given twice fall into other "
            "batches, and on both sides of the split into training and validation"
        }
        if isinstance(estimator, RowRegressor)
        else {}
    ),
)
def test_the_checks_of_scikit_learn(estimator, check, untrained):
    check(estimator)


@pytest.fixture(scope="module")
def crystals():
    """Cesium chlorides of 36 sizes, and these."""
    sizes = np.linspace(3.6, 5.0, 36)
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return [Structure(Lattice.cubic(a), ["Cs", "Cl"], sites) for a in sizes], sizes


def test_they_are_what_they_say():
    assert is_regressor(GATGNNRegressor())
    assert is_classifier(GATGNNClassifier())
    model = GATGNNRegressor(epochs=3, settings={"averaging": 0.9})
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "GATGNNRegressor(epochs=3, settings={'averaging': 0.9})"
    with pytest.raises(NotFittedError):
        model.predict([rock_salt()])
    with pytest.raises(TypeError, match="did you mean 'averaging'"):
        GATGNNRegressor(settings={"averagin": 0.9}).fit([rock_salt()] * 4, [1, 2, 3, 4])


@pytest.mark.slow
def test_the_tools_of_scikit_learn(crystals, tmp_path):
    """A grid in a pipeline, and what it found: it learns, is saved, loaded, copied, pickled."""
    structures, sizes = crystals
    grid = {"learning_rate": [1e-2, 1e-7], "epochs": [15]}
    model = GATGNNRegressor(**TINY | {"epochs": 1, "batch_size": 8, "neurons": 16})
    steps = make_pipeline(FunctionTransformer(), model)
    grid = {f"gatgnnregressor__{name}": values for name, values in grid.items()}
    search = GridSearchCV(steps, grid, cv=2, scoring="neg_mean_absolute_error")
    order = np.random.default_rng(0).permutation(len(sizes))
    X, y = [structures[k] for k in order], sizes[order]
    search.fit(X, y)
    assert search.best_params_["gatgnnregressor__learning_rate"] == 1e-2
    assert search.score(X, y) > -0.5 * np.abs(y - y.mean()).mean()

    found = search.best_estimator_[-1]
    expected = search.predict(X[:5])
    assert expected.shape == (5,)
    for again in (pickle.loads(pickle.dumps(found)), found):
        np.testing.assert_array_equal(again.predict(X[:5]), expected)
    found.save(tmp_path / "run")
    loaded = GATGNNRegressor.load(tmp_path / "run")
    assert loaded.get_params() == found.get_params()
    for other in (loaded, GATGNNRegressor.load(found.run_dir_)):
        np.testing.assert_allclose(other.predict(pd.Series(X[:5])), expected, rtol=1e-5)
    np.testing.assert_allclose(
        Predictor.load(tmp_path / "run").predict(X[:5]).values[:, 0], expected, rtol=1e-5
    )
    with pytest.raises(UserError, match="there already"):
        found.save(tmp_path / "run")
    with pytest.raises(UserError, match="another task"):
        GATGNNClassifier.load(tmp_path / "run")
    lonely = Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]])
    with pytest.raises(UserError, match="cannot predict 1 crystal"):
        loaded.predict([X[0], lonely])


def test_a_run_goes_with_its_estimator(crystals, untrained):
    structures, sizes = crystals
    model = GATGNNRegressor(**TINY).fit(structures, sizes)
    folder = model.run_dir_.parent
    assert folder.exists()
    del model
    assert not folder.exists()


def test_rows_that_were_drawn_twice(crystals, untrained):
    """As a bootstrap does: the names of an index repeat."""
    structures, sizes = crystals
    names = [f"mp-{n}" for n in range(len(structures))]
    X, y = pd.Series(structures, index=names), pd.Series(sizes, index=names)
    drawn = [0, 0, *range(1, len(names))]
    model = GATGNNRegressor(**TINY).fit(X.iloc[drawn], y.iloc[drawn])
    assert model.predict(X.iloc[drawn]).shape == (len(drawn),)


def test_a_loaded_estimator_can_be_trained_again(crystals, untrained, tmp_path):
    """With its parameters as they were, lists of settings too; a damaged file is told."""
    structures, sizes = crystals
    settings = TINY["settings"] | {"milestones": (0.2, 0.6)}
    model = GATGNNRegressor(**TINY | {"settings": settings}, random_state=None)
    model.fit(structures, sizes).save(tmp_path / "run")
    again = GATGNNRegressor.load(tmp_path / "run").fit(structures, sizes)
    assert again.predictor_.config.train.milestones == (0.2, 0.6)
    other = GATGNNRegressor.load(model.run_dir_)  # without parameters: those of the run
    assert other.fit(structures, sizes).predictor_.config.train == model.predictor_.config.train
    (tmp_path / "run" / "estimator.json").write_text('{"parameters": {"layers": 3}}')
    with pytest.raises(UserError, match=r"estimator\.json cannot be read"):
        GATGNNRegressor.load(tmp_path / "run")


@pytest.mark.slow
def test_groups_and_several_properties(crystals, untrained):
    structures, sizes = crystals
    y = np.stack([sizes, -sizes], axis=1)
    groups = np.arange(len(sizes)) // 4
    predicted = cross_val_predict(
        GATGNNRegressor(**TINY), structures, y, groups=groups, cv=GroupKFold(3)
    )
    assert predicted.shape == y.shape
    model = GATGNNRegressor(**TINY).fit(structures, y, groups=groups)
    split = RunDirectory.open(model.run_dir_)
    assert model.predictor_.config.properties[1].name == "target_2"
    assert split.config().data.split is None  # it is the crystals' own


@pytest.mark.slow
def test_sample_weights(crystals):
    """Only their ratios count, and wrong values of weight 0 are not learned."""
    structures, sizes = crystals
    wrong = np.arange(len(sizes)) % 3 == 1
    settings = TINY["settings"] | {"standardize": False}
    model = GATGNNRegressor(
        **TINY | {"epochs": 40, "batch_size": 8, "neurons": 16, "settings": settings}
    )
    y = np.where(wrong, 8 - sizes, sizes) - sizes.mean()

    def error(weights):
        predicted = clone(model).fit(structures, y, sample_weight=weights).predict(structures)
        return np.abs(predicted + sizes.mean() - sizes).mean(), predicted

    without, expected = error(None)
    np.testing.assert_allclose(error(np.full(len(y), 3.0))[1], expected, rtol=1e-5)
    assert error(np.where(wrong, 0, 2.0))[0] < 0.7 * without
    with pytest.raises(UserError, match=r"it is -1 for 3: give weights of 0 or more"):
        model.fit(structures, y, sample_weight=np.where(np.arange(len(y)) == 3, -1, 1))
    weights = {"sample_weight": np.ones(len(y))}
    scores = cross_val_score(clone(model).set_params(epochs=1), structures, y, cv=2, params=weights)
    assert scores.shape == (2,)


@pytest.mark.slow
def test_classes_of_words(crystals, tmp_path):
    """Three of them, in any order; saved and loaded with their names."""
    structures, sizes = crystals
    y = np.where(sizes < 4.1, "small", np.where(sizes < 4.5, "medium", "vast"))
    model = GATGNNClassifier(
        **TINY | {"epochs": 60, "batch_size": 8, "neurons": 16, "learning_rate": 1e-2}
    )
    order = np.random.default_rng(0).permutation(len(sizes))
    X, y = [structures[k] for k in order], y[order]
    model.fit(X, y)
    assert model.classes_.tolist() == ["medium", "small", "vast"]
    share = model.predict_proba(X)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.classes_[share.argmax(axis=1)])
    assert model.score(X, y) > 0.6
    model.save(tmp_path / "run")
    loaded = GATGNNClassifier.load(tmp_path / "run")
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    assert cross_val_score(clone(model).set_params(epochs=1), X, y, cv=2).shape == (2,)
    with pytest.raises(ValueError, match="one class only"):
        model.fit(X, ["same"] * len(X))


@pytest.mark.slow
def test_a_class_of_unreadable_crystals_is_none(crystals):
    """The other classes keep their names."""
    structures, sizes = crystals
    y = np.where(sizes < 4.1, "b", np.where(sizes < 4.5, "a", "c"))
    empty = Structure(Lattice.cubic(3), [], [])
    given = [empty if name == "a" else s for s, name in zip(structures, y, strict=True)]
    model = GATGNNClassifier(
        **TINY | {"epochs": 60, "batch_size": 8, "neurons": 16, "learning_rate": 1e-2}
    )
    with pytest.warns(UserWarning, match=r"left out .* crystals .*: the structure has no atoms"):
        model.fit(given, y)
    assert model.classes_.tolist() == ["b", "c"]
    kept = np.flatnonzero(y != "a")
    assert model.score([structures[row] for row in kept], y[kept]) > 0.8
