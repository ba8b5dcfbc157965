"""The layers against their equations, written edge by edge with a concatenation each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import softmax

from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.models import edge_attention
from gatgnn_jax.models.layers import AGATLayer, GATLayer
from gatgnn_jax.models.ops import softplus
from tests.commands import on_two_devices

NODES, SLOTS, BONDS, HEADS, NEURONS = 23, 5, 11, 3, 8


class Case:
    """A random graph with merged edges and nodes, unused slots, and nodes without edges."""

    def __init__(self, seed: int = 0, residual: bool = False):
        rng = np.random.default_rng(seed)
        self.sender = rng.integers(0, NODES, (NODES, SLOTS))
        self.bond = rng.integers(0, BONDS, (NODES, SLOTS))
        self.edge_weight = rng.integers(0, 4, (NODES, SLOTS)).astype(np.float32)
        self.edge_weight[[3, NODES - 1]] = 0  # isolated
        self.node_weight = rng.integers(1, 4, NODES).astype(np.float32)
        self.node_weight[-2:] = 0  # padding
        self.x = rng.normal(size=(NODES, NEURONS)).astype(np.float32)
        self.e = rng.normal(size=(BONDS, NEURONS)).astype(np.float32)
        self.cotangent = rng.normal(size=(NODES, NEURONS)).astype(np.float32)
        self.layer = AGATLayer(NEURONS, HEADS, residual=residual, rngs=nnx.Rngs(seed))
        for norm in (self.layer.attention_norm, self.layer.norm):
            norm.scale[...] = rng.uniform(0.5, 1.5, norm.scale.shape)
            norm.bias[...] = rng.normal(size=norm.bias.shape)
            norm.mean[...] = rng.normal(size=norm.mean.shape)
            norm.var[...] = rng.uniform(0.5, 1.5, norm.var.shape)
        self.layer.bias[...] = rng.normal(size=NEURONS)
        self.receiver, self.slot = np.nonzero(self.edge_weight)  # the edges as a list

    def neighborhoods(self, layout: str) -> Neighborhoods:
        """The graph in either layout."""
        at = ... if layout == "dense" else (self.receiver, self.slot)
        return Neighborhoods(
            senders=jnp.asarray(self.sender[at]),
            receivers=None if layout == "dense" else jnp.asarray(self.receiver),
            bonds=jnp.asarray(self.bond[at]),
            node_weight=jnp.asarray(self.node_weight),
            edge_weight=jnp.asarray(self.edge_weight[at]),
        )

    def run(self, layout: str, train: bool) -> Any:
        """`(params, x, e) → (loss, (output, attention, running statistics))`, pure."""
        neighborhoods = self.neighborhoods(layout)
        graphdef, _, stats = nnx.split(self.layer, nnx.Param, nnx.BatchStat)

        def loss(params: nnx.State, x: jax.Array, e: jax.Array) -> Any:
            layer = nnx.merge(graphdef, params, stats, copy=True)
            y, attention = layer(x, e, neighborhoods, train=train)
            # The attention has a say as well: explanations may be differentiated.
            total = (y * self.cotangent).sum() + jnp.square(attention).sum()
            return total, (y, attention, nnx.state(layer, nnx.BatchStat))

        return loss

    def arguments(self) -> tuple[nnx.State, jax.Array, jax.Array]:
        return nnx.state(self.layer, nnx.Param), jnp.asarray(self.x), jnp.asarray(self.e)


def reference(case: Case, params: Any, x: Any, e: Any, train: bool) -> tuple[Any, Any, Any]:
    """The layer's equations in the order they are written, every edge on its own."""
    receiver, slot = case.receiver, case.slot
    sender, bond = case.sender[receiver, slot], case.bond[receiver, slot]
    multiplicity = case.edge_weight[receiver, slot].astype(float)

    def plus(z: Any) -> Any:
        return jnp.logaddexp(z, 0.0)

    def normalize(z: Any, weight: Any, norm: Any, running: Any) -> Any:
        mean, var = running.mean[...], running.var[...]
        if train:
            mean = (weight[:, None] * z).sum(0) / weight.sum()
            var = (weight[:, None] * (z - mean) ** 2).sum(0) / weight.sum()
        return norm["scale"] * (z - mean) / jnp.sqrt(var + 1e-5) + norm["bias"]

    h_i, h_j = (
        plus(jnp.concatenate([x[end], e[bond]], 1) @ params["kernel"]).reshape(-1, HEADS, NEURONS)
        for end in (receiver, sender)
    )
    a = (jnp.concatenate([h_i, h_j], -1) * params["attention"]).sum(-1)
    weight = multiplicity * case.node_weight[receiver]
    norm, running = params["attention_norm"], case.layer.attention_norm
    a = jnp.exp(plus(normalize(plus(a), weight, norm, running))) * multiplicity[:, None]
    alpha = a / jnp.zeros((NODES, HEADS)).at[receiver].add(a)[receiver]
    message = jnp.zeros((NODES, NEURONS)).at[receiver].add((alpha[..., None] * h_j).mean(1))
    y = normalize(message + params["bias"], case.node_weight, params["norm"], case.layer.norm)
    y = plus(x + y if case.layer.residual else y)
    return (y * case.cotangent).sum() + (alpha**2).sum(), y, alpha


