"""`python -m benchmarks.make_pretrained RUN ...`: ready-made models for the package, with cards.

Of the runs given of a property the one with the lowest validation error is taken.
"""

import dataclasses
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro

from data_prep.cache import open_dataset
from gatgnn_jax.cli import run_command
from gatgnn_jax.report import read_finished
from gatgnn_jax.report_numbers import Finished, compositions, property_numbers
from gatgnn_jax.run_directory import PRETRAINED, SEEN, DataInfo, RunDirectory, write_text

FEWEST = 10
"""Test crystals with an element for it to stand in the card."""

SHOWN = 8
"""Elements with the lowest and the highest error in the card."""

NAMES = {"mp_elastic": "3,192 crystals of CGCNN's elastic list (Materials Project, 2017)"}
"""What a card calls the files of crystals."""


def card(run: Finished, numbers: Mapping[str, Any], data: str) -> str:
    """The model card as Markdown, from what `property_numbers` says."""
    p, settings = run.config.properties[0], run.config.train
    scores, unit = numbers["scores"]["test"], numbers["unit"]
    subsets = run.predictions.subset.value_counts()
    common = sorted(row for row in numbers["elements"] if row[1] >= FEWEST)
    common.sort(key=lambda row: row[2])
    with_unit = f" {unit}" if unit else ""
    own = f" ({numbers['own_mae']:.3g} {p.unit})" if p.unit else ""
    output = f" in {p.unit}" if p.unit else ""
    output += " and its base-10 logarithm" if p.transform == "log10" else ""
    lines = [
        f"# {p.name}",
        "",
        f"GATGNN, {run.config.model.num_layers} AGAT layers, {run.summary['parameters']:,} "
        f"parameters; predicts the {p.name.replace('_', ' ')}{output}.",
        "",
        f"- **Data**: {data}; training {subsets['train']:,}, validation {subsets['val']:,}, test "
        f"{subsets['test']:,} crystals. Computed values (DFT, PBE), not measured ones.",
        f"- **Training**: `python -m gatgnn_jax.train --preset paper-cgcnn --seed {settings.seed}`;"
        f" best of {run.summary['epochs']} epochs by validation error "
        f"({run.summary['val_mae']:.4f}).",
        "- **Test error**, on crystals it has never seen: mean absolute error "
        f"{scores['mae']:.4f}{with_unit}{own}, R² {scores['r2']:.3f}. Always saying the training "
        f"mean: {numbers['naive']:.4f}.",
        "- **Not for**: crystals with elements it has not seen (predictions warn), molecules, "
        "surfaces, defects, disordered crystals, phases that differ in their spins only, values at "
        "temperature or pressure. Structures should be relaxed. Errors grow where training "
        "crystals were few.",
        f"- `{SEEN}` lists the crystals (Materials Project ids) of training and validation; "
        "`python -m gatgnn_jax.evaluate` leaves them out.",
        "",
        f"Mean absolute error of test crystals with an element ({FEWEST} crystals or more): lowest "
        "and highest.",
        "",
        "| element | test crystals | error | training crystals |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {symbol} | {count} | {error:.4f} | {trained} |"
        for symbol, count, error, trained in common[:SHOWN] + common[-SHOWN:]
    ]
    return "\n".join(lines) + "\n"


def export(path: Path) -> Path:
    """Copy what prediction needs of a run into the package; the folder it is in."""
    run = RunDirectory.open(path)
    finished, config = read_finished(run), run.config()
    assert config.data.source is not None
    source = Path(config.data.source)
    dataset, _ = open_dataset(source, config.graph)
    order = {name: row for row, name in enumerate(dataset.ids)}
    cells = compositions(dataset, [order[name] for name in finished.predictions.id.astype(str)])
    numbers = property_numbers(finished, config.properties[0], cells, {})

    target = PRETRAINED / config.properties[0].name
    shutil.rmtree(target, ignore_errors=True)
    # That file tells where the training ran, and is not needed.
    shutil.copytree(
        path / "checkpoints" / "best",
        target / "checkpoints" / "best",
        ignore=shutil.ignore_patterns("commit_success.txt"),
    )
    stripped = dataclasses.replace(config, data=DataInfo(element_counts=config.data.element_counts))
    write_text(target / "config.json", stripped.to_json())
    split = run.read_json("split.json")
    write_text(target / SEEN, "\n".join(np.sort(split["train"] + split["val"])) + "\n")
    data = NAMES.get(source.name.partition(".")[0], source.name)
    write_text(target / "README.md", card(finished, numbers, data))
    return target


def main(runs: tyro.conf.Positional[tuple[Path, ...]]) -> int:
    """Ready-made models of some runs, one a property."""
    table = pd.DataFrame(
        {
            "run": list(runs),
            "property": [RunDirectory.open(run).config().properties[0].name for run in runs],
            "val_mae": [
                RunDirectory.open(run).read_json("summary.json")["val_mae"] for run in runs
            ],
        }
    )
    for _, group in table.groupby("property"):
        sys.stdout.write(f"{export(group.sort_values('val_mae').run.iloc[0])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: tyro.cli(main, prog="python -m benchmarks.make_pretrained")))
