"""`python -m benchmarks.fingerprint LIMIT`: a hash of the weights after two epochs of training.

A process of its own, as XLA reads its flags only once.
"""

import hashlib
import sys

import jax
import numpy as np

from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.train import TrainOptions, asked_for
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.prepare import prepare

if __name__ == "__main__":
    use_device("auto")
    own = prepare(asked_for(TrainOptions(limit=int(sys.argv[1]), quiet=True)))
    trainer = Trainer(own.config, own.dataset, own.target, own.subsets)
    for _ in range(2):
        trainer.run_epoch()
    weights = jax.tree.leaves(jax.device_get(trainer.state.params))
    digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in weights))
    sys.stdout.write(digest.hexdigest() + "\n")
