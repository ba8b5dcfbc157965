"""The package from Python: `Predictor.load(run).predict(structures)`, and `fit` for notebooks.

The same code as behind the commands, which add files and a terminal to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_prep.errors import UserError
from data_prep.properties import Task
from data_prep.reading.given import Crystals, Given, Values, names_in
from data_prep.workers import Workers
from gatgnn_jax.batches.splits import subset_names
from gatgnn_jax.choices import ClassWeight, Device
from gatgnn_jax.prediction.predictor import Predictor
from gatgnn_jax.presets import PRESETS, PresetName, others_for
from gatgnn_jax.runs.directory import RunDirectory, kept_crystals, next_run_directory

if TYPE_CHECKING:
    from gatgnn_jax.pipeline import Execution
    from gatgnn_jax.training.prepare import NewRun


def fit(
    data: Crystals | None = None,
    y: Values | str | None = None,
    property: str | None = None,
    *,
    split: str | Mapping[str, Sequence[Any]] | Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    run_dir: str | Path | None = None,
    preset: PresetName = "default",
    limit: int | None = None,
    task: Task | None = None,
    unit: str | None = None,
    transform: str | None = None,
    weight: str | Sequence[float] | None = None,
    class_weight: ClassWeight = "balanced",
    device: Device = "auto",
    workers: Workers = None,
    quiet: bool = False,
    pages: bool = True,
    **settings: Any,
) -> Predictor:
    """Train a model as `python -m gatgnn_jax.train` does, with the same files in a run directory::

        predictor = fit(structures, y, property="bulk_modulus", epochs=200)
        predictor = fit(table, "hardness", groups=table.formula)
        predictor = fit("my_folder", "hardness", neurons=32)

    Args:
        data: structures (of pymatgen or ASE, or paths of one each) as a list or a Series; a table
            (DataFrame) with a column of them; or the path of a dataset directory or a source of
            crystals; the bundled ones by default.
        y: a value of each structure [C], or several [C, T], in the property's own unit (GPa); or
            what to predict, by the names of one or several (comma-separated) columns of table or
            source.
        property: what the values are, as `bulk_modulus`: known properties have their unit and
            transform. By default the values' own name (of a Series), or `target`. Of a source the
            columns to predict, as `y`.
        split: ratios as `60:20:20`, or a JSON file with the ids of train, val and test; of
            structures also a mapping with these ids, or the subset of each.
        groups: what group each structure is of; those of one group come into one subset.
        run_dir: where to put the results; by default runs/PROPERTY-001, -002, …
        preset: settings to start from.
        limit: use the first crystals of the data only.
        task: whether values or classes are predicted; by default classes of words and of is_metal.
        unit: of the property's values, as GPa.
        transform: what is learned instead of the values: log10.
        weight: weights of the crystals, by which their losses count in training [C], or the name
            of a column with them.
        class_weight: let all classes count alike however many crystals they have, or each crystal.
        device: what to run on.
        workers: processes that prepare the data, or a Dask cluster; all cores by default.
        quiet: show errors only.
        pages: draw pictures and write `report.html` at the end.
        settings: any setting of graph, model or training by name, as `epochs` or `neurons`.

    Returns:
        The best model.

    Raises:
        UserError: data, property, split or run directory that cannot be used.
        TypeError: there is no setting of that name.
        ValueError: a setting outside its range.
        KeyboardInterrupt: stopped before the end; the run goes on with the command's `--resume`.
    """
    # Imported where needed: prediction does without the optimizer and the pictures.
    from gatgnn_jax.pipeline import Execution
    from gatgnn_jax.training.prepare import NewRun

    if preset not in PRESETS:
        raise UserError(f"preset is {preset!r}: choose one of {', '.join(PRESETS)}")
    chosen = PRESETS[preset].changed(settings)
    how = Execution(device=device, workers=workers, quiet=quiet, pages=pages)
    request = NewRun(
        graph=chosen.graph,
        source=None,
        limit=limit,
        split=None,
        seed=chosen.train.seed,
        model=chosen.model,
        train=chosen.train,
        property=property,
        task=task,
        unit=unit,
        transform=transform,
        weight=weight if isinstance(weight, str) else None,
        class_weight=class_weight,
        others=others_for(chosen.model, chosen.train),
    )
    place = None if run_dir is None else Path(run_dir)
    if (data is None or isinstance(data, str | Path)) and (y is None or isinstance(y, str)):
        if (
            groups is not None
            or not isinstance(split, str | None)
            or not isinstance(weight, str | None)
        ):
            raise UserError(
                "groups, a split by name and weights need structures in memory: fit(structures, y)"
            )
        source = None if data is None else Path(data)
        request = replace(request, source=source, split=split, property=y or property)
        return Predictor.of(_trained(request, place, how))
    names = () if property is None else names_in(property)
    given = Given.of(() if data is None else data, y, names)
    columns = ",".join(given.targets)
    if isinstance(weight, str) and isinstance(data, pd.DataFrame) and weight in data:
        given = given.beside(weight, data[weight])
    elif weight is not None and not isinstance(weight, str):
        given = given.beside("weight", weight)
        request = replace(request, weight="weight")
    subsets = subset_names(given.ids, split, groups, request.seed)
    place = place or next_run_directory(Path("runs"), next(iter(given.targets)))
    with kept_crystals(place) as file:
        given.write(file, subsets)
        drawn = split if subsets is None and isinstance(split, str) else None
        request = replace(request, source=file, split=drawn, property=columns)
        return Predictor.of(_trained(request, place, how))


def _trained(request: "NewRun", place: Path | None, how: "Execution") -> RunDirectory:
    """The run of a training that has come to its end."""
    from gatgnn_jax.pipeline import start

    run, status = start(request, place, how)
    if status:
        raise KeyboardInterrupt
    return run
