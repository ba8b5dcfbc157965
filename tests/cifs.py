"""CIFs written for the tests of their readers."""

from collections.abc import Sequence

SITE = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")

TWO_SITES = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
"""The asymmetric unit of rock salt."""

EIGHT_SITES = [
    f"{symbol}{number} {symbol} {' '.join(str((x + shift) % 1) for x in position)}"
    for symbol, shift in (("Na", 0), ("Cl", 0.5))
    for number, position in enumerate([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)], 1)
]
"""The cell of rock salt."""

ROCK_SALT = (5.64, 5.64, 5.64, 90, 90, 90)


def cif(
    sites: Sequence[str],
    cell: Sequence[object] = ROCK_SALT,
    *,
    symmetry: str | None = "P 1",
    operations: Sequence[str] = (),
    columns: Sequence[str] = SITE,
    name: str = "x",
    **items: object,
) -> str:
    """A CIF of atom lines; `items` are tags without the first underscore, and their values."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [
        f"data_{name}",
        *(f"_cell_{key} {value}" for key, value in zip(names, cell, strict=True)),
    ]
    if symmetry is not None:
        lines.append(f'_space_group_name_H-M_alt "{symmetry}"')
    lines += [f"_{key}\n;{value}\n;" for key, value in items.items()]
    if operations:
        lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{xyz}'" for xyz in operations)]
    return "\n".join([*lines, "loop_", *(f"_atom_site_{key}" for key in columns), *sites, ""])
