"""Which files of a folder hold structures, and what their crystals are called."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

CIF_SUFFIXES = (".cif", ".mcif")
POSCAR_SUFFIXES = (".poscar", ".vasp", ".contcar")
JSON_LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
POSCAR_STEMS = ("POSCAR", "CONTCAR")


def is_structure_file(path: Path) -> bool:
    """Whether the name is that of a CIF or POSCAR file, compressed or not."""
    return _has_suffix(path) or path.name.startswith(POSCAR_STEMS)


def is_cif(path: Path) -> bool:
    """Whether the name is that of a CIF, compressed or not."""
    return _packed_name(path).lower().endswith(CIF_SUFFIXES)


def is_folder(path: Path) -> bool:
    """Whether it is a folder; no if that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:  # within a folder that may not be entered
        return False


def visible_files(folder: Path) -> Iterator[Path]:
    """The files in a folder and in the folders within it, by name; hidden ones are left out.

    Links are followed, each folder is gone through once. A folder that cannot be opened, or that is
    called like a CIF, is given as if it were a file, so that it is reported and not lost.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            status = place.stat()
            paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        except OSError:
            yield place
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for path in paths:
            if is_folder(path) and not _has_suffix(path):
                folders.append(path)
            else:
                yield path
        waiting += reversed(folders)


def structure_files(folder: Path) -> list[Path]:
    """The CIF and POSCAR files of `visible_files`.

    Of a folder with both a ``CONTCAR`` and a ``POSCAR`` the former is taken: the relaxed structure.
    """
    files = [path for path in visible_files(folder) if is_structure_file(path) or is_folder(path)]
    relaxed = {path.parent for path in files if _packed_name(path) == "CONTCAR"}
    return [path for path in files if _packed_name(path) != "POSCAR" or path.parent not in relaxed]


def structure_id(path: Path) -> str:
    """The file's name without the suffixes of structure files: ``mp-1.cif.gz`` is ``mp-1``.

    A file that is called just ``POSCAR`` or ``CONTCAR`` goes by the path of its folder.
    """
    return structure_path(path if _packed_name(path) in POSCAR_STEMS else Path(path.name))


def structure_path(path: Path) -> str:
    """As `structure_id`, with the path of the file."""
    name = _packed_name(path)
    if name in POSCAR_STEMS and path.parent.name:
        return str(path.parent)
    for suffix in CIF_SUFFIXES + POSCAR_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
            break
    return str(path.parent / name)


def structure_ids(files: Sequence[Path]) -> list[str]:
    """The id of each file; where several would get one id, as much of their paths as differs."""
    ids = [structure_id(path) for path in files]
    for longer in (structure_path, str):
        count = Counter(ids)
        ids = [
            name if count[name] == 1 else longer(path)
            for name, path in zip(ids, files, strict=True)
        ]
    return ids


def _packed_name(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _has_suffix(path: Path) -> bool:
    return _packed_name(path).lower().endswith(CIF_SUFFIXES + POSCAR_SUFFIXES)
