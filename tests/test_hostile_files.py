"""Names, sizes and kinds of files that nobody expects: each costs its own crystal at most."""

import csv
import gzip
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatgnn_jax import predict
from gatgnn_jax.runs.directory import next_run_directory
from tests.commands import TINY, error_of, untrained_run
from tests.crystals import NACL, rock_salt, write_lines

NOT_UTF8 = os.fsdecode(b"latin-\xe9")
GOOD = ["[bold]", "$^$", "a,b", "é", "'; DROP", ":cat:"]
"""Odd names, which are names all the same."""

FOLDER_REASONS = {
    r"latin-\udce9": "characters that cannot be printed",
    r"line\nend": "characters that cannot be printed",
    r"return\r": "characters that cannot be printed",
    r"\x1b[31mred": "characters that cannot be printed",
    "pipe": "pipe.cif is a pipe or a device",
    "folder": "folder.cif is a folder, not a file",
    "dangling": "dangling.cif is a link to a file that is not there",
    "itself": "itself.cif cannot be read: Too many levels of symbolic links",
    "bomb": "the file is larger than 64 MB",
    "cut": "cut.vasp.gz is cut off or damaged",
}

DEEP = '{"a":' * 20_000 + "1" + "}" * 20_000

LINE_REASONS = {
    "line 2": "line 2 is nested too deeply",
    "deep text": "the structure is nested too deeply",
    r"nul\x00": "characters that cannot be printed",
    r"half \ud800": "characters that cannot be printed",
    r"carriage\r\nreturn": "characters that cannot be printed",
    "x" * 40 + "…": "the id has 200,000 characters",
}


