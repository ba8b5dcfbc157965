"""Runs go to a hub and come back; a folder stands in for the service, which needs an account."""

import fnmatch
import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatgnn_jax import evaluate, hub
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import assert_same_weights, error_of, predict_to, untrained_run, write_source
from tests.crystals import rock_salt

client = pytest.importorskip("huggingface_hub")


class Service:
    """Keeps repositories as folders; every call has to fit the real client's."""

    def __init__(self, root: Path):
        self.root = root

    def create_repo(self, *arguments: Any, **settings: Any) -> None:
        asked = inspect.signature(client.create_repo).bind(*arguments, **settings).arguments
        assert asked["exist_ok"]
        (self.root / asked["repo_id"]).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *arguments: Any, **settings: Any) -> str:
        asked = inspect.signature(client.HfApi().upload_folder).bind(*arguments, **settings)
        self._copy(
            Path(asked.arguments["folder_path"]),
            self.root / asked.arguments["repo_id"],
            asked.arguments["allow_patterns"],
        )
        return "commit 1"

    def snapshot_download(self, *arguments: Any, **settings: Any) -> None:
        asked = inspect.signature(client.snapshot_download).bind(*arguments, **settings).arguments
        place = self.root / asked["repo_id"]
        if not place.exists():
            raise ConnectionError("404 Client Error")
        self._copy(place, Path(asked["local_dir"]), asked["allow_patterns"])

    def _copy(self, source: Path, target: Path, patterns: list[str]) -> None:
        for file in source.rglob("*"):
            name = file.relative_to(source).as_posix()
            if file.is_file() and any(fnmatch.fnmatch(name, own) for own in patterns):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target / name)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = Service(tmp_path / "hub")
    monkeypatch.setattr("gatgnn_jax.jobs.hub._hub", lambda: own)
    return own.root


def test_a_run_comes_back_as_it_was(run: Path, service: Path, tmp_path: Path) -> None:
    assert hub.main(["push", str(run), "me/moduli"]) == 0
    pushed = {file.relative_to(service / "me/moduli").as_posix() for file in service.rglob("*.*")}
    assert {"README.md", "config.json", "split.json", "intervals.json"} <= pushed
    assert not any("latest" in name or name.endswith("predictions.csv") for name in pushed)
    card = (service / "me/moduli/README.md").read_text()
    summary = RunDirectory(run).read_json("summary.json")
    assert f"| bulk_modulus | test | mae | {summary['test_mae']:.4f} log10(GPa) |" in card
    assert card.startswith("---\nlibrary_name: gatgnn_jax\n")

    theirs = tmp_path / "theirs"
    assert hub.main(["pull", "me/moduli", "--out", str(theirs)]) == 0
    assert_same_weights(theirs, run)
    crystal = tmp_path / "a.cif"
    rock_salt().to(filename=str(crystal))
    for place in (run, theirs):
        assert predict_to(tmp_path / f"{place.name}.csv", place, crystal) == 0
    tables = [(tmp_path / f"{place.name}.csv").read_bytes() for place in (run, theirs)]
    assert tables[0] == tables[1]
    assert evaluate.main([str(theirs), "--quiet", "--out", str(tmp_path / "scores")]) == 0


def test_folders_of_the_machine_stay_at_home(service: Path, tmp_path: Path) -> None:
    source = tmp_path / "secret" / "moduli.jsonl"
    source.parent.mkdir()
    write_source(source, 3, lambda number, targets: targets)
    run = RunDirectory(untrained_run(tmp_path / "run", source=source))
    config = run.config()
    train = replace(config.train, init_from=str(tmp_path / "secret" / "parent"))
    run.write_text("config.json", replace(config, train=train).to_json())
    assert hub.main(["push", str(run.path), "me/x"]) == 0
    for name in ("config.json", "README.md"):
        text = (service / "me/x" / name).read_text()
        assert "moduli.jsonl" in text
        assert "secret" not in text


def test_what_goes_wrong_is_explained(
    service: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    message = error_of(hub.main, ["pull", "me/nothing", "--out", out], capsys)
    assert "me/nothing: ConnectionError: 404" in message
    (service / "me/other").mkdir(parents=True)
    (service / "me/other/README.md").write_text("of something else")
    assert "no run of gatgnn_jax" in error_of(hub.main, ["pull", "me/other", "--out", out], capsys)
    assert not out.exists()
    (out / ".git").mkdir(parents=True)
    assert "is there already" in error_of(hub.main, ["pull", "me/nothing", "--out", out], capsys)
    assert (out / ".git").exists()
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".new")] == []
    assert "is no run" in error_of(hub.main, ["push", tmp_path / "nowhere", "me/x"], capsys)
