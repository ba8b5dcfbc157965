"""The settings that turn a crystal into a graph."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_prep.settings import ADDED_LATER, check_types, from_dict


@dataclass(frozen=True)
class GraphConfig:
    """How the graph of a crystal is made; stored with every dataset and every trained model.

    The defaults are the graphs of CGCNN; see ``GRAPH_PRESETS`` for those of MEGNet.

    Raises:
        ValueError: a setting outside its range; the message names the fix.
    """

    radius: float = 8.0
    """Neighbours are looked for within this distance (Å)."""
    max_neighbors: int = 12
    """K: at most this many nearest neighbours are kept for an atom."""
    fake_edges: bool = False
    """Fill up atoms with fewer than K neighbours as the published program does: with edges to
    atom 0 of the crystal at distance radius + 1. Off: the missing slots are masked."""
    reduce: bool = True
    """Keep one node for each class of atoms that the network cannot tell apart."""
    clusters: bool = dataclasses.field(default=False, metadata=ADDED_LATER)
    """Group the atoms of a crystal by position, as the global attentions cluster-fixed,
    cluster-random and cluster-learnable need it; trainings of these switch it on themselves."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.radius <= 50:
            raise ValueError(f"radius is {self.radius}: give a distance between 0 and 50 Å")
        if not 1 <= self.max_neighbors <= 255:
            raise ValueError(f"max_neighbors is {self.max_neighbors}: give 1 to 255")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "GraphConfig":
        """The settings back from ``to_dict``.

        Raises:
            ValueError: a key that is no setting or is missing, or a value that cannot be.
        """
        return from_dict(cls, settings)


GRAPH_PRESETS = {"cgcnn": GraphConfig(), "megnet": GraphConfig(4.0, 16)}
