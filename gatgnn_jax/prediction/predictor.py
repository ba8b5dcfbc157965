"""A trained model, ready to predict and to explain."""

from pathlib import Path

import numpy as np
from flax import nnx

from data_prep.errors import Skipped
from data_prep.graph import build_graph
from data_prep.reading.given import Crystals, as_list, names_of
from data_prep.reading.sources import StructureLike, open_structures, read_one
from data_prep.workers import Workers
from gatgnn_jax.choices import Device
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import value_slices
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.prediction.evidence import Evidence, evidence_for
from gatgnn_jax.prediction.explanation import Explanation, explain
from gatgnn_jax.prediction.origin import NOWHERE, Origin, origin_of
from gatgnn_jax.prediction.reliability import UNKNOWN, Reliability, read_reliability
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.prediction.stream import predict_source
from gatgnn_jax.prediction.training_crystals import Neighbor
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory


class Predictor:
    """A trained model, ready to predict and to explain; compiled once for many calls::

        predictor = Predictor.load("runs/bulk_modulus-001")
        predictor.predict(["a.cif", structure, atoms]).to_dataframe()

    Models that come with the package go by their names: `Predictor.load("bulk_modulus")`.
    """

    def __init__(
        self,
        config: RunConfig,
        graphdef: nnx.GraphDef,
        model: ModelState,
        batch_size: int = 512,
        reliability: Reliability = UNKNOWN,
        origin: Origin = NOWHERE,
    ):
        """A model as `RunDirectory.load_best` gives it.

        `batch_size` is in crystals, at most; `reliability` what its predictions are judged by;
        `origin` says where it is from and how good it is.
        """
        self.config = config
        self.origin = origin
        self._graphdef = graphdef
        self._engine = StreamPredictor(config, graphdef, model, batch_size, reliability)

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        device: Device = "auto",
        batch_size: int = 512,
        trust_code: bool = False,
    ) -> "Predictor":
        """The best model of a run; compiled programs are kept in the cache of the commands.

        Args:
            run: the run directory of a trained model, or the name of a ready-made one
                (bulk_modulus, shear_modulus, poisson_ratio, formation_energy, band_gap, is_metal).
            device: what to run on. If JAX has been used before, it stays on its device.
            batch_size: crystals to predict at once, at most; lower it if the memory does not
                suffice.
            trust_code: run the layers and attentions that came with the run, wherever it is from.

        Raises:
            UserError: no run, or one without a trained model.
        """
        use_device(device)
        return cls.of(RunDirectory.open(Path(run), trust_code), batch_size)

    @classmethod
    def of(cls, run: RunDirectory, batch_size: int = 512) -> "Predictor":
        """The best model of a run that is open, on the device in use."""
        return cls(*run.load_best(), batch_size, read_reliability(run), origin_of(run))

    def __repr__(self) -> str:
        """What it predicts, in which unit, how well, and where it is from."""
        return "\n  ".join(["Predictor", *self.origin.lines(self.config.properties)])

    def predict(
        self,
        structures: Crystals,
        *,
        workers: Workers = None,
    ) -> Predictions:
        """Predict one structure, or any mix of several; nothing is written.

        Args:
            structures: structures of pymatgen or ASE, pymatgen dictionaries, and paths: of CIF or
                POSCAR files, folders of them, JSON lines, JSON or CSV of structures; or a table
                (DataFrame) with a column of these.
            workers: processes that prepare the graphs; all cores by default, but only for large
                jobs. Or a Dask cluster: `data_prep.workers.Dask("HOST:PORT")`.

        Returns:
            A row for each crystal, in the order given; those that cannot be predicted with the
            reason.

        Raises:
            UserError: a path that does not exist, or a folder without structure files.
        """
        source = open_structures(as_list(structures), names_of(structures))
        width = value_slices(self.config.properties)[-1].stop
        transformed = np.full((source.count, width), np.nan)
        uncertainty = np.full_like(transformed, np.nan)
        half_width = np.full_like(transformed, np.nan)
        ids, warnings, reasons = ([""] * source.count for _ in range(3))
        neighbors: list[Neighbor | None] = [None] * source.count
        left_out: dict[int, Skipped] = {}
        for named, own in predict_source(self._engine, source, left_out, workers=workers):
            rows = [crystal.position for crystal in named]
            transformed[rows] = own.values
            uncertainty[rows] = np.nan if own.uncertainty is None else own.uncertainty
            half_width[rows] = np.nan if own.half_width is None else own.half_width
            for crystal, warning in zip(named, own.warnings, strict=True):
                ids[crystal.position], warnings[crystal.position] = crystal.id, warning
            for row, neighbor in zip(rows, own.neighbors or (), strict=False):
                neighbors[row] = neighbor
        for row, skipped in left_out.items():
            ids[row], reasons[row] = skipped
        known = self._engine.reliability
        return Predictions(
            tuple(ids),
            self.config.properties,
            transformed,
            tuple(warnings),
            tuple(reasons),
            uncertainty if self.config.train.members > 1 else None,
            None if known.intervals is None else half_width,
            None if known.training is None else tuple(neighbors),
        )

    def explain(self, structure: StructureLike) -> Explanation:
        """Which atoms of a crystal the model attends to, and which neighbours in each layer.

        Raises:
            UserError: a model without attention, or a path that is not of one structure.
            BadCrystal: a crystal the model cannot take.
        """
        name, found = read_one(structure)
        model, known = self._engine.model, self._engine.reliability
        return explain(self.config, self._graphdef, model, found, name, known)

    def evidence(self, structure: StructureLike) -> Evidence:
        """What the prediction of a crystal rests on; of models without attention, too.

        Raises:
            UserError: a path that is not of one structure.
            BadCrystal: a crystal the model cannot take.
        """
        graph = build_graph(read_one(structure)[1], self.config.graph)
        counts, known = self.config.data.known_elements, self._engine.reliability
        return evidence_for(self._engine.predict([graph]), graph, counts, known)
