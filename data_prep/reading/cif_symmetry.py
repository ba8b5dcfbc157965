"""The symmetry operations of a CIF: those it lists, or those of the group it names.

A list counts more than a name. What is listed has to be a group, to fit the cell and to be of the
type that is named; a name has to be one that gemmi knows (the settings of the International Tables,
and any Hall symbol). Where several groups are possible, as with a name that has two origins or with
names or lists that contradict each other, all are given back as candidates, for the content of the
cell to decide (``data_prep.reading.cif``).
"""

import itertools
import re
from collections import Counter
from functools import cache
from typing import NamedTuple

import gemmi
import numpy as np

from data_prep.errors import BadCrystal
from data_prep.reading.cif_blocks import Items, text_of, value_of

_LISTS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation_xyz",
)
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_HERMANN_MAUGUIN = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_ref",
    "_space_group_name_h-m_full",
)
_NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")

_ORIGINS = {"Z": "2", "S": "1"}  # at the centre of inversion, and the other, in files of the ICSD

METRIC_TOLERANCE = 4e-3
"""How far an operation may change the cell: about 0.2 % of a length, 0.2° of an angle."""

MAX_OPERATIONS = 2_000
"""192 in the largest groups, twice that with the reversal of time, and more in larger cells."""


class Operations(NamedTuple):
    """The m operations of a space group, centring included: x → rotation x + translation."""

    name: str
    """for messages"""
    number: int
    """of the International Tables; 0 in a setting that these do not have"""
    triplets: tuple[str, ...]
    rotation: np.ndarray
    """float64 [m, 3, 3], on fractional coordinates"""
    translation: np.ndarray
    """float64 [m, 3]"""

    @property
    def group(self) -> frozenset[str]:
        """By it two of them are the same."""
        return frozenset(self.triplets)


class Symmetry(NamedTuple):
    """The groups that a CIF may mean."""

    candidates: list[Operations]
    doubt: str
    """why even a single candidate needs to be confirmed by the content of the cell, or empty"""


def symmetry_of(items: Items, metric: np.ndarray) -> Symmetry:
    """The groups that the symmetry of a block may stand for, one or several.

    Args:
        items: of the block.
        metric: G = A Aᵀ of the cell vectors (the rows of A), float64 [3, 3] (Å²).

    Raises:
        BadCrystal: symmetry that cannot be understood, or does not fit the cell.
    """
    listed = _listed(items)
    named, unknown = _named(items)
    if not listed and not named:
        if unknown:
            raise BadCrystal(
                f"the CIF names the symmetry {unknown!r}, which is not known, and lists no "
                "operations: list them (_space_group_symop_operation_xyz)"
            )
        doubt = "the CIF says nothing of symmetry ('P 1' is that of a cell with all atoms listed)"
        return Symmetry([operations(("x,y,z",), "P 1")], doubt)
    doubt = ""
    groups = [*listed, *itertools.chain(*named.values())]
    if len(listed) > 1:
        doubt = f"the CIF has {len(listed)} lists of symmetry operations that differ"
    elif listed and all(any(_agree(listed[0], own) for own in one) for one in named.values()):
        groups = listed
        if unknown and len(listed[0].triplets) == 1:
            doubt = f"the CIF names the symmetry {unknown!r}, which is not known, and lists none"
    elif listed:
        doubt = f"the CIF lists operations that are not those of {' and '.join(named)}"
    different = {group.group: group for group in reversed(groups)}
    fitting = [group for group in reversed(different.values()) if fits_cell(group, metric)]
    if not fitting:
        raise BadCrystal(
            f"the symmetry does not fit the cell ({groups[0].name}): look at lengths and angles, "
            "and whether the axes are those of the space group's setting"
        )
    return Symmetry(fitting, doubt)


def fits_cell(group: Operations, metric: np.ndarray) -> bool:
    """Whether all operations keep lengths and angles of a cell, given its metric [3, 3]."""
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    moved = np.einsum("mji,jk,mkl->mil", group.rotation, metric, group.rotation)
    return bool((np.abs(moved - metric) <= METRIC_TOLERANCE * scale).all())


@cache
def operations(triplets: tuple[str, ...], name: str, number: int = 0) -> Operations:
    """The operations of some triplets as ``-x,y+1/2,-z``, each once, in their order.

    Raises:
        BadCrystal: they cannot be read, or are no group.
    """
    different: dict[str, gemmi.Op] = {}
    for triplet in triplets:
        try:
            operation = gemmi.Op(triplet).wrap()
        except (RuntimeError, ValueError):
            raise BadCrystal(f"the symmetry operation {triplet!r} cannot be understood") from None
        different.setdefault(operation.triplet(), operation)
    if len(different) > 1 or "x,y,z" not in different:
        # The identity once: twice, it would hide the group from `find_spacegroup_by_ops`.
        group = gemmi.GroupOps([*({"x,y,z": gemmi.Op()} | different).values()])
        try:
            group.add_missing_elements()
            closed = {operation.wrap().triplet() for operation in group} == set(different)
        except RuntimeError:  # no end of them
            closed = False
        if not closed:
            raise BadCrystal(
                f"the {len(different)} symmetry operations are no group: some are missing or wrong"
            )
        if not number and (found := gemmi.find_spacegroup_by_ops(group)):
            number = found.number
    elif not number:
        number = 1
    scale = gemmi.Op.DEN
    return Operations(
        name,
        number,
        tuple(different),
        np.array([operation.rot for operation in different.values()]) / scale,
        np.array([operation.tran for operation in different.values()]) / scale,
    )


