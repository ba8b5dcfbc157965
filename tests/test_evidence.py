"""What a prediction rests on: of an ensemble with training crystals, and of a network without."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gatgnn_jax import Predictor
from gatgnn_jax.runs.config import RunConfig
from tests.commands import untrained_run
from tests.crystals import rock_salt


@pytest.fixture(scope="module")
def ready_made() -> Predictor:
    return Predictor.load("bulk_modulus", batch_size=8)


@pytest.mark.slow
def test_of_a_ready_made_ensemble(ready_made: Predictor) -> None:
    """Members make up value and uncertainty; nearest crystal and warning are those of `predict`."""
    far = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.5), ["He"], [[0, 0, 0]])
    warned = []
    for structure in (rock_salt(), far):
        found = ready_made.evidence(structure)
        predicted = ready_made.predict(structure)
        assert found.members.shape == (5, 1)
        np.testing.assert_allclose(found.members.mean(0), predicted.transformed[0], rtol=1e-5)
        assert predicted.uncertainty is not None and predicted.neighbors is not None
        spread = np.sqrt(np.square(found.members - found.members.mean(0)).sum(0) / 4)
        np.testing.assert_allclose(spread, predicted.uncertainty[0], rtol=1e-4)
        assert len(found.nearest) == 5
        assert found.nearest[0].id == predicted.neighbors[0].id  # type: ignore[union-attr]
        assert [own.distance for own in found.nearest] == sorted(
            own.distance for own in found.nearest
        )
        warned.append("farther" in predicted.warnings[0])
        assert warned[-1] == (found.strangeness > found.limit)
    assert warned[0] is False
    assert found.element_counts == {"He": 0}


@pytest.mark.slow
def test_is_the_explanations_own(ready_made: Predictor) -> None:
    """Of the full graph instead of the quotient graph."""
    own, explained = (
        ready_made.evidence(rock_salt()),
        ready_made.explain(rock_salt()).evidence,
    )
    np.testing.assert_allclose(own.members, explained.members, rtol=1e-5)
    assert own.element_counts == explained.element_counts == {"Na": 309, "Cl": 207}
    assert own.strangeness == pytest.approx(explained.strangeness, abs=1e-3)
    assert [n.id for n in own.nearest] == [n.id for n in explained.nearest]


def test_of_a_run_that_knows_little(tmp_path) -> None:
    run = untrained_run(tmp_path / "run", ["bulk_modulus", "shear_modulus"])
    found = Predictor.load(run, batch_size=8).evidence(rock_salt())
    assert RunConfig.from_json((run / "config.json").read_text()).data.element_counts == {}
    assert found.members.shape == (1, 2)
    assert (found.element_counts, found.nearest, found.limit) == ({}, (), np.inf)
    assert np.isnan(found.strangeness)