@pytest.fixture(params=[7, 1 << 20], ids=["many blocks", "one block"])
def block_edges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(edge_attention.BLOCK_EDGES, "cpu", request.param)


@pytest.mark.usefixtures("block_edges")
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("layout", "residual"), [("dense", False), ("flat", False), ("flat", True)]
)
def test_outputs_and_gradients_are_those_of_the_equations(layout: str, train: bool, residual: bool):
    case = Case(residual=residual)
    arguments = case.arguments()
    gradient = jax.grad(case.run(layout, train), argnums=(0, 1, 2), has_aux=True)
    gradients, (y, attention, _) = jax.jit(gradient)(*arguments)
    with jax.enable_x64(True):
        double = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a), jnp.float64),
            (nnx.to_pure_dict(arguments[0]), *arguments[1:]),
        )

        def loss(*arguments: Any) -> Any:
            total, *rest = reference(case, *arguments, train)
            return total, rest

        expected, (y_expected, alpha) = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*double)
        expected, y_expected, alpha = jax.device_get((expected, y_expected, alpha))

    np.testing.assert_allclose(y, y_expected, rtol=1e-5, atol=1e-5)
    if layout == "dense":
        assert not np.asarray(attention)[case.edge_weight == 0].any()
        attention = attention[case.receiver, case.slot]
    np.testing.assert_allclose(attention, alpha, rtol=1e-5, atol=1e-6)
    largest = max(np.abs(g).max() for g in jax.tree.leaves(expected))
    actual = (nnx.to_pure_dict(gradients[0]), *gradients[1:])
    for (path, g), e in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-6 * largest, err_msg=str(path))


@pytest.mark.usefixtures("block_edges")
def test_gradient_by_finite_differences_in_the_reference():
    # The reference is differentiated by JAX above; this ties that to the values themselves.
    case = Case(1)
    params, x, e = case.arguments()
    gradient_of = jax.jit(jax.grad(case.run("dense", True), argnums=(0, 1, 2), has_aux=True))
    gradient, _ = gradient_of(params, x, e)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        arguments = jax.tree.map(
            lambda a: np.asarray(a, float), (nnx.to_pure_dict(params), np.asarray(x), np.asarray(e))
        )
        direction = jax.tree.map(lambda a: rng.normal(size=a.shape), arguments)

        def value(step: float) -> float:
            moved = jax.tree.map(lambda a, d: a + step * d, arguments, direction)
            return float(reference(case, *moved, True)[0])

        slope = (value(1e-5) - value(-1e-5)) / 2e-5
    gradient = (nnx.to_pure_dict(gradient[0]), *gradient[1:])
    products = jax.tree.map(lambda g, d: (np.asarray(g) * d).sum(), gradient, direction)
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-4)