def _listed(items: Items) -> list[Operations]:
    """What is listed: once, if at all, unless lists by the tags of two dictionaries differ.

    Of a magnetic structure without the reversal of time.
    """
    lists: list[Operations] = []
    for tag in _LISTS:
        triplets = [text for value in items.get(tag, []) if (text := text_of(value))]
        if not triplets or (lists and "magn" in tag):
            continue
        _check_count(len(triplets))
        if "magn" in tag:
            centring = items.get("_space_group_symop_magn_centering_xyz", ["x,y,z,+1"])
            _check_count(len(centring) * len(triplets))
            triplets = [
                (_without_time(text_of(shift)) * _without_time(triplet)).wrap().triplet()
                for shift in centring
                for triplet in triplets
            ]
        lists.append(operations(tuple(triplets), "as listed"))
    return [*{own.group: own for own in lists}.values()]


def _check_count(listed: int) -> None:
    if listed > MAX_OPERATIONS:
        raise BadCrystal(f"{listed:,} symmetry operations are too many: no space group has so many")


def _without_time(triplet: str) -> gemmi.Op:
    try:
        return gemmi.Op(",".join(triplet.split(",")[:3]))
    except (RuntimeError, ValueError):
        raise BadCrystal(f"the symmetry operation {triplet!r} cannot be understood") from None


def _named(items: Items) -> tuple[dict[str, tuple[Operations, ...]], str]:
    """The groups that each name in the file may mean, by name; and a name that is not known.

    A name that leaves open what another one says counts for nothing beside it.
    """
    named: dict[str, tuple[Operations, ...]] = {}
    unknown = ""
    for tags, groups_of in ((_HALL, _of_hall), (_HERMANN_MAUGUIN, _of_symbol)):
        names = dict.fromkeys(name for tag in tags if (name := value_of(items, tag)))
        found = {name: groups for name in names if (groups := groups_of(name))}
        for name, groups in found.items():
            _add_name(named, name, groups)
        if names and not found:
            unknown = unknown or next(iter(names))
    for name in dict.fromkeys(name for tag in _NUMBER if (name := value_of(items, tag))):
        groups = _of_number(name)
        known = itertools.chain(*named.values())
        if groups and not any(_agree(own, groups[0]) for own in known):
            named[f"number {name}"] = groups
        elif not groups:
            unknown = unknown or name
    return named, unknown


def _add_name(
    named: dict[str, tuple[Operations, ...]], name: str, groups: tuple[Operations, ...]
) -> None:
    """Add a name, or what of the groups of another one it has too in the place of these."""
    own = {group.group for group in groups}
    for other, known in named.items():
        if both := tuple(group for group in known if group.group in own):
            named[other] = both
            return
    named[name] = groups


@cache
def _of_hall(symbol: str) -> tuple[Operations, ...]:
    try:
        group = gemmi.symops_from_hall(symbol.replace("''", '"'))
    except (RuntimeError, ValueError):
        return ()
    return (operations(tuple(operation.triplet() for operation in group), symbol),)


@cache
def _of_symbol(symbol: str) -> tuple[Operations, ...]:
    """The settings of a Hermann-Mauguin symbol: several if it does not tell origin or axes."""
    text = re.sub(r"\((\d)\)", r"\1", symbol.replace("_", "")).strip()
    suffix = re.fullmatch(r"(.+?)\s*(?::\s*|\s+O)([12])|(.+?)\s*:?\s*([HRZS])", text, re.IGNORECASE)
    choice = ""
    if suffix is not None:
        text = suffix[1] or suffix[3]
        choice = (suffix[2] or suffix[4]).upper()
        choice = _ORIGINS.get(choice, choice)
    found = gemmi.find_spacegroup_by_name(text) or gemmi.find_spacegroup_by_name(_short(text))
    if found is None:
        return ()
    settings = [
        setting
        for setting in gemmi.spacegroup_table()
        if (setting.number, setting.hm) == (found.number, found.hm) and choice in ("", setting.ext)
    ]
    return tuple(map(_of_setting, settings))


def _short(symbol: str) -> str:
    """The short symbol of a full one: ``F m -3 m`` of ``F 4/m -3 2/m``."""
    lattice, *axes = symbol.split() or [""]
    # The first axis of tetragonal and hexagonal groups keeps its order.
    keep = len(axes) > 1 and axes[0][0] in "46" and not axes[1].endswith("3")
    return " ".join(
        [lattice, *(axis if keep and not k else axis.split("/")[-1] for k, axis in enumerate(axes))]
    )


@cache
def _of_number(text: str) -> tuple[Operations, ...]:
    """Every setting of a group, as its number does not tell which; P 1 and P -1 mean themselves."""
    return tuple(
        _of_setting(setting)
        for setting in gemmi.spacegroup_table()
        if text.isdecimal() and setting.number == int(text)
        if setting.number > 2 or setting.is_reference_setting()
    )


def _of_setting(setting: gemmi.SpaceGroup) -> Operations:
    triplets = tuple(operation.triplet() for operation in setting.operations())
    return operations(triplets, setting.xhm(), setting.number)


def _agree(listed: Operations, named: Operations) -> bool:
    """Whether listed operations are of the type that is named, in whatever setting."""
    if listed.number:
        return listed.number == named.number
    return _point_group(listed) == _point_group(named)


def _point_group(group: Operations) -> Counter:
    """How many rotations there are of each kind, which no change of axes changes."""
    rotation = np.unique(group.rotation, axis=0)
    determinant = np.linalg.det(rotation).round()
    return Counter(zip(determinant, np.trace(rotation, axis1=1, axis2=2).round(), strict=True))
