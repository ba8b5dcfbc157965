"""MEGNet against its equations, one edge and one atom after the other, in double precision."""

from typing import Any

import jax
import numpy as np
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.graph import CrystalGraph, build_graph
from gatgnn_jax.models.megnet import SET2SET_PASSES
from tests.crystals import ordered_alloy, rock_salt, without_symmetry
from tests.models import arrays_of, batch_of, dataset_of, outputs, small_network

CRYSTALS = [rock_salt(), without_symmetry(), ordered_alloy()]


def softplus2(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0) - np.log(2)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def affine(x: np.ndarray, layer: Any) -> np.ndarray:
    return x @ layer["kernel"] + layer["bias"]


def dense(x: np.ndarray, layers: Any) -> np.ndarray:
    for i in range(len(layers["layers"])):
        x = softplus2(affine(x, layers["layers"][i]))
    return x


def update(layers: Any, *parts: np.ndarray) -> np.ndarray:
    x = softplus2(affine(softplus2(affine(np.concatenate(parts), layers)), layers["second"]))
    return affine(x, layers["last"])


def set2set(rows: list[np.ndarray], layers: Any) -> tuple[np.ndarray, np.ndarray]:
    memory = np.array([affine(row, layers["memory"]) for row in rows])
    question = answer = cell = np.zeros(memory.shape[1])
    for _ in range(SET2SET_PASSES):
        gates = affine(np.concatenate([question, answer]), layers)
        write, keep, new, show = np.split(gates, 4)
        cell = sigmoid(keep) * cell + sigmoid(write) * np.tanh(new)
        question = sigmoid(show) * np.tanh(cell)
        share = np.exp(memory @ question)
        share /= share.sum()
        answer = share @ memory
    return np.concatenate([question, answer]), share


def reference(p: Any, crystal: CrystalGraph) -> tuple[float, np.ndarray]:
    """The prediction and the attention of each atom of a crystal that is not reduced."""
    used = crystal.edge_multiplicity > 0
    receiver, _ = np.nonzero(used)
    sender, distance = crystal.sender[used], crystal.distance[used].astype(float)
    v = [dense(p["embed_atom"]["embedding"][z], p["dense_node"]) for z in crystal.atomic_number]
    e = [
        dense(np.exp(-(((d - np.linspace(0, 4, 9)) / 0.5) ** 2)), p["dense_bond"]) for d in distance
    ]
    u = p["state"]
    for i in range(len(p["blocks"])):
        block = p["blocks"][i]
        v_in, e_in, u_in = v, e, u
        if i > 0:
            v_in = [dense(x, block["dense_node"]) for x in v]
            e_in = [dense(x, block["dense_edge"]) for x in e]
            u_in = dense(u, block["dense_state"])
        e_new = [
            update(block["edge"], v_in[s], v_in[r], x, u_in)
            for s, r, x in zip(sender, receiver, e_in, strict=True)
        ]
        v_new = []
        for r, x in enumerate(v_in):
            incoming = [e_new[k] for k in np.flatnonzero(receiver == r)]
            v_new.append(update(block["node"], np.mean(incoming, 0), x, u_in))
        u_new = update(block["state"], np.mean(e_new, 0), np.mean(v_new, 0), u_in)
        v = [a + b for a, b in zip(v, v_new, strict=True)]
        e = [a + b for a, b in zip(e, e_new, strict=True)]
        u = u + u_new
    nodes, share = set2set(v, p["read_nodes"])
    edges, _ = set2set(e, p["read_edges"])
    hidden = dense(np.concatenate([nodes, edges, u]), p["hidden"])
    return affine(hidden, p["out"])[0], share


def test_predictions_are_those_of_the_equations():
    """The reference on all atoms and edges, the network on classes of them."""
    config, full = GraphConfig(4.0, 16), GraphConfig(4.0, 16, reduce=False)
    network = small_network("megnet", config, gaussian_step=0.5)
    output = outputs(network, batch_of(arrays_of(dataset_of(CRYSTALS, config))))
    params = nnx.to_pure_dict(nnx.state(network, nnx.Param))
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    expected = [reference(params, build_graph(c, full)) for c in CRYSTALS]
    values = np.array([prediction for prediction, _ in expected])
    assert np.ptp(values) > 1e-2
    np.testing.assert_allclose(output.prediction[: len(CRYSTALS), 0], values, atol=1e-5)
    shares = np.concatenate([share for _, share in expected])
    np.testing.assert_allclose(output.atom_attention[: len(shares)], shares, rtol=1e-4)
