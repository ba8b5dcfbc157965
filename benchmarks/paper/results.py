"""The record of a study: finished trainings as rows of a JSON file, and as Markdown tables."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import provenance
from benchmarks.paper.trainings import Place, Training
from data_prep.errors import UserError
from data_prep.files import write_text
from data_prep.properties import Property, ending_of
from gatgnn_jax.runs.directory import RunDirectory

Row = dict[str, Any]
"""One training of a study with all its seeds; lists hold a value for each of `seeds`."""


def read_rows(path: Path) -> list[Row]:
    """The rows of an earlier call; none if there is no file.

    Raises:
        UserError: the file is something else.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text())
        assert all(len(row["seeds"]) == len(row["test_mae"]) for row in rows)
        return rows
    except (ValueError, KeyError, TypeError, AssertionError):
        raise UserError(f"{path} holds no rows of a study: give another --out") from None


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def find(rows: Sequence[Row], training: Training) -> list[Row]:
    """The rows of a training, one a property; none if no seed of it is finished."""
    return [row for row in rows if row["name"] == training.name]


def position(row: Row, trainings: Sequence[Training]) -> int:
    """Where a row stands among those of a study's `trainings`; one of other epochs or size where
    the first of its property and method does."""
    same = [i for i, training in enumerate(trainings) if training.name == row["name"]]
    like = [
        i
        for i, training in enumerate(trainings)
        if (training.target, training.method) == (row["property"], row["method"])
    ]
    return next(iter([*same, *like]), len(trainings))


def record(rows: list[Row], training: Training, seed: int, place: Place) -> None:
    """Add a finished run to the rows, one a property; seeds stand in rising order."""
    run = RunDirectory.open(place.run(training, seed))
    summary, config = run.read_json("summary.json"), run.config()
    for p in config.properties:
        ending = ending_of(p, config.properties)
        values = {
            "test_mae": summary[f"test_mae{ending}"],
            "test_standard_error": provenance.standard_error(
                absolute_test_errors(run, p).to_numpy()
            ),
            "val_mae": summary[f"val_mae{ending}"],
            "best_epoch": summary["best_epoch"],
            "epochs_run": summary["epochs"],
            "wall_seconds": summary["seconds"],
            "crystals_per_second": summary["crystals_per_second"],
            "commit": provenance.commit(),
            "machine": provenance.machine(),
        }
        own = [row for row in find(rows, training) if row["property"] == p.name]
        row = own[0] if own else _new_row(training, run, p)
        if not own:
            rows.append(row)
        if seed in row["seeds"]:
            continue
        place_in_order = sum(other < seed for other in row["seeds"])
        row["seeds"].insert(place_in_order, seed)
        for name, value in values.items():
            # A row of an earlier version may lack it for the seeds it had.
            known = row.setdefault(name, [None] * (len(row["seeds"]) - 1))
            known.insert(place_in_order, value)
        row["test_mae_mean"] = statistics.mean(row["test_mae"])
        row["test_mae_std"] = statistics.stdev(row["test_mae"]) if len(row["seeds"]) > 1 else None


def absolute_test_errors(run: RunDirectory, p: Property) -> pd.Series:
    """Absolute errors of a run's test crystals, by id."""
    table = pd.read_csv(run.path / "predictions.csv", converters={"id": str}).set_index("id")
    return absolute_errors(table[table["subset"] == "test"], p, run.config().properties)


def absolute_errors(table: pd.DataFrame, p: Property, properties: Sequence[Property]) -> pd.Series:
    """Absolute errors of a table of predictions, in the unit that is trained on; NaN left out."""
    ending = ending_of(p, properties)
    return (table[f"prediction{ending}"] - table[f"target{ending}"]).abs().dropna()


def settings_of(run: RunDirectory) -> Row:
    """The settings of graph, network and training that a run was made with."""
    written = run.read_json("config.json")
    return {name: written[name] for name in ("graph", "model", "train")}