def hostile_folder(folder: Path) -> Path:
    """A folder with a file of each kind."""
    folder.mkdir()
    for name in (*GOOD, NOT_UTF8, "line\nend", "return\r", "\x1b[31mred"):
        (folder / f"{name}.cif").write_text(NACL)
    (folder / "[").mkdir()  # for a path that ends in [/x]
    (folder / "[" / "x].cif").write_text(NACL)
    os.mkfifo(folder / "pipe.cif")
    (folder / "folder.cif").mkdir()
    (folder / "dangling.cif").symlink_to(folder / "nowhere.cif")
    (folder / "itself.cif").symlink_to("itself.cif")
    with gzip.open(folder / "bomb.cif.gz", "wb") as file:
        for _ in range(70):
            file.write(bytes(1_000_000))
    whole = gzip.compress(rock_salt().to(fmt="poscar").encode())
    (folder / "cut.vasp.gz").write_bytes(whole[: len(whole) // 2])
    return folder


def hostile_lines(path: Path) -> Path:
    """JSON lines with what only they can hold, and a good one at the end."""
    return write_lines(
        path,
        [
            {"id": "first", "cif": NACL, "target": 1},
            f'{{"id": "deep", "cif": 1, "target": 1, "x": {DEEP}}}\n',
            {"id": "deep text", "structure": DEEP, "target": 1},
            {"id": "nul\0", "cif": NACL, "target": 1},
            {"id": "half \ud800", "cif": NACL, "target": 1},
            {"id": "carriage\r\nreturn", "cif": NACL, "target": 1},
            {"id": "x" * 200_000, "cif": NACL, "target": 1},
            {"id": "odd label", "cif": NACL.replace("Cl1 ", "Cl\ud8001 "), "target": 1},
            {"id": "[/x]", "cif": NACL, "target": 1},
        ],
    )


def command(name: str, *arguments: str | Path, text: bytes = b"") -> str:
    """A command in a process of its own, as a user runs it; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", name, *map(os.fspath, arguments)],
        input=text,
        capture_output=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    said = (done.stdout + done.stderr).decode(errors="backslashreplace")
    assert "Traceback" not in said
    assert done.returncode == 0, said
    return said


def column(path: Path, name: str = "id") -> list[str]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [row[name] for row in csv.DictReader(lines)]


def assert_reported(report: Path, reasons: dict[str, str]) -> None:
    found = dict(zip(column(report), column(report, "reason"), strict=True))
    assert found.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in found[name]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    return untrained_run(tmp_path_factory.mktemp("runs") / "[/x]")


def test_predict(run: Path, tmp_path: Path) -> None:
    """Files, and a list of names with one that is no UTF-8; to a table called like markup."""
    folder, lines = hostile_folder(tmp_path / "in"), hostile_lines(tmp_path / "x.jsonl")
    single = tmp_path / f"single {NOT_UTF8}.cif"
    single.write_text(NACL)
    out = tmp_path / "[/x]" / "[bold]$^$.csv"
    said = command(
        "gatgnn_jax.predict", run, folder, lines, "-", "--out", out, text=os.fsencode(single)
    )
    assert str(out) in said
    assert sorted(column(out)) == sorted([*GOOD, "x]", "first", "odd label", "[/x]"])
    single_reason = {r"single latin-\udce9": "characters that cannot be printed"}
    assert_reported(
        out.with_name("[bold]$^$.skipped.csv"), FOLDER_REASONS | LINE_REASONS | single_reason
    )


@pytest.mark.slow
def test_train_a_folder(tmp_path: Path) -> None:
    """A CGCNN folder, as far as its table can name them, and a property called like a formula."""
    folder = hostile_folder(tmp_path / "in")
    names = [name for name in FOLDER_REASONS if "\\" not in name]
    numbers = [f"good-{number}" for number in range(6)]
    for name in numbers:
        (folder / f"{name}.cif").write_text(NACL)
    rows = [*numbers, *GOOD, *names, "line\nend", "../../etc/passwd", "y" * 200_000]
    with (folder / "id_prop.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["id", "$^$"])
        csv.writer(file).writerows([name, number] for number, name in enumerate(rows))
    path = tmp_path / "run [/x]"
    options = ["--data", folder, "--property", "$^$", "--run-dir", path, "--epochs", "1"]
    command("gatgnn_jax.train", *options, *TINY)
    split = json.loads((path / "split.json").read_text())
    assert sorted(itertools.chain(*split.values())) == sorted([*numbers, *GOOD])
    assert_reported(
        path / "skipped.csv",
        {name: FOLDER_REASONS[name] for name in [*names, r"line\nend"]}
        | {"passwd": "no structure file: passwd.cif is not there"}
        | {"y" * 40 + "…": "the id has 200,000 characters"},
    )


@pytest.mark.slow
def test_other_commands(run: Path, tmp_path: Path) -> None:
    folder, lines = hostile_folder(tmp_path / "in"), hostile_lines(tmp_path / "x.jsonl")
    good = [f"good-{number}" for number in range(8)]
    rows = [{"id": name, "cif": NACL, "target": 1} for name in good]
    with lines.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    dataset = tmp_path / "dataset [/x]"
    command("data_prep.build", lines, "--out", dataset)
    assert_reported(dataset / "skipped.csv", LINE_REASONS)
    vectors = tmp_path / "[/x] vectors"
    command("gatgnn_jax.embed", run, folder, lines, "--out", vectors / "$^$.csv")
    assert (vectors / "$^$.png").exists()
    assert_reported(vectors / "$^$.skipped.csv", FOLDER_REASONS | LINE_REASONS)
    said = command("gatgnn_jax.explain", run, folder, lines, "--out", tmp_path / "[/x] explained")
    for name, reason in (FOLDER_REASONS | LINE_REASONS).items():
        assert name in said
        assert reason in said


def test_a_run_is_called_by_its_property_as_far_as_a_file_can_be(tmp_path: Path) -> None:
    for name, expected in {
        "bulk_modulus": "bulk_modulus-001",
        "E per atom/eV": "E-per-atom-eV-001",
        "../../[/x]\0": "x-001",
        "$^$": "run-001",
        "y" * 300: "y" * 100 + "-001",
    }.items():
        assert next_run_directory(tmp_path, name) == tmp_path / expected


def test_impossible_names_are_slips_of_the_whole_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.json").symlink_to("nowhere")
    for name, message in {
        "x" * 300_000: "does not exist: check the path",
        "nul\0.cif": r"nul\x00.cif does not exist",
        "pipe.jsonl": "pipe.jsonl is a pipe or a device",
        "gone.json": "gone.json is a link to a file that is not there",
    }.items():
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{tmp_path / name}\n"))
        said = error_of(predict.main, [run, "-", "--out", tmp_path / "p.csv"], capsys)
        assert message in said or len(name) > 1000
        assert len(said) < 2000
