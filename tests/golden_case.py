"""A golden file as a batch and a model of ours with its weights, in either layout."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BatchShape, crystal_arrays
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.config import Precision
from gatgnn_jax.models.base import Output
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.objective import loss_sums
from gatgnn_jax.published.gatgnn import from_torch, layout, published_names
from tests.golden import Golden

MODULUS = Property("log10_modulus", "log10_modulus")
CRYSTALS = np.array([*range(12), -1, -1], np.int32)
"""The twelve, and room for two more, so that padding is seen to change nothing."""


class Case:
    """One golden file in one layout: its batch, and our model with its weights."""

    def __init__(self, golden: Golden, writes_receivers: bool, precision: Precision = "float32"):
        self.golden = golden
        dataset = golden.dataset
        data = crystal_arrays(dataset, golden.arrays["y"][:, None])
        assert data.receiver is None
        nodes, slots = dataset.edge_sender.shape
        if writes_receivers:
            local = np.concatenate([np.arange(n, dtype=np.int32) for n in dataset.n_node])
            data = data._replace(receiver=np.repeat(local, slots))
        bonds = len(data.bond_distance)
        self.shape = BatchShape(len(CRYSTALS), nodes + 4, slots * (nodes + 4), bonds + 4, nodes + 4)
        self.data = jax.tree.map(jnp.asarray, data)
        gather = jax.jit(gather_batch, static_argnums=2)
        self.batch = gather(self.data, jnp.asarray(CRYSTALS), self.shape)
        imported = from_torch(golden.named("param"), golden.global_attention)
        self.weights = imported.weights
        config = replace(imported.model, precision=precision)
        self.tensors = layout(config, imported.graph, 1)
        self.graphdef = nnx.graphdef(
            nnx.eval_shape(lambda: GATGNN(config, imported.graph, 1, rngs=nnx.Rngs(0)))
        )

    def run(self, params: nnx.State, *, train: bool) -> Output:
        model = nnx.merge(self.graphdef, params, self.weights.stats, copy=True)
        return model(self.batch, train=train)

    def loss_and_prediction(self, params: nnx.State) -> tuple[jax.Array, jax.Array]:
        prediction = self.run(params, train=True).prediction
        sums = loss_sums(prediction, self.batch.globals["target"], [MODULUS])
        return sums.loss[0] / sums.count[0], prediction

    def gradients_and_prediction(self) -> tuple[dict[str, np.ndarray], jax.Array]:
        """Of one pass in training mode; gradients by the published program's names."""
        gradients_of = jax.jit(jax.grad(self.loss_and_prediction, has_aux=True))
        gradients, prediction = gradients_of(self.weights.params)
        return published_names(self.tensors, gradients), prediction
