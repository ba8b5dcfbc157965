"""The networks that are compared, and how each is trained: all alike, or as its authors did."""

from dataclasses import replace

from benchmarks.paper.studies import (
    CGCNN,
    ELASTIC_ALL,
    FULL_EPOCHS,
    MODULI,
    RECIPE,
    TABLE_4_METHODS,
)
from benchmarks.paper.trainings import Sample, Training
from gatgnn_jax.presets import PresetName

FOLDS_EPOCHS = 50
LARGE_EPOCHS = 30
LARGE = Sample(14000, 2000, 4000)

NETWORKS: dict[str, tuple[PresetName, tuple[str, ...]]] = {
    "GATGNN": ("paper-cgcnn", ()),
    "AGAT": ("paper-cgcnn", TABLE_4_METHODS["AGAT"]),
    "GAT": ("paper-cgcnn", TABLE_4_METHODS["GAT"]),
    "CGCNN": ("cgcnn", ()),
    "MEGNet": ("paper-cgcnn", ("--model=megnet",)),
    "gated GATGNN": ("gated", ()),
}
"""The presets that networks start from, all with CGCNN's graphs, and further settings."""


def models() -> list[Training]:
    """Every network on the same crystals with the same training; five folds, so that each crystal
    is predicted once by networks that have not seen its formula."""
    return [
        Training(
            MODULI,
            method,
            ELASTIC_ALL,
            None,
            preset,
            FOLDS_EPOCHS,
            (*RECIPE, *options, "--folds=5"),
            note="one recipe",
        )
        for method, (preset, options) in NETWORKS.items()
    ]


SQUARES = "--huber-delta=1e9"
"""Half of the squared error: twice a rate of SGD's makes up for the half."""

PUBLISHED: dict[str, tuple[PresetName, int, tuple[str, ...]]] = {
    # The paper names no epochs at which the rate drops: these are its program's, 150 and 250.
    "GATGNN": ("paper-cgcnn", FULL_EPOCHS, ("--milestones", "0.3", "0.5")),
    # The settings kept in the published checkpoint of the bulk modulus.
    "CGCNN": ("cgcnn", 1000, (
        "--num-layers=4", "--hidden-neurons=32", "--optimizer=sgd", "--learning-rate=0.04",
        "--milestones=0.8", "--weight-decay=0", "--batch-size=64", SQUARES, "--patience=1000",
    )),
    # Chen et al. 2019, and the defaults of their program; the graphs are coarser than theirs.
    "MEGNet": ("megnet", 1000, (
        "--learning-rate=1e-3", "--decay=1", "--weight-decay=0", "--batch-size=128", SQUARES,
        "--patience=500",
    )),
}  # fmt: skip
"""Presets, epochs and settings of the networks' own publications."""


def models_as_published() -> list[Training]:
    """The same folds, each network trained as its authors did."""
    return [
        replace(
            training,
            preset=preset,
            epochs=epochs,
            options=(*options, "--folds=5"),
            note="its own",
        )
        for training in models()
        if training.method in PUBLISHED
        for preset, epochs, options in [PUBLISHED[training.method]]
    ]


def large() -> list[Training]:
    """The networks where there are more crystals: equal data, epochs and training for all."""
    networks = {name: NETWORKS[name] for name in ("GATGNN", "CGCNN", "MEGNet", "gated GATGNN")}
    networks["gated GATGNN, 128 neurons"] = ("gated", ("--neurons=128",))
    alike = Training("", "", CGCNN, LARGE, "", LARGE_EPOCHS, note="one recipe")
    return [
        replace(alike, target=target, method=method, preset=preset, options=(*RECIPE, *options))
        for target in ("formation_energy", "band_gap")
        for method, (preset, options) in networks.items()
    ]