def _new_row(training: Training, run: RunDirectory, p: Property) -> Row:
    """What does not depend on the seed."""
    summary, settings = run.read_json("summary.json"), settings_of(run)
    # Of the run it starts from the name; where that lies is nobody's business.
    if (start := settings["train"]["init_from"]) is not None:
        known = training.init_from
        settings["train"]["init_from"] = Path(start).name if known is None else known.name
    del settings["train"]["seed"]
    return {
        "name": training.name,
        "property": p.name,
        "unit": p.trained_unit,
        "method": training.method,
        "model": settings["model"]["model"],
        "preset": training.preset,
        "data": training.data,
        "training_size": summary["crystals"]["train"],
        "test_size": summary["crystals"]["test"],
        "epochs": training.epochs,
        "note": training.note,
        "paper_mae": training.paper_mae,
        "paper_training_size": training.paper_size,
        "parameters": summary["parameters"],
        "settings": settings,
        "versions": summary["versions"] | {"python": summary["python"]},
        "seeds": [],
    }


def hours_in_full(row: Row, epochs: int) -> float | None:
    """What the paper's training size and `epochs` would take at the rate that was measured.

    Hours of one process on what the row was trained on, one core for a study run with `--jobs`.
    """
    if row["paper_training_size"] is None:
        return None
    seconds = epochs * row["paper_training_size"] / statistics.median(row["crystals_per_second"])
    return seconds / 3600


def markdown(rows: Sequence[Row], full_epochs: int | None, first: str | None = None) -> str:
    """A table of the paper's figures beside ours.

    With `full_epochs` its last columns say what a row was trained on, and what so many epochs and
    the paper's size would take there. With `first` a column compares with that method (`paired`).
    """
    columns = ["property", "method", "paper", "ours", "standard error"]
    columns += ([] if first is None else [f"above {first}"]) + ["seeds"]
    columns += ["training crystals, paper / ours"]
    columns += (
        ["epochs"]
        if full_epochs is None
        else [f"epochs (paper: {full_epochs})", "on", "in full, hours there"]
    )
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        unit = f", {row['unit']}" if row["unit"] else ""
        paper = "–" if row["paper_mae"] is None else f"{row['paper_mae']:g}"
        size = row["paper_training_size"]
        trained = f"{'–' if size is None else f'{size:,}'} / {row['training_size']:,}"
        note = f" ({row['note']})" if row["note"] else ""
        cells = [f"{row['property'].replace('_', ' ')}{unit}", row["method"], paper, error(row)]
        known = [e for e in row.get("test_standard_error", ()) if e is not None]
        cells.append(f"{statistics.mean(known):.2g}" if known else "–")
        if first is not None:
            cells.append(difference(row))
        cells += [str(len(row["seeds"])), f"{trained}{note}", str(row["epochs"])]
        if full_epochs is not None:
            hours = hours_in_full(row, full_epochs)
            cells += [trained_on(row), "–" if hours is None else f"{hours:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def trained_on(row: Row) -> str:
    """The accelerators of a row, or one core, which is what a study gives a training."""
    machine = (row.get("machine") or [None])[-1]
    return "1 core" if machine is None or "cores" in machine else machine.removeprefix("1 x ")


def difference(row: Row) -> str:
    """How far a row is above the first method's; "level": less than two standard errors."""
    if row.get("its_standard_error", 0) == 0:  # it is the first, or is not known
        return "–"
    above, chance = row["above_first"], row["its_standard_error"]
    return "level" if abs(above) < 2 * chance else f"{above:+.4f} ± {chance:.4f}"


def error(row: Row) -> str:
    """Mean ± standard deviation of the test error over the seeds."""
    spread = row["test_mae_std"]
    mean = f"{row['test_mae_mean']:.4f}"
    return mean if spread is None else f"{mean} ± {spread:.4f}"


def put_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end NAME -->` of a Markdown file.

    A file without these marks is left as it is.
    """
    if not path.exists():
        return
    start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = path.read_text().partition(start)
    if found:
        write_text(path, before + start + text + end + rest.partition(end)[2])