@pytest.mark.usefixtures("block_edges")
@pytest.mark.parametrize("layout", ["dense", "flat"])
@pytest.mark.slow
def test_many_parameter_sets_at_once(layout: str):
    case = Case()
    params, x, e = case.arguments()
    sets = jax.tree.map(lambda p: jnp.stack([p, 0.5 * p, -p]), params)
    gradient = jax.jit(jax.grad(case.run(layout, True), has_aux=True))
    together = jax.jit(jax.vmap(gradient, (0, None, None)))(sets, x, e)
    for i in range(3):
        alone = gradient(jax.tree.map(lambda p, i=i: p[i], sets), x, e)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(b[i], a, rtol=1e-4, atol=1e-5)


def test_softplus_and_its_derivative():
    x = np.linspace(-30, 30, 10_001, dtype=np.float32)
    exact = np.logaddexp(0, x.astype(float))
    np.testing.assert_allclose(softplus(jnp.asarray(x)), exact, rtol=5e-7)
    slope = jax.vmap(jax.grad(softplus))(jnp.asarray(x))
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-x.astype(float))), atol=2e-7)


# Devices are counted when JAX starts, so this runs in a process of its own.
TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec
from gatgnn_jax.batches.layout import Neighborhoods
from tests.test_layers import BONDS, NODES, Case

case = Case()
graphdef, params, stats = nnx.split(case.layer, nnx.Param, nnx.BatchStat)
rows = [case.x, case.e, case.sender, case.bond, case.node_weight, case.edge_weight, case.cotangent]
other = [2 * case.x, 3 * case.e, *rows[2:]]

def loss(params, rows, axis_name):
    x, e, sender, bond, node_weight, edge_weight, cotangent = rows
    layer = nnx.merge(graphdef, params, stats, copy=True)
    neighborhoods = Neighborhoods(sender, None, bond, node_weight, edge_weight, axis_name)
    y, _ = layer(x, e, neighborhoods, train=True)
    return (y * cotangent).sum()

def on_each(params, rows):
    return jax.grad(lambda p: jax.lax.psum(loss(p, rows, "data"), "data"))(params)

both = [jnp.concatenate(pair) for pair in zip(rows, other)]
x, e, sender, bond, *rest = both
in_one = [x, e, sender.at[NODES:].add(NODES), bond.at[NODES:].add(BONDS), *rest]
expected = jax.jit(lambda p, r: jax.grad(loss)(p, r, None))(params, in_one)
mesh, shared, split = Mesh(jax.devices(), "data"), PartitionSpec(), PartitionSpec("data")
actual = jax.jit(jax.shard_map(on_each, mesh=mesh, in_specs=(shared, split), out_specs=shared))(
    params, both
)
for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
print(len(jax.devices()), "devices")
"""


def test_gradients_are_summed_over_devices():
    assert on_two_devices(TWO_DEVICES) == "2 devices"


@pytest.mark.parametrize("size", [1.0, 60.0], ids=["small", "large logits"])
@pytest.mark.parametrize("layout", ["dense", "flat"])
@pytest.mark.slow
def test_the_original_layer_is_its_equations(layout: str, size: float):
    case = Case()
    layer = GATLayer(NEURONS, HEADS, rngs=nnx.Rngs(1))
    x = size * case.x
    arguments = (None, case.neighborhoods(layout))

    kernel, vectors = (np.asarray(p[...], float) for p in (layer.kernel, layer.attention))
    w = (x @ kernel).reshape(NODES, HEADS, NEURONS)
    expected = np.zeros((NODES, NEURONS))
    for node in range(NODES):
        slots = np.flatnonzero(case.edge_weight[node])
        ends = np.append(case.sender[node, slots], node)
        pairs = np.concatenate([np.broadcast_to(w[node], w[ends].shape), w[ends]], -1)
        logits = (pairs * vectors).sum(-1)
        logits = np.where(logits > 0, logits, 0.2 * logits)
        logits += np.log(np.append(case.edge_weight[node, slots], 1))[:, None]
        message = (softmax(logits, axis=0)[..., None] * w[ends]).sum(0).mean(0)
        expected[node] = np.where(message > 0, message, np.expm1(np.minimum(message, 0)))

    y, _ = layer(jnp.asarray(x, jnp.float32), *arguments, train=True)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5 * size)
    slope = jax.grad(lambda x: layer(x, *arguments, train=True)[0].sum())(jnp.asarray(x))
    assert np.isfinite(slope).all()
