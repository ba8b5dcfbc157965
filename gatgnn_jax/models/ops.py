"""Arithmetic the models are made of: softplus, Gaussian expansion and Glorot initialization."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

__all__ = ["GaussianBasis", "glorot_uniform", "softplus"]


# log(1 + u) / u on [0, 1]: degree 8 leaves an error of 2e-7, a few roundings of float32.
_LOG1P = (
    Chebyshev.interpolate(lambda u: np.log1p(u) / u, deg=8, domain=(1e-9, 1.0))
    .convert(kind=Polynomial)
    .coef.tolist()
)


@jax.custom_vjp
def softplus(x: jax.Array) -> jax.Array:
    """``log(1 + exp(x))``, any shape, accurate to a few float32 roundings.

    The hottest function of the model: twice ``heads * neurons`` of it an edge. Written as
    ``max(x, 0) + log(1 + u)`` with ``u = exp(-|x|)`` in (0, 1] and the logarithm as a polynomial:
    cheaper than a logarithm on a CPU, and without a division XLA makes one loop of it and
    whatever computes `x`. The derivative needs only the result: ``1 - exp(-softplus(x))``.
    """
    u = jnp.exp(-jnp.abs(x))
    series = jnp.full_like(x, _LOG1P[-1])
    for coefficient in _LOG1P[-2::-1]:
        series = series * u + coefficient
    return jnp.maximum(x, 0) + u * series


def _softplus_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    y = softplus(x)
    return y, y


def _softplus_backward(y: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    # expm1 would keep more digits where y is tiny, but the gradient there is as tiny.
    return (cotangent * (1 - jnp.exp(-y)),)


softplus.defvjp(_softplus_forward, _softplus_backward)


@dataclass(frozen=True)
class GaussianBasis:
    """What networks see of a distance: Gaussians from 0 to `radius`, `step` apart and wide (Å).

    Raises:
        ValueError: a step that leaves no two of them.
    """

    radius: float
    step: float

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.radius:
            raise ValueError(
                f"gaussian_step is {self.step}: give a step above 0 "
                f"and up to the radius ({self.radius} Å)"
            )

    def __len__(self) -> int:
        return len(self.centers)

    @property
    def centers(self) -> np.ndarray:
        """Their centres, 0 to radius inclusive, float64 [G] (Å); CGCNN: 41."""
        # Half a step of slack, as 8 / 0.2 need not be a whole number in floating point.
        return np.arange(0, self.radius + self.step / 2, self.step)

    def __call__(self, distance: jax.Array) -> jax.Array:
        """`exp(-(d - centre)² / step²)` of distances in Å: [...] → [..., G]."""
        offset = distance[..., None] - jnp.asarray(self.centers, distance.dtype)
        return jnp.exp(-jnp.square(offset / self.step))


def glorot_uniform(
    key: jax.Array, shape: tuple[int, ...], fan_in: int | None = None, fan_out: int | None = None
) -> jax.Array:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)), float32 (the paper's section 2.4).

    The fans are the last two sizes of `shape` unless given.
    """
    fan_in = shape[-2] if fan_in is None else fan_in
    fan_out = shape[-1] if fan_out is None else fan_out
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return jax.random.uniform(key, shape, jnp.float32, -limit, limit)
