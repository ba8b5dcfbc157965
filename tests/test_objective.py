"""Losses against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from data_prep.properties import Property
from gatgnn_jax.objective import loss_sums

IN_UNITS = Property("modulus", "modulus", mean=10.0, scale=2.0)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        # Outputs are 0.1, 0.5 and 3 away: d² / 2 up to delta, delta (d - delta / 2) beyond.
        (1.0, 0.005 + 0.125 + 2.5),
        (0.5, 0.005 + 0.125 + 0.5 * (3 - 0.25)),
        (0.1, 0.005 + 0.1 * (0.5 - 0.05) + 0.1 * (3 - 0.05)),
    ],
)
def test_the_loss_turns_linear_at_delta(delta: float, expected: float):
    target = jnp.asarray([[10.0], [12.0], [8.0], [np.nan]])
    output = jnp.asarray([[0.1], [1.5], [2.0], [7.0]])
    sums = loss_sums(output, target, [IN_UNITS], delta)
    np.testing.assert_allclose(sums.loss, [expected], rtol=1e-6)
    np.testing.assert_allclose(sums.error, [2 * (0.1 + 0.5 + 3)], rtol=1e-6)
    assert sums.count.tolist() == [3]
