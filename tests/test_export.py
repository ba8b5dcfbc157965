"""Exported models predict what the package predicts, in a process that cannot import it."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from jax import export as jax_export
from pymatgen.core import Lattice, Structure

from gatgnn_jax import Predictor, export
from gatgnn_jax.jobs.export import described
from gatgnn_jax.prediction.portable import portable
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import error_of, untrained_run, write_source
from tests.crystals import rock_salt

LOADER = re.search(
    r"```python\n(.*?)```",
    (Path(__file__).parent.parent / "docs" / "export.md").read_text(),
    re.DOTALL,
)[1]  # type: ignore[index]

ALONE = """
import sys
class Refused:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("gatgnn_jax", "data_prep", "flax", "jraph"):
            raise ImportError(f"{name} is not for this process")
sys.meta_path.insert(0, Refused())
"""

VARIANTS = {
    "gatgnn": {},
    "gat": {"model": "gat", "global_attention": "none"},
    "gated": {"model": "gated-gatgnn"},
    "cgcnn": {"model": "cgcnn", "global_attention": "none", "heads": 1},
    "megnet": {"model": "megnet", "global_attention": "none", "heads": 1},
    "composition": {"concat_composition": True},
    "ensemble of two properties": {"ensemble": 2, "properties": ["shear_modulus", "poisson_ratio"]},
}


def molecule() -> Structure:
    """A few atoms in a large cell: without fake edges most of the slots are empty."""
    places = [[0, 0, 0], [1.2, 0, 0], [0, 1.5, 0.2]]
    return Structure(Lattice.cubic(16), ["C", "O", "N"], places, coords_are_cartesian=True)


def plain_arrays(structures: Sequence[Structure], radius: float, most: int) -> list[np.ndarray]:
    """As docs/export.md describes them, for several crystals."""
    parts, first = [], 0
    for structure in structures:
        center, neighbor, _, distance = structure.get_neighbor_list(radius)
        for atom in range(len(structure)):
            own = np.flatnonzero(center == atom)
            own = own[np.argsort(distance[own], kind="stable")][:most]
            parts.append((center[own] + first, neighbor[own] + first, distance[own]))
        first += len(structure)
    center, neighbor, distance = map(np.concatenate, zip(*parts, strict=True))
    numbers = np.concatenate([structure.atomic_numbers for structure in structures])
    sizes = np.array([len(structure) for structure in structures])
    return [*(x.astype(np.int32) for x in (numbers, sizes, center, neighbor)), np.float32(distance)]


def in_own_units(run: Path, structures: Sequence[Structure]) -> np.ndarray:
    """The package's predictions [C, T], of logarithms the plain value."""
    predictor = Predictor.load(run)
    table = predictor.predict(structures).to_dataframe()
    properties = predictor.config.properties
    columns = []
    for p in properties:
        ending = f"_{p.name}" if len(properties) > 1 else ""
        own = f"prediction_{p.own_suffix}{ending}"
        columns.append(table[own if own in table else f"prediction{ending}"])
    return np.stack(columns, axis=1)


@pytest.mark.slow
def test_the_loader_of_the_docs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ready-made ensemble, called from a process without the package."""
    assert export.main(["bulk_modulus", "--out", str(tmp_path / "exported")]) == 0
    assert "docs/export.md" in capsys.readouterr().out
    crystal = rock_salt()
    crystal.to(filename=str(tmp_path / "crystal.cif"))
    program = f"{ALONE}\n{LOADER}\nprint(float(values[0, 0]), values.shape)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    value, *shape = done.stdout.split()
    assert shape == ["(1,", "1)"], done.stderr
    expected = in_own_units(Path("bulk_modulus"), [crystal])
    assert float(value) == pytest.approx(expected[0, 0], rel=1e-4)
    about = json.loads((tmp_path / "exported" / "model.json").read_text())
    assert about["columns"] == [{"property": "bulk_modulus", "unit": "GPa"}]
    assert (about["radius"], about["max_neighbors"]) == (8.0, 12)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.slow
def test_every_network(name: str, tmp_path: Path) -> None:
    """Crystals of several sizes in one call of one program."""
    settings = dict(VARIANTS[name])
    run = untrained_run(tmp_path / "run", **settings)  # type: ignore[arg-type]
    config, graphdef, model = RunDirectory.open(run).load_best()
    function = jax_export.deserialize(bytearray(portable(config, graphdef, model)))
    structures = [rock_salt(), molecule(), rock_salt() * (2, 1, 1)]
    arrays = plain_arrays(structures, config.graph.radius, config.graph.max_neighbors)
    values = function.call(*arrays)
    np.testing.assert_allclose(values, in_own_units(run, structures), rtol=2e-4, atol=1e-5)
    alone = function.call(*plain_arrays(structures[1:2], 8.0, 12))
    np.testing.assert_allclose(alone[0], values[1], rtol=1e-4, atol=1e-6)


def test_fake_edges(tmp_path: Path) -> None:
    """As the published program has them: of the molecule's slots most are filled up so."""
    run = untrained_run(tmp_path / "run")
    text = (run / "config.json").read_text().replace('"fake_edges": false', '"fake_edges": true')
    (run / "config.json").write_text(text)
    config, graphdef, model = RunDirectory.open(run).load_best()
    assert config.graph.fake_edges
    function = jax_export.deserialize(bytearray(portable(config, graphdef, model)))
    structures = [rock_salt(), molecule()]
    values = function.call(*plain_arrays(structures, 8.0, 12))
    np.testing.assert_allclose(values, in_own_units(run, structures), rtol=2e-4)


def test_classes(tmp_path: Path) -> None:
    source = write_source(tmp_path / "gaps.jsonl", 4, lambda number, _: {"band_gap": number % 2})
    run = untrained_run(tmp_path / "run", ["is_metal"], source)
    config, graphdef, model = RunDirectory.open(run).load_best()
    function = jax_export.deserialize(bytearray(portable(config, graphdef, model)))
    structures = [rock_salt(), molecule()]
    values = function.call(*plain_arrays(structures, 8.0, 12))
    table = Predictor.load(run).predict(structures).to_dataframe()
    np.testing.assert_allclose(values[:, 0], table.probability, rtol=1e-4)
    (column,) = described(config)["columns"]
    assert column["property"] == "is_metal"
    assert column["probability_of"] == config.properties[0].class_names[1]


def test_clusters_are_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained_run(tmp_path / "run", global_attention="cluster-fixed")
    out = tmp_path / "exported"
    assert "cluster-fixed cannot be exported" in error_of(export.main, [run, "--out", out], capsys)
    assert not out.exists()
