"""`report.html` of several trainings: their errors, mean and spread, and all predictions."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.files import write_text
from data_prep.properties import Property, ending_of
from gatgnn_jax.objective import METRICS
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.plots import parity

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="gatgnn_jax">
<title>{title} – gatgnn_jax</title>
<link rel="icon" href="data:,">
<style>
{style}
main {{ display: block; }}
section {{ margin-top: 28px; overflow-x: auto; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def write_folds_page(path: Path, together: Finished, summary: Mapping[str, Any]) -> None:
    """Draw `parity.png` of all test crystals, if there are any, and write `report.html` around it.

    `together` has each test crystal once, `summary` is `gatgnn_jax.jobs.folds`'.
    """
    picture = None
    if len(together.predictions):
        draw_parity(together, path / "parity.png")
        picture = base64.b64encode((path / "parity.png").read_bytes()).decode()
    properties = together.config.properties
    write_text(path / "report.html", folds_page(together.name, properties, summary, picture))


def draw_parity(together: Finished, path: Path) -> None:
    """Predicted against true values of all test crystals."""
    properties = together.config.properties
    predicted, target = (
        {"test": np.column_stack([of(p) for p in properties])}
        for of in (together.values, together.target)
    )
    parity(predicted, target, properties, path)


def folds_page(
    name: str, properties: Sequence[Property], summary: Mapping[str, Any], picture: str | None
) -> str:
    """The page; `picture` is a PNG in base 64, None without test crystals."""
    trainings = summary["trainings"]
    parts = [f"<h1>{escape(name)}</h1>"]
    count = "1 crystal" if summary["crystals"] == 1 else f"{summary['crystals']:,} crystals"
    parts.append(
        f"<p>{len(trainings)} trainings; {count} tested by networks that had not seen them.</p>"
    )
    for p in properties:
        ending = ending_of(p, properties)
        keys = {f"test_{key}{ending}": own.label for key, own in METRICS[p.task].items()}
        keys = {key: label for key, label in keys.items() if key in summary["over_trainings"]}
        unit = f" ({p.trained_unit})" if p.trained_unit else ""
        head = ["training", "fold", "seed", *keys.values()]
        rows = [
            [own["name"], own["fold"] or "", own["seed"], *(_short(own[key]) for key in keys)]
            for own in trainings
        ]
        over = [summary["over_trainings"][key] for key in keys]
        rows.append(["mean", "", "", *(_short(own["mean"]) for own in over)])
        rows.append(["standard deviation", "", "", *(_short(own["std"]) for own in over)])
        together = [summary["all_together"].get(key.removeprefix("test_")) for key in keys]
        rows.append(["all crystals together", "", "", *map(_short, together)])
        parts.append(f"<section><h2>{escape(p.name + unit)}</h2>{_table(head, rows)}</section>")
    if picture is not None:
        image = f'<img alt="predicted against true values" src="data:image/png;base64,{picture}">'
        parts.append(f"<section><h2>Predictions</h2>{image}</section>")
    links = " · ".join(
        f'<a href="{escape(own["name"])}/report.html">{escape(own["name"])}</a>'
        for own in trainings
    )
    parts.append(f"<section><h2>Each training</h2><p>{links}</p></section>")
    style = (resources.files("gatgnn_jax") / "pages" / "web" / "style.css").read_text("utf-8")
    return _PAGE.format(title=escape(name), style=style, body="\n".join(parts))


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = "".join(f'<th scope="col">{escape(own)}</th>' for own in head)
    lines = [
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    ]
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
