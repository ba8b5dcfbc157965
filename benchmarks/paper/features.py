"""Section 4: the pooled crystal vector is said to serve a random forest better than Magpie does."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element
from sklearn.ensemble import RandomForestRegressor

from benchmarks.paper.figures import trained
from benchmarks.paper.studies import ELASTIC, table2
from benchmarks.paper.trainings import Place
from data_prep.cache import open_dataset
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.properties import resolve_property
from data_prep.targets import select_targets
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.runs.directory import RunDirectory

MODULI = ("bulk_modulus", "shear_modulus")
TREES = 300


def features(place: Place, seed: int, jobs: int, folder: Path) -> list[dict[str, Any]]:
    """Test errors of random forests on the vectors of each modulus' model, and on Magpie's.

    A model's vectors are tried on the property it was trained on, and on the other one, which it
    never saw.
    """
    del folder
    if find_spec("matminer") is None:
        raise UserError('Magpie features need matminer: pip install -e ".[bench]"')
    runs = {}
    for training in table2():
        if training.target in MODULI:
            runs[training.target] = RunDirectory.open(trained(place, training, seed, jobs))
    config = runs[MODULI[0]].config()
    dataset, _ = open_dataset(place.data_dir / ELASTIC, config.graph)
    split = runs[MODULI[0]].split()
    rows_of = {name: np.flatnonzero(np.isin(dataset.ids, split[name])) for name in split}
    models = {name: StreamPredictor(*run.load_best()) for name, run in runs.items()}
    described = {f"vectors of {name}": _vectors(model, dataset) for name, model in models.items()}
    described["Magpie"] = _magpie(dataset)

    results = []
    for name in MODULI:
        target, _ = select_targets(dataset.columns, [resolve_property(name, dataset.columns)])
        train, test = rows_of["train"], rows_of["test"]
        for label, values in described.items():
            forest = RandomForestRegressor(TREES, random_state=seed, n_jobs=-1)
            forest.fit(values[train], target[train, 0])
            error = np.abs(forest.predict(values[test]) - target[test, 0])
            results.append(
                {
                    "property": name,
                    "method": f"random forest on {label.replace('_', ' ')}",
                    "features": values.shape[1],
                    "training_size": len(train),
                    "seed": seed,
                    "test_mae": float(error.mean()),
                }
            )
        summary = runs[name].read_json("summary.json")
        results.append(
            {
                "property": name,
                "method": "GATGNN itself",
                "features": None,
                "training_size": len(train),
                "seed": seed,
                "test_mae": summary["test_mae"],
            }
        )
    return results


def features_markdown(rows: list[dict[str, Any]]) -> str:
    """Test errors, a row a property and kind of features."""
    lines = ["| property | method | features | test MAE, log10(GPa) |", "|---|---|---|---|"]
    lines += [
        f"| {row['property'].replace('_', ' ')} | {row['method']} | {row['features'] or '–'} | "
        f"{row['test_mae']:.4f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _vectors(model: StreamPredictor, dataset: GraphDataset) -> np.ndarray:
    """The crystal vector of every crystal [C, F]."""
    crystals = ((i, dataset.crystal(i)) for i in range(len(dataset)))
    return np.concatenate([predicted.crystal_vector for _, predicted in model.stream(crystals)])


def _magpie(dataset: GraphDataset) -> np.ndarray:
    """Statistics of elemental properties over the composition (Ward et al. 2016) [C, 132]."""
    from matminer.featurizers.composition import ElementProperty

    featurizer = ElementProperty.from_preset("magpie", impute_nan=True)
    values = []
    for i in range(len(dataset)):
        graph = dataset.crystal(i)
        numbers, counts = np.unique(graph.atomic_number[graph.atom_node], return_counts=True)
        composition = Composition(dict(zip(map(Element.from_Z, numbers), counts, strict=True)))
        values.append(featurizer.featurize(composition))
    return np.array(values)
