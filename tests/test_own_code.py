"""Layers and global attentions from outside the package, as the README shows them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flax import nnx

import gatgnn_jax
from data_prep.config import GraphConfig
from gatgnn_jax import evaluate, explain, predict, register_layer, train
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.models.layers import AGATLayer
from tests.commands import TINY, error_of, predict_to, resume
from tests.crystals import bundled, rock_salt
from tests.models import arrays_of, batch_of, dataset_of, predictions, with_receivers

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(
    r"```(python|bash)\n(.*?)```", README.partition("## Changing the model")[2], re.S
)
FILES = {
    text.partition("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python"
}
[COMMAND] = [text for kind, text in BLOCKS if kind == "bash"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's files, and a crystal."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    rock_salt().to(filename=str(folder / "salt.cif"))
    return folder


@pytest.fixture(scope="module")
def own_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained with the README's own command, stopped after an epoch and gone on with."""
    run = tmp_path_factory.mktemp("runs") / "own"
    command = shlex.split(COMMAND)
    assert command[:3] == ["python", "-m", "gatgnn_jax.train"]
    small = ["--limit", "60", "--epochs", "2", "--batch-size", "32", *TINY]
    arguments = [*command[3:], *small, "--quiet", "--run-dir", str(run)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train.main(arguments) == 0
    (run / "summary.json").unlink()  # as if it had been killed before the end
    resume(run)
    return run


def test_it_trains_resumes_and_keeps_its_files(own_run: Path, folder: Path) -> None:
    config = json.loads((own_run / "config.json").read_text())["model"]
    assert config["model"] == "gated_mean.py:GatedMeanLayer"
    assert config["layer_options"] == ["depth=2"]
    for name, text in FILES.items():
        assert (own_run / "source" / name).read_text() == text
    assert np.isfinite(json.loads((own_run / "summary.json").read_text())["test_mae"])


def test_every_command_finds_them(own_run: Path, folder: Path, tmp_path: Path) -> None:
    """In a process of its own, which has never heard of the files."""
    crystal, out = folder / "salt.cif", tmp_path / "p.csv"
    arguments = [sys.executable, "-m", "gatgnn_jax.predict", str(own_run), str(crystal), "--quiet"]
    subprocess.run([*arguments, "--out", str(out)], check=True, timeout=300)
    assert np.isfinite(pd.read_csv(out).prediction).all()
    place = tmp_path / "explained"
    assert explain.main([str(own_run), str(crystal), "--out", str(place), "--quiet"]) == 0
    assert pd.read_csv(place / "attention.csv").weight.sum() == pytest.approx(1)
    assert "ElementAttention" in (place / "explain.html").read_text()
    assert evaluate.main([str(own_run), "--out", str(tmp_path / "e"), "--quiet"]) == 0


def test_code_of_a_run_from_elsewhere_is_run_only_if_asked(
    own_run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere, trace = tmp_path / "run", tmp_path / "trace"
    shutil.copytree(own_run, elsewhere)
    source = elsewhere / "source" / "gated_mean.py"
    source.write_text(f"open({str(trace)!r}, 'w').close()\n" + source.read_text())
    crystal = str(folder / "salt.cif")
    message = error_of(predict.main, [elsewhere, crystal, "--out", tmp_path / "p.csv"], capsys)
    assert "--trust-code" in message and "gated_mean.py" in message
    assert not trace.exists()
    assert predict_to(tmp_path / "p.csv", elsewhere, Path(crystal), options=["--trust-code"]) == 0
    assert trace.exists()
    source.unlink()
    message = error_of(predict.main, [elsewhere, crystal, "--out", tmp_path / "q.csv"], capsys)
    assert "missing" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "nothing.py:Layer"], "nothing.py"),
        (["--model", "gated_mean.py:Gated"], "GatedMeanLayer"),
        (["--model", "broken.py:Layer"], "NameError"),
        (["--model", "no_such_module:Layer"], "no_such_module"),
        (["--model", "gatgn"], "gated-gatgnn"),
        (["--global-attention", "compositon"], "composition"),
        (["--model", "gated_mean.py:GatedMeanLayer", "--residual"], "--residual"),
        (["--model", "gated_mean.py:GatedMeanLayer", "--layer-options", "width=3"], "depth"),
        (["--model", "cgcnn", "--layer-options", "depth=3"], "--layer-options"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[1:]),
)
def test_what_cannot_be_is_said_before_any_work(
    arguments: list[str],
    expected: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    Path("broken.py").write_text("undefined_name\n")
    run = tmp_path / "run"
    assert expected in error_of(train.main, [*arguments, "--run-dir", run], capsys)
    assert not run.exists()


@pytest.mark.slow
def test_a_class_with_a_name_is_trained_like_one_of_ours(tmp_path: Path) -> None:
    register_layer("another-agat", AGATLayer)
    settings = {"num_layers": 1, "neurons": 8, "heads": 2, "hidden_layers": 1, "epochs": 1}
    values = []
    for name in ("gatgnn", "another-agat"):
        path = tmp_path / name
        fitted = gatgnn_jax.fit(limit=40, model=name, run_dir=path, quiet=True, **settings)
        values.append(fitted.predict(rock_salt()).values)
    np.testing.assert_array_equal(*values)


def test_the_layer_works_on_quotient_graphs() -> None:
    """As on full ones, and in both layouts."""
    scope: dict[str, type] = {}
    exec(FILES["gated_mean.py"], scope)
    register_layer("readme", scope["GatedMeanLayer"])
    structures = [structure for _, structure in bundled(150)]
    results = []
    for config in (GraphConfig(reduce=False), GraphConfig()):
        settings = ModelConfig(model="readme", num_layers=2, neurons=8)
        model = GATGNN(settings, config, 1, rngs=nnx.Rngs(0))
        graph = batch_of(arrays_of(dataset_of(structures, config)))
        results.append(predictions(model, graph, len(structures)))
        if graph.receivers is None:
            results.append(predictions(model, with_receivers(graph), len(structures)))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4)
    assert np.ptp(results[0]) > 1e-3
