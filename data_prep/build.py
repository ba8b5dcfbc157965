"""``python -m data_prep.build SOURCE --out DATASET``: crystals to a dataset of graphs."""

import csv
import io
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tyro

from data_prep.columns import number_columns
from data_prep.config import GRAPH_PRESETS, GraphConfig
from data_prep.errors import (
    BadCrystal,
    Skipped,
    UserError,
    check_limit,
    exit_status,
    number_of,
)
from data_prep.options import FloatOrNone, IntOrNone, TextOrNone
from data_prep.progress import plain_console, track
from data_prep.properties import resolve_property
from data_prep.targets import select_targets
from data_prep.workers import Workers, workers_of

if TYPE_CHECKING:
    from data_prep.dataset import GraphDataset
    from data_prep.packing import GrowingDataset
    from data_prep.reading.formats import Record


def build_dataset(
    source: Path,
    config: GraphConfig,
    *,
    workers: Workers = None,
    progress: bool = True,
    limit: int | None = None,
) -> tuple["GraphDataset", list[Skipped]]:
    """Turn the crystals of a source into a dataset, and report those that had to be left out.

    Args:
        source: see ``data_prep.reading.sources.open_source``.
        config: the graph settings.
        workers: processes to use; all cores by default. The result does not depend on it.
        progress: show a progress bar.
        limit: look at this many crystals only, the first ones.

    Raises:
        UserError: no source, or no crystal of it that can be used.
    """
    # Imported where needed, so that help and usage errors come at once.
    from data_prep.featurize import featurize
    from data_prep.packing import GrowingDataset
    from data_prep.reading.sources import open_source

    check_limit(limit)
    crystals = open_source(source)
    total = crystals.count if limit is None else min(limit, crystals.count)
    stream = featurize(itertools.islice(crystals.items(), total), config, workers)
    records: list[Record] = []
    faults: list[str | None] = []
    graphs = GrowingDataset(config)
    for record, graph in track(stream, total, "Building graphs", quiet=not progress):
        records.append(record)
        faults.append(graph.reason if isinstance(graph, BadCrystal) else None)
        if not isinstance(graph, BadCrystal):
            graphs.append(graph)
    return _assemble(records, faults, graphs, source)


def _assemble(
    records: Sequence["Record"],
    faults: Sequence[str | None],
    graphs: "GrowingDataset",
    source: Path,
) -> tuple["GraphDataset", list[Skipped]]:
    """The dataset of all crystals that can be used.

    Args:
        records: all crystals of the source.
        faults: why a crystal has no graph, or None.
        graphs: the graphs of those that have one.
        source: where they come from, for the message.
    """
    targets = number_columns([record.targets for record in records])
    skipped = []
    kept: dict[str, int] = {}  # row by id
    for row, (record, fault) in enumerate(zip(records, faults, strict=True)):
        if not record.id:
            skipped.append(Skipped(record.id, f"no id (crystal {row + 1} of the source)"))
        elif fault is not None:
            skipped.append(Skipped(record.id, fault))
        elif row in targets.reasons:
            skipped.append(Skipped(record.id, targets.reasons[row]))
        elif record.id in kept:
            # The first that can be used is kept: a bad one must not stand in a good one's way.
            is_same = records[kept[record.id]].targets == record.targets
            what = "duplicate id" if is_same else "duplicate id, with other values"
            skipped.append(Skipped(record.id, f"{what}: the first crystal of that id is kept"))
        else:
            kept[record.id] = row
    if not kept:
        example = f"; {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise UserError(
            f"{source}: none of {number_of(len(records), 'crystal')} can be used{example}"
        )
    rows = [*kept.values()]
    splits: dict[str, list[str]] = {}
    for record in (records[row] for row in rows):
        if record.split is not None:
            splits.setdefault(record.split, []).append(record.id)
    has_graph = np.array([fault is None for fault in faults])
    dataset = graphs.finish(
        np.isin(np.flatnonzero(has_graph), rows),
        [*kept],
        {name: values[rows] for name, values in targets.values.items()},
        splits or None,
        {
            name: {new: own[old] for new, old in enumerate(rows) if old in own}
            for name, own in targets.faults.items()
        },
        targets.classes,
    )
    return dataset, skipped


def save_built(dataset: "GraphDataset", skipped: Sequence[Skipped], path: Path) -> None:
    """Write a dataset directory with its report of skipped crystals.

    Raises:
        UserError: the path is taken, or cannot be written to.
    """
    from data_prep.storage import save_dataset

    save_dataset(dataset, path, {"skipped.csv": skipped_table(skipped)})


