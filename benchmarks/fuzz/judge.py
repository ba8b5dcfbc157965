"""What is wrong with how a damaged file was read."""

import codecs
import re
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar

from benchmarks.fuzz.cases import Case, Expected, Wanted
from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal, UserError, one_line
from data_prep.graph import build_graph
from data_prep.reading.folders import is_cif
from data_prep.reading.formats import Record
from data_prep.reading.sources import open_structures, read_item

HANG = 20.0
"""Seconds of work."""

DISTANCE_TOLERANCE = 0.02
"""Å; digits of a text, and atoms moved to their special positions."""


class Fault(Enum):
    """What must not happen."""

    TRACEBACK = "tracebacks"
    HANG = "hangs"
    LOST = "lost"
    DIFFERS = "differ"
    ACCEPTED = "accepted"


class Found(NamedTuple):
    """A fault, and what there is to say of it."""

    fault: Fault
    note: str


class Verdict(NamedTuple):
    """What came of a damaged file."""

    found: list[Found]
    read: int = 0
    """Crystals that were read and not refused."""
    compared: int = 0
    """Those of them whose reading was compared with that of another program."""


class _TooLong(BaseException):
    """Raised by the alarm; no reader that catches exceptions catches it."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise after seconds of work (other programs may be running), or ten times that of waiting."""

    def ring(*_: object) -> None:
        raise _TooLong

    clocks = (signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 10)
    before = [signal.signal(name, ring) for _, name, _ in clocks]
    for clock, _, times in clocks:
        signal.setitimer(clock, times * seconds)
    try:
        yield
    finally:
        for (clock, name, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(name, handler)


Reading = tuple[Record, Structure | BadCrystal]


def judge(case: Case, folder: Path) -> Verdict:
    """Write a damaged file, read it as the commands do, and say what is wrong with that."""
    path = folder / case.file
    path.write_bytes(case.content)
    start = time.process_time()
    try:
        with _alarm(HANG), warnings.catch_warnings():
            warnings.simplefilter("error")  # one would be printed among the results
            readings = [_graphed(*read_item(item)) for item in open_structures([path]).items()]
    except _TooLong:
        return Verdict([Found(Fault.HANG, f"more than {HANG:g} s")])
    except UserError as error:
        wanted = [one.expected for one in case.crystals]
        if all(expected is Expected.SAME for expected in wanted):
            return Verdict([Found(Fault.DIFFERS, f"refused: {error}")])
        return Verdict([])
    except Exception as error:  # the very fault that is looked for
        return Verdict([Found(Fault.TRACEBACK, f"{type(error).__name__} {one_line(error)}")])
    finally:
        path.unlink()
    if (seconds := time.process_time() - start) > HANG:  # within a library that no alarm ends
        return Verdict([Found(Fault.HANG, f"{seconds:.0f} s")])
    if len(readings) < len(case.crystals):
        note = f"{len(readings)} crystals of {len(case.crystals)}"
        return Verdict([Found(Fault.LOST, note)])
    read = [structure for _, structure in readings if not isinstance(structure, BadCrystal)]
    found = [
        _judge_one(wanted, structure)
        for wanted, (_, structure) in zip(case.crystals, readings, strict=False)
    ]
    others = []
    if len(readings) == len(read) == 1 and case.crystals[0].expected is Expected.ANYTHING:
        others = independent_readings(case)
        found.append(_compared(read[0], others))
    return Verdict([one for one in found if one], len(read), bool(others))


def _graphed(record: Record, structure: Structure | BadCrystal) -> Reading:
    """A structure that has a graph, or the reason why there is none."""
    if not isinstance(structure, BadCrystal):
        try:
            build_graph(structure, GraphConfig())
        except BadCrystal as reason:
            return record, reason
    return record, structure


def _judge_one(wanted: Wanted, reading: Structure | BadCrystal) -> Found | None:
    expected, structure = wanted
    if isinstance(reading, BadCrystal):
        # The last resort of `read_item`, for what no reader foresees.
        if re.match(r"unreadable: \w+: ", reading.reason):
            return Found(Fault.TRACEBACK, reading.reason)
        if expected is Expected.SAME:
            return Found(Fault.DIFFERS, f"refused: {reading.reason}")
    elif expected is Expected.REFUSED:
        return Found(Fault.ACCEPTED, f"{reading.formula}, of {structure.formula}")
    elif expected is not Expected.ANYTHING and not same_crystal(reading, structure):
        return Found(Fault.DIFFERS, f"read as {reading.formula}, was {structure.formula}")
    return None


def _compared(reading: Structure, others: Sequence[Structure]) -> Found | None:
    if all(same_crystal(reading, other) for other in others):
        return None
    found = " and ".join(f"{other.formula} in {other.volume:.2f} Å³" for other in others)
    note = f"{reading.formula} in {reading.volume:.2f} Å³, by others {found}"
    return Found(Fault.DIFFERS, note)


def same_crystal(one: Structure, other: Structure) -> bool:
    """Whether cells have the same volume, elements, and distances of each pair of elements."""
    if len(one) != len(other) or one.composition != other.composition:
        return False
    if abs(one.volume / other.volume - 1) > 1e-3:
        return False
    return bool(np.abs(_distances(one) - _distances(other)).max() < DISTANCE_TOLERANCE)


def _distances(structure: Structure) -> np.ndarray:
    """Between all atoms in their nearest images, sorted for each pair of elements."""
    number = np.array(structure.atomic_numbers)
    pair = np.minimum.outer(number, number) * 1000 + np.maximum.outer(number, number)
    distance = structure.lattice.get_all_distances(structure.frac_coords, structure.frac_coords)
    return distance.ravel()[np.lexsort((distance.ravel(), pair.ravel()))]


def independent_readings(case: Case) -> list[Structure]:
    """What other programs read, those that do so without a warning."""
    marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    encoding = "utf-16" if case.content.startswith(marks) else "utf-8-sig"
    text = case.content.decode(encoding, errors="replace")
    readers = (_pymatgen_cif, _gemmi_cif) if is_cif(Path(case.file)) else (_pymatgen_poscar,)
    found = []
    for reader in readers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found.append(reader(text))
        except Exception:  # a warning, or an error, of whatever type
            continue
    return found


def _pymatgen_cif(text: str) -> Structure:
    (structure,) = CifParser.from_str(text).parse_structures(primitive=False, on_error="raise")
    return structure


def _gemmi_cif(text: str) -> Structure:
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    if not small.sites or (small.spacegroup is None and not small.symops):
        raise ValueError("it found no atoms or no symmetry, of which it does not warn")
    sites = small.get_all_unit_cell_sites()
    return Structure(
        Lattice.from_parameters(*small.cell.parameters),
        [Element.from_Z(site.element.atomic_number) for site in sites],
        [site.fract.tolist() for site in sites],
    )


def _pymatgen_poscar(text: str) -> Structure:
    return Poscar.from_str(text).structure
