"""`python docs/architecture.py`: draws the rooms of the package and the imports between them.

Rooms and floors are those of the contract in `pyproject.toml`, which `tests/test_architecture.py`
holds the imports against; an arrow stands for imports of one room by another.
"""

import tomllib
from collections import Counter
from pathlib import Path

import grimp
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
WIDTH = 0.8
COLORS = {"up": "#c0392b", "down": "#7f8c9b"}


COMMANDS = "commands"
"""One room in the drawing: the modules on top, each the options and the `main` of a command."""


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top; `data_prep`, as one room, is at the bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c for c in settings["contracts"] if c["type"] == "layers")["layers"]
    top, *others = ([room.strip() for room in layer.split("|")] for layer in layers)
    on_top = [room for room in top if room not in commands()]
    return [[COMMANDS, *on_top], *others, ["data_prep"]]


def commands() -> list[str]:
    """The modules that are run by their names, as `python -m gatgnn_jax.train`, in order."""
    files = sorted((ROOT / "gatgnn_jax").glob("*.py"))
    return [file.stem for file in files if '__name__ == "__main__"' in file.read_text()]


def arrows(rooms: set[str]) -> Counter[tuple[str, str]]:
    """How many imports of modules of one room there are in another: (importing, imported)."""
    programs = commands()
    graph = grimp.build_graph("gatgnn_jax", "data_prep", exclude_type_checking_imports=True)

    def room(module: str) -> str:
        package, *rest = module.split(".")
        if package == "data_prep" or not rest:
            return package
        return COMMANDS if rest[0] in programs else rest[0]

    pairs: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            pair = room(module), room(imported)
            if pair[0] != pair[1] and set(pair) <= rooms:
                pairs[pair] += 1
    return pairs


def modules(room: str) -> int:
    """How many files a room has."""
    if room == COMMANDS:
        return len(commands())
    folder = ROOT / room if room == "data_prep" else ROOT / "gatgnn_jax" / room
    return len([file for file in folder.rglob("*.py") if file.name != "__init__.py"]) or 1


def draw() -> Figure:
    """The rooms, a floor below the other, and their arrows."""
    storeys = floors()
    place = {
        room: (column + (7 - len(rooms)) / 2, -floor)
        for floor, rooms in enumerate(storeys)
        for column, room in enumerate(rooms)
    }
    figure = Figure(figsize=(11, 1.25 * len(storeys)), layout="tight")
    axes = figure.add_subplot()
    for (importing, imported), count in sorted(arrows(set(place)).items()):
        (x, y), (u, v) = place[importing], place[imported]
        axes.annotate(
            "",
            (u, v + 0.2),
            (x, y - 0.2),
            arrowprops={
                "arrowstyle": "-|>",
                "color": COLORS["down" if y > v else "up"],
                "alpha": 0.55,
                "lw": 0.5 + 0.12 * min(count, 15),
            },
        )
    for room, (x, y) in place.items():
        box = (x - WIDTH / 2, y - 0.2), WIDTH, 0.4
        style = "round,pad=0.02"
        axes.add_patch(FancyBboxPatch(*box, boxstyle=style, fc="#eef3f8", ec="#1f6fb2", zorder=3))
        number = modules(room)
        told = f"\n{number} files" if number > 1 else ""
        axes.text(x, y, room + told, ha="center", va="center", fontsize=9, zorder=4)
    axes.set_xlim(-0.6, 6.6)
    axes.set_ylim(-len(storeys) + 0.5, 0.5)
    axes.set_axis_off()
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, metadata={"Date": None})
    print(PICTURE)
