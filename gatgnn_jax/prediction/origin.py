"""Where a model is from and how good it is, in a few lines: the `repr` of a `Predictor`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED

_CARD_ERROR = re.compile(
    r"\*\*Test(?: error)?\*\*.*?((?:mean absolute error|accuracy) [^(;,]*(?:\([^)]*\))?[^(;,]*)"
)
"""In the README of a ready-made model."""


@dataclass(frozen=True)
class Origin:
    """Of a model: the run it is from, and its errors by property; empty: not known."""

    name: str = ""
    errors: tuple[str, ...] = ()

    def lines(self, properties: Sequence[Property]) -> list[str]:
        """A line for each property, with the unit of `values` and the error; then the run."""
        errors = self.errors or ("",) * len(properties)
        lines = []
        for p, error in zip(properties, errors, strict=True):
            what = "a class" if p.task == "classification" else f"in {p.unit or 'its own unit'}"
            trained = f" (trained as {p.trained_unit})" if p.is_rescaled else ""
            lines.append(f"{p.name} {what}{trained}: {error or 'error not known'}")
        return [*lines, f"from {self.name}"] if self.name else lines


NOWHERE = Origin()


def origin_of(run: RunDirectory) -> Origin:
    """What the files of a run say; a converted one has no errors."""
    properties = run.config().properties
    if run.path.parent == PRETRAINED:
        found = _CARD_ERROR.search((run.path / "README.md").read_text(encoding="utf-8"))
        error = f"test {found[1].strip().replace('mean absolute error', 'MAE')}" if found else ""
        return Origin(f"the ready-made model {run.path.name}", (error,) * len(properties))
    try:
        summary = run.read_json("summary.json")
    except UserError:  # not trained here, or not to the end
        summary = {}
    errors = tuple(_error_of(p, summary, len(properties) > 1) for p in properties)
    return Origin(str(run.path), errors)


def _error_of(p: Property, summary: dict[str, Any], several: bool) -> str:
    """That of the test crystals, or if there are none of the validation crystals."""
    ending = f"_{p.name}" if several else ""
    metric, label = ("accuracy", "accuracy") if p.task == "classification" else ("mae", "MAE")
    for subset, words in (("test", "test"), ("val", "validation")):
        value = summary.get(f"{subset}_{metric}{ending}")
        if isinstance(value, int | float):
            unit = "" if p.task == "classification" else f" {p.trained_unit}"
            return f"{words} {label} {value:.4g}{unit}".rstrip()
    return ""
