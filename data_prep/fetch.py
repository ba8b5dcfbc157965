"""``python -m data_prep.fetch materials-project|jarvis|matbench``: data at the source."""

import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from data_prep.errors import UserError, check_limit, exit_status, number_of
from data_prep.fetching import jarvis, materials_project
from data_prep.fetching.download import download
from data_prep.files import write_text
from data_prep.options import IntOrNone, NothingByDefault, PathOrNone, TextOrNone
from data_prep.reading.folders import JSON_LINES_SUFFIXES

MATBENCH_URL = "https://ml.materialsproject.org/projects/{}.json.gz"

MATBENCH = {
    "matbench_dielectric": "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
    "matbench_jdft2d": "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
    "matbench_log_gvrh": "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
    "matbench_log_kvrh": "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
    "matbench_mp_e_form": "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
    "matbench_mp_gap": "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
    "matbench_mp_is_metal": "9a028ed5750a4c76ca36e9f3c8d48fe0bf3fb21b76ec2289e58ae7048d527919",
    "matbench_perovskites": "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
    "matbench_phonons": "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
}
"""SHA-256 of Matbench v0.1's files with structures, as matminer 0.10.1 lists them."""


@dataclass(frozen=True)
class MaterialsProject:
    """Crystals of the Materials Project (CC BY 4.0; extra "fetch"); the same command goes on."""

    property: tuple[str, ...]
    """formation_energy, absolute_energy, band_gap, fermi_energy, bulk_modulus, shear_modulus,
    poisson_ratio, is_metal: crystals that have any of those named."""
    out: Path
    """The JSON lines to write: crystals.jsonl.gz."""
    api_key: TextOrNone = None
    """Your key; the environment variable MP_API_KEY by default, which others cannot see."""
    elements: Annotated[tuple[str, ...], NothingByDefault] = ()
    """Only crystals with all of these elements."""
    chemsys: Annotated[tuple[str, ...], NothingByDefault] = ()
    """Only crystals of these chemical systems, like Li-Fe-O."""
    ids: PathOrNone = None
    """A file with an id (mp-149) a line: these crystals."""
    limit: IntOrNone = None
    """Fetch so many crystals at most."""
    quiet: bool = False
    """Show errors only."""

    def run(self) -> dict[str, Any]:
        """Fetch; what came of it."""
        _check_lines(self.out)
        query = materials_project.query_of(
            _split(self.property),
            elements=_split(self.elements),
            chemsys=_split(self.chemsys),
            ids=() if self.ids is None else _read_ids(self.ids),
            limit=self.limit,
        )
        key = self.api_key or os.environ.get(materials_project.KEY_VARIABLE)
        database = materials_project.Database(key)
        return materials_project.fetch(database, query, self.out, quiet=self.quiet)


@dataclass(frozen=True)
class Jarvis:
    """Crystals of JARVIS, from a file or the name of one of its datasets."""

    source: tyro.conf.Positional[str]
    """A .json or .zip as jarvis-tools downloads it, or a name like dft_3d (needs jarvis-tools)."""
    property: tuple[str, ...]
    """JARVIS' columns or our names: formation_energy, absolute_energy, band_gap, poisson_ratio,
    bulk_modulus and shear_modulus (Voigt's averages). Crystals that have any of those named."""
    out: Path
    """The JSON lines to write: crystals.jsonl.gz."""
    limit: IntOrNone = None
    """Take so many crystals at most."""
    quiet: bool = False
    """Show errors only."""

    def run(self) -> dict[str, Any]:
        """Convert, after downloading if need be; what came of it."""
        _check_lines(self.out)
        check_limit(self.limit)
        names = _split(self.property)
        if not names:
            raise UserError("give one property or more, like formation_energy_peratom")
        path = Path(self.source)
        if not path.exists():
            if path.suffix in (".json", ".zip"):
                raise UserError(f"{path} does not exist: check the path")
            path = jarvis.dataset_file(self.source, self.out.parent, quiet=self.quiet)
        return jarvis.convert(path, names, self.out, limit=self.limit, quiet=self.quiet)


@dataclass(frozen=True)
class Matbench:
    """A file of Matbench v0.1, which every command reads as it is."""

    task: tyro.conf.Positional[str]
    """A task whose crystals have structures: matbench_log_kvrh."""
    out: Path
    """The file to write: matbench_log_kvrh.json.gz."""
    quiet: bool = False
    """Show errors only."""

    def run(self) -> dict[str, Any]:
        """Download and check; what came of it."""
        if self.task not in MATBENCH:
            raise UserError(f"no task {self.task!r} with structures: {', '.join(MATBENCH)}")
        if not self.out.name.endswith(".json.gz"):
            raise UserError(f"--out: {self.out} should end in .json.gz, as the file is such a one")
        _check_free(self.out)
        url = MATBENCH_URL.format(self.task)
        download(url, self.out, sha256=MATBENCH[self.task], quiet=self.quiet)
        return {
            "source": "Matbench v0.1",
            "url": url,
            "sha256": MATBENCH[self.task],
            "reference": "A. Dunn et al., npj Computational Materials 6, 138 (2020), "
            "https://doi.org/10.1038/s41524-020-00406-3",
        }


def _check_lines(out: Path) -> None:
    if not out.name.endswith(JSON_LINES_SUFFIXES):
        raise UserError(f"--out: {out} should end in .jsonl or .jsonl.gz")
    _check_free(out)


def _check_free(out: Path) -> None:
    # Imported where needed, so that help and usage errors come at once.
    from data_prep.storage import check_free

    check_free(out)


def _split(names: Sequence[str]) -> tuple[str, ...]:
    """Names apart from each other, whether given with commas or spaces."""
    return tuple(part.strip() for name in names for part in name.split(",") if part.strip())


def _read_ids(path: Path) -> tuple[str, ...]:
    try:
        ids = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} cannot be read: give a text file with an id a line") from None
    if not ids:
        raise UserError(f"{path} holds no ids: write one a line")
    return ids


FetchOptions = MaterialsProject | Jarvis | Matbench


def run(options: FetchOptions) -> None:
    """Fetch, write down where the data are from, and say what came of it.

    Raises:
        UserError: bad input, or a source that does not answer.
    """
    try:
        origin = options.run()
        origin["date"] = dt.datetime.now(dt.UTC).date().isoformat()
        report = options.out.with_name(f"{options.out.name}.source.json")
        write_text(report, json.dumps(origin, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {options.out}: {error.strerror}") from None
    if not options.quiet:
        count = number_of(origin["crystals"], "crystal") if "crystals" in origin else "done"
        missing = len(origin.get("missing", ()))
        more = f"; {missing:,} are not there or have no value" if missing else ""
        sys.stderr.write(f"{options.out}: {count}{more}; see {report.name}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = tyro.cli(
        FetchOptions,
        args=arguments,
        prog="gatgnn-jax fetch",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
