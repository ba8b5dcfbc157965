"""Two devices train as one does: the same crystals in two halves, on two virtual CPU devices."""

from tests.commands import on_two_devices

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.batches.arrays import sizes_of
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.training.step import init_state, make_train_steps
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.batches.devices import data_mesh, replicate
from tests.crystals import bundled
from tests.models import arrays_of, dataset_of, small_model

structures = [s for _, s in bundled(30)]
target = np.random.default_rng(0).normal(size=(len(structures), 1))
target[::7] = np.nan  # halves with unequal numbers of targets
data = arrays_of(dataset_of(structures, GraphConfig()), target)
subset = np.arange(len(structures))
plan = BatchPlan(sizes_of(data), [subset], 16)
batches = plan.deal(subset)[0]
properties = (Property("x", "x"),)

def halves(row):
    members, width = row[row >= 0], plan.shape.crystals
    split = len(members) // 3  # unequal numbers of crystals too
    return np.concatenate([
        np.pad(part, (0, width - len(part)), constant_values=-1)
        for part in (members[:split], members[split:])
    ])

def train(count, rows):
    mesh = data_mesh(jax.devices()[:count])
    optimizer = make_optimizer(TrainConfig(learning_rate=1e-3), len(rows))
    graphdef, state = init_state(small_model(GraphConfig()), optimizer)
    steps = make_train_steps(graphdef, optimizer, properties, plan.shape, mesh)
    rows = jnp.asarray(np.stack(rows))
    key, placed = jax.random.key(0), replicate(data, mesh)
    state, sums = steps(replicate(state, mesh), placed, rows, key)
    # The first moment is a tenth of the gradient after one step.
    return jax.device_get((sums, state.stats, state.opt_state[0].mu))

def assert_close(actual, expected, tolerance):
    largest = max(np.abs(x).max() for x in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest)

assert len(jax.devices()) == 2
rows = list(batches)
one, two = train(1, rows[:1]), train(2, [halves(row) for row in rows[:1]])
for actual, expected in zip(two, one):
    assert_close(actual, expected, 1e-5)
# Over several steps the losses: biases in front of a batch norm drift with the rounding of their
# zero gradient, which the losses do not see.
one, two = train(1, rows), train(2, [halves(row) for row in rows])
assert_close(two[0], one[0], 1e-5)
print("equal")
"""


def test_two_devices_train_as_one():
    assert on_two_devices(PROGRAM) == "equal"
