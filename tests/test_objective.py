"""Losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_prep.properties import Property
from gatgnn_jax.objective import loss_sums, network_targets, predicted_values

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
    target = network_targets(np.array([[10.0], [12.0], [8.0], [np.nan]]), [IN_UNITS])
    output = jnp.asarray([[0.1], [1.5], [2.0], [7.0]])
    sums = loss_sums(output, jnp.asarray(target), [IN_UNITS], delta)
    np.testing.assert_allclose(sums.loss, [expected], rtol=1e-6)
    np.testing.assert_allclose(sums.error, [2 * (0.1 + 0.5 + 3)], rtol=1e-6)
    assert sums.count.tolist() == [3]


@pytest.mark.parametrize("delta", [0.1, 1.0, 1e9])
def test_the_gradient_is_the_error_up_to_delta(delta: float):
    """With a large delta it is that of half the squared error."""
    errors = np.array([[-4.0], [-0.5], [0.05], [0.0], [2.0]], np.float32)
    plain = Property("energy", "energy")

    def loss(output: jax.Array) -> jax.Array:
        return loss_sums(output, jnp.zeros_like(errors), [plain], delta).loss.sum()

    own = jax.grad(loss)(jnp.asarray(errors))
    np.testing.assert_allclose(own, np.clip(errors, -delta, delta), rtol=1e-6)


def test_energies_that_differ_little_far_from_zero_stay_apart():
    """Thousandths at -535,000 eV, where float32 has steps of 1/32: there and back in float64."""
    energies = -535_000 + 0.001 * np.arange(12.0)[:, None]
    mean, scale = float(energies.mean()), float(energies.std())
    own = [Property("energy", "energy", mean=mean, scale=scale)]
    target = network_targets(energies, own)
    assert target.dtype == np.float32
    steps = 1 / np.std(np.arange(12))  # in units of the spread
    np.testing.assert_allclose(np.diff(target[:, 0]), steps, rtol=1e-6)
    np.testing.assert_allclose(predicted_values(target[:, None], own), energies, rtol=0, atol=1e-8)
