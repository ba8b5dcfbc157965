"""`python -m gatgnn_jax.predict`, killed amid its work and called again."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from tests.commands import bundled_rows, predict_to
from tests.crystals import rock_salt

CUT_OFF = {
    "table.csv.part": "mp-1,1.5,log10(G",
    "table.csv.part.skipped": '["broken-0", "no',
    ".table.csv.part.json.0123abcd.new": '{"key": "',
    ".table.skipped.csv.0123abcd.new": "id,rea",
}
"""What a process that is killed amid its writing would leave behind."""


@pytest.mark.slow
def test_killed_and_resumed_every_crystal_is_accounted_for_once(untrained, tmp_path):
    """Killed twice without warning; the table is that of a run in one go, its rows in order."""
    source = tmp_path / "crystals.jsonl"
    lines = [json.dumps(row) for row in bundled_rows(600)]
    for place in (600, 350, 120, 0):
        lines.insert(place, json.dumps({"id": f"broken-{place}", "cif": "nothing"}))
    source.write_text("\n".join(lines) + "\n")
    options = ["--batch-size=32", "--workers=1"]
    command = [sys.executable, "-m", "gatgnn_jax.predict", untrained, source, *options, "--out"]
    assert predict_to(tmp_path / "whole.csv", untrained, source, options=options) == 0
    whole = pd.read_csv(tmp_path / "whole.csv")

    out = tmp_path / "killed" / "table.csv"
    state = out.with_name("table.csv.part.json")
    for least in (100, 300):
        process = subprocess.Popen([*command, out], stdout=subprocess.PIPE, text=True)
        while process.poll() is None and (not state.exists() or read(state)["done"] < least):
            time.sleep(0.01)
        process.kill()
        printed, _ = process.communicate()
        assert not out.exists()
        for name, text in CUT_OFF.items():
            with out.with_name(name).open("a") as part:
                part.write(text)
    assert "going on after" in printed
    assert predict_to(out, untrained, source, options=options) == 0
    table = pd.read_csv(out)
    assert table.id.tolist() == [row["id"] for row in bundled_rows(600)]
    np.testing.assert_allclose(table.prediction, whole.prediction, rtol=1e-4)
    pd.testing.assert_frame_equal(
        table.drop(columns=["prediction", "prediction_gpa"]),
        whole.drop(columns=["prediction", "prediction_gpa"]),
    )
    skipped = pd.read_csv(out.with_name("table.skipped.csv")).id.tolist()
    assert skipped == ["broken-0", "broken-120", "broken-350", "broken-600"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["table.csv", "table.skipped.csv"]


def read(path):
    return json.loads(path.read_text())


def test_other_files_are_not_gone_on_with(untrained, tmp_path):
    """Rows of an unfinished prediction count only if model and files are the same."""
    rock_salt().to(str(tmp_path / "a.cif"), fmt="cif")
    out = tmp_path / "table.csv"
    names = ("part", "part.json", "part.skipped")
    part, state, skipped = (out.with_name(f"table.csv.{name}") for name in names)
    unfinished = {"key": "of others", "bytes": 20, "done": 1, "rows": 1, "warnings": 0}
    part.write_text("id,prediction\nold,1\n")
    state.write_text(json.dumps(unfinished | {"skipped_bytes": 0}))
    skipped.touch()
    assert predict_to(out, untrained, tmp_path / "a.cif") == 0
    assert pd.read_csv(out).id.tolist() == ["a"]
    assert [path.suffix for path in tmp_path.iterdir() if path != out] == [".cif"]
