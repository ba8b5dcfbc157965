"""The training step compiles for four TPU cores, on any machine with TPUs' compiler (libtpu)."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

STEP = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BatchShape
from gatgnn_jax.devices.mesh import AXIS, data_mesh
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import init_state, make_train_steps
from tests.crystals import bundled
from tests.models import arrays_of, dataset_of

jax.default_backend = lambda: "tpu"  # for what depends on it
mesh = data_mesh(topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices)
data = arrays_of(dataset_of([crystal for _, crystal in bundled(8)], GraphConfig()))
config = ModelConfig(num_layers=2)
optimizer = make_optimizer(TrainConfig(), 1)
graphdef, state = init_state(GATGNN(config, GraphConfig(), 1, rngs=nnx.Rngs(0)), optimizer)
shape = BatchShape(2, *(int(n) + 1 for n in data.num_rows.sum(0)))
steps = make_train_steps(graphdef, optimizer, (Property("x", "x"),), shape, mesh)

def on_all(tree, spec=PartitionSpec()):
    place = NamedSharding(mesh, spec)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)

batches = on_all(jnp.zeros((3, 8), jnp.int32), PartitionSpec(None, AXIS))
arguments = on_all(state), on_all(data), batches, on_all(jax.random.key(0))
program = steps.lower(*arguments).compile()
print(program.runtime_executable().hlo_modules()[0].to_string().count("all-reduce"))
"""


@pytest.mark.skipif(find_spec("libtpu") is None, reason="needs TPUs' compiler: pip install libtpu")
def test_training_step_compiles_for_four_cores():
    """Gradients and batch statistics are summed over them."""
    # Else it would ask the network which TPU this machine is.
    described = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4"}
    described |= {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}
    # The process of the tests may have loaded it to look for TPUs.
    described |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=Path(__file__).parent.parent,
        env=os.environ | described | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