def skipped_table(skipped: Sequence[Skipped]) -> str:
    """The text of ``skipped.csv``: id and reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Skipped._fields)
    writer.writerows(skipped)
    return text.getvalue()


def read_skipped(path: Path) -> list[Skipped]:
    """The report of skipped crystals of a dataset directory; none if it has no report."""
    try:
        with (path / "skipped.csv").open(newline="", encoding="utf-8") as lines:
            return [Skipped(**row) for row in csv.DictReader(lines)]
    except FileNotFoundError:
        return []


@dataclass(frozen=True)
class BuildOptions:
    """Turn crystals into a dataset of graphs, and report which had to be left out and why."""

    source: tyro.conf.Positional[Path]
    """A folder with id_prop.csv and CIF/POSCAR files, JSON lines, a pymatgen/monty JSON or a
    Matbench json.gz."""
    out: Path
    """The dataset directory to write."""
    graph: Literal["cgcnn", "megnet"] = "cgcnn"
    """Graph settings to start from: 8 Å, 12 neighbours; or 4 Å, 16."""
    radius: FloatOrNone = None
    """Look for neighbours within this distance (Å)."""
    max_neighbors: IntOrNone = None
    """Keep this many neighbours of an atom."""
    fake_edges: bool = False
    """Fill up atoms with few neighbours as the published program does."""
    reduce: bool = True
    """Keep one node for each class of atoms the network cannot tell apart (--no-reduce: for each
    atom)."""
    clusters: bool = False
    """Group the atoms by position too, for the global attentions cluster-…"""
    property: TextOrNone = None
    """Leave out crystals without a usable value of these properties (names, comma-separated)."""
    strict: bool = False
    """Fail if any crystal has to be left out."""
    limit: IntOrNone = None
    """Use only so many crystals, the first ones."""
    workers: IntOrNone = None
    """Processes to use; all cores by default."""
    dask: TextOrNone = None
    """Prepare the graphs on a Dask cluster: local, the JSON file of its scheduler, or HOST:PORT."""
    quiet: bool = False
    """Show errors only."""

    def config(self) -> GraphConfig:
        """The graph settings: the preset with what was given on top."""
        preset = GRAPH_PRESETS[self.graph]
        try:
            return GraphConfig(
                preset.radius if self.radius is None else self.radius,
                preset.max_neighbors if self.max_neighbors is None else self.max_neighbors,
                fake_edges=self.fake_edges,
                reduce=self.reduce,
                clusters=self.clusters,
            )
        except ValueError as error:
            raise UserError(str(error)) from None


def run(options: BuildOptions) -> None:
    """Build the dataset, write it and say what came of it.

    Raises:
        UserError: bad input, or left out crystals with ``--strict``.
    """
    from data_prep.storage import check_free

    config = options.config()
    # Before the work, not after it.
    check_free(options.out)
    dataset, skipped = build_dataset(
        options.source,
        config,
        workers=workers_of(options.workers, options.dask),
        progress=not options.quiet,
        limit=options.limit,
    )
    if options.property is not None:
        dataset, unusable = _with_values(dataset, options.property.split(","))
        skipped += unusable
    if skipped and options.strict:
        first = skipped[0]
        raise UserError(
            f"--strict: {number_of(len(skipped), 'crystal')} cannot be used, the first is "
            f"{first.id}: {first.reason}"
        )
    save_built(dataset, skipped, options.out)
    console = plain_console(stderr=True, quiet=options.quiet)
    console.print(summary(dataset, skipped, options.out))


def summary(dataset: "GraphDataset", skipped: Sequence[Skipped], path: Path) -> str:
    """A line, and further ones for values and crystals that were left out."""
    line = (
        f"{path}: {number_of(len(dataset), 'crystal')} of {len(dataset.atom_node):,} atoms, as "
        f"graphs of {len(dataset.node_atomic_number):,} nodes; "
        f"properties: {', '.join(dataset.columns) or 'none'}"
    )
    for name in dataset.columns:
        if own := dataset.faults.get(name):
            first, fault = next(iter(own.items()))
            values = number_of(len(own), "value")
            line += f"\n{values} of {name} left out; {dataset.ids[first]}: {fault}"
    if skipped:
        line += f"\n{number_of(len(skipped), 'crystal')} left out: see {path / 'skipped.csv'}"
    return line


def _with_values(
    dataset: "GraphDataset", names: Sequence[str]
) -> tuple["GraphDataset", list[Skipped]]:
    faults = dataset.faults
    properties = [resolve_property(name.strip(), dataset.columns, faults) for name in names]
    _, reasons = select_targets(dataset.columns, properties, faults, dataset.classes)
    if len(reasons) == len(dataset):
        raise UserError(f"no crystal has a usable value of {' or '.join(names)}")
    kept = np.setdiff1d(np.arange(len(dataset)), list(reasons))
    unusable = [Skipped(str(dataset.ids[row]), reason) for row, reason in reasons.items()]
    return (dataset.take(kept) if unusable else dataset), unusable


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = tyro.cli(
        BuildOptions,
        args=arguments,
        prog="gatgnn-jax build",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
