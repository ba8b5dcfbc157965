"""What `hub` does: runs to repositories of the Hugging Face Hub, and back."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data_prep.errors import UserError, one_line
from data_prep.files import replacing_folder, write_text
from data_prep.progress import plain_console
from gatgnn_jax.prediction.reliability import INTERVALS, NEIGHBORS
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import SEEN

if TYPE_CHECKING:
    from gatgnn_jax.hub import Pull, Push

T = TypeVar("T")

SHARED = [
    *("README.md", "config.json", "split.json", "summary.json", "skipped.csv"),
    *(INTERVALS, NEIGHBORS, SEEN, "checkpoints/best/*", "source/*.py"),
]
"""What of a run is pushed and pulled, as patterns; `*` stands for `/` too."""


def push(options: "Push") -> int:
    """Put a run into a repository; the exit status.

    Raises:
        UserError: the run is not trained, or the Hub refuses.
    """
    hub = _hub()
    run = RunDirectory.open(options.run)
    config = run.config()
    run.check_trained()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns("latest", ".*"))
        write_text(copy / "config.json", without_folders(config).to_json())
        if not (copy / "README.md").exists():  # ready-made models have their own
            summary = run.read_json("summary.json") if run.is_finished else {}
            write_text(copy / "README.md", card(options.repository, config, summary))
        _asked(
            lambda: hub.create_repo(options.repository, private=options.private, exist_ok=True),
            options.repository,
        )
        done = _asked(
            lambda: hub.upload_folder(
                repo_id=options.repository,
                folder_path=str(copy),
                allow_patterns=SHARED,
                commit_message="A run of gatgnn_jax",
            ),
            options.repository,
        )
    plain_console().print(f"{run.path} is in {options.repository}: {done}")
    return 0


def pull(options: "Pull") -> int:
    """Get a run from a repository; the exit status.

    Raises:
        UserError: there is none, it holds no run, or the place is taken.
    """
    hub = _hub()
    out = options.out
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as folder:
        _asked(
            lambda: hub.snapshot_download(
                repo_id=options.repository,
                revision=options.revision,
                local_dir=str(folder),
                allow_patterns=SHARED,
            ),
            options.repository,
        )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own
        run = RunDirectory(folder)
        if not (folder / "config.json").exists() or not run.is_trained:
            raise UserError(f"{options.repository} holds no run of gatgnn_jax")
        config = run.config()
    names = ", ".join(p.name for p in config.properties)
    plain_console().print(
        f"{out} predicts {names}:\n  python -m gatgnn_jax.predict {out} FILES…"
        + ("\nit has code of its own in source/: read it before you give --trust-code")
        * (out / "source").exists()
    )
    return 0


def without_folders(config: RunConfig) -> RunConfig:
    """Settings that tell nothing of the machine: of each path the name of the file alone."""

    def name(path: str | None) -> str | None:
        return None if path is None else Path(path).name

    data = replace(config.data, source=name(config.data.source), split=name(config.data.split))
    train = replace(config.train, init_from=name(config.train.init_from))
    return replace(config, data=data, train=train)


def card(name: str, config: RunConfig, summary: Mapping[str, Any]) -> str:
    """A model card: what it predicts, how well, and how it was trained and is used."""
    several = len(config.properties) > 1
    lines = []
    for p in config.properties:
        names = ("accuracy", "balanced_accuracy") if p.task == "classification" else ("mae", "r2")
        for subset in ("val", "test"):
            for score in names:
                value = summary.get(f"{subset}_{score}" + (f"_{p.name}" if several else ""))
                if value is not None:
                    unit = p.trained_unit if score == "mae" else ""
                    lines.append(f"| {p.name} | {subset} | {score} | {value:.4f} {unit} |")
    scores = ["| property | subset | score | value |", "|---|---|---|---|", *lines] if lines else []
    model, train, elements = config.model, config.train, sorted(config.data.known_elements)
    members = "one network" if train.ensemble == 1 else f"ensemble of {train.ensemble}"
    crystals = summary.get("crystals", {})
    counts = ", ".join(f"{count:,} {subset}" for subset, count in crystals.items())
    predicted = ", ".join(f"{p.name}{f' ({p.unit})' if p.unit else ''}" for p in config.properties)
    return "\n".join(
        [
            "---",
            "library_name: gatgnn_jax",
            "tags: [materials, crystals, graph-neural-network, jax]",
            "---",
            "",
            f"# {name.rpartition('/')[2]}",
            "",
            f"A model of gatgnn_jax that predicts {predicted} of a crystal from its structure.",
            "",
            *scores,
            "",
            f"- **Network**: {model.model}, {model.num_layers} layers of {model.neurons} neurons, "
            f"global attention {model.global_attention}; {members}.",
            f"- **Data**: {Path(config.data.source or 'the bundled crystals').name}"
            + (f"; crystals: {counts}." if counts else "."),
            f"- **Elements in training**: {', '.join(elements) or 'not known'}.",
            "- **All settings**: `config.json`.",
            "",
            "```bash",
            f"gatgnn-jax hub pull {name} --out model",
            "gatgnn-jax predict model my_crystals/",
            "```",
            "",
        ]
    )


def _hub() -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError:
        raise UserError('hub needs huggingface_hub: pip install "gatgnn_jax[hub]"') from None


def _asked(ask: Callable[[], T], repository: str) -> T:
    """What the Hub answers.

    Raises:
        UserError: it refuses, or cannot be reached.
    """
    try:
        return ask()
    except Exception as error:  # its errors and those of its network library have no common base
        raise UserError(f"{repository}: {type(error).__name__}: {one_line(error)}") from None
