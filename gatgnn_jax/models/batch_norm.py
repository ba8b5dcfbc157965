"""Batch normalization that counts each row with a weight."""

import jax
import jax.numpy as jnp
from flax import nnx


class BatchNorm(nnx.Module):
    """Masked, weighted batch norm over the leading axes (Ioffe & Szegedy 2015).

    A row counts `weight` times in mean and variance: 0 for padding, the multiplicity for a node or
    edge that stands for several alike, 1 otherwise. So a padded or reduced batch is normalized as
    the full batch would be. `momentum` is torch's (the share of the new batch), and the running
    variance is the unbiased one, as in torch. With `axis_name` the sums run over all devices.
    """

    def __init__(self, features: int, momentum: float = 0.1, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))
        self.momentum = momentum
        self.epsilon = epsilon

    def __call__(
        self, x: jax.Array, weight: jax.Array, *, train: bool, axis_name: str | None = None
    ) -> jax.Array:
        """`x` [..., features], `weight` [...] ≥ 0 → normalized [..., features].

        A batch whose weights are all zero gives zeros plus bias and leaves the running statistics
        as they are.
        """
        if train:
            mean, var = self._batch_statistics(x, weight, axis_name)
        else:
            mean, var = self.mean[...], self.var[...]
        factor = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        return x * factor + (self.bias[...] - mean * factor)

    def _batch_statistics(
        self, x: jax.Array, weight: jax.Array, axis_name: str | None
    ) -> tuple[jax.Array, jax.Array]:
        def total(values: jax.Array) -> jax.Array:
            summed = values.sum(axis=tuple(range(weight.ndim)))
            return summed if axis_name is None else jax.lax.psum(summed, axis_name)

        count = total(weight)
        divisor = jnp.maximum(count, 1.0)
        mean = total(weight[..., None] * x) / divisor
        # Around the mean, not E[x²] - mean²: the latter cancels in float32.
        var = total(weight[..., None] * jnp.square(x - mean)) / divisor

        rate = jnp.where(count > 0, self.momentum, 0.0)
        unbiased = var * (divisor / jnp.maximum(count - 1, 1.0))
        self.mean[...] += rate * (jax.lax.stop_gradient(mean) - self.mean[...])
        self.var[...] += rate * (jax.lax.stop_gradient(unbiased) - self.var[...])
        return mean, var
