"""What `export` does: the files of a model that predicts without this package."""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jax

from data_prep.errors import UserError
from data_prep.files import replacing, write_text
from data_prep.progress import plain_console
from gatgnn_jax import __version__
from gatgnn_jax.cli import output_folder
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.prediction.portable import PLATFORMS, portable
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from gatgnn_jax.export import ExportOptions


def export(options: "ExportOptions") -> int:
    """Write both files; the exit status."""
    if not find_spec("flatbuffers"):
        raise UserError('export needs flatbuffers: pip install "gatgnn_jax[export]"')
    use_device("cpu")
    run = RunDirectory.open(options.run, options.trust_code)
    config, graphdef, model = run.load_best()
    function = portable(config, graphdef, model)
    folder = output_folder(options.out)
    with replacing(folder / "model.stablehlo") as file:
        file.write(function)
    write_text(folder / "model.json", json.dumps(described(config), indent=1) + "\n")
    console = plain_console(quiet=options.quiet)
    console.print(
        f"{folder / 'model.stablehlo'}: {len(function) / 1e6:.1f} MB for "
        f"{', '.join(PLATFORMS)}; how to call it: docs/export.md"
    )
    return 0


def described(config: RunConfig) -> dict[str, Any]:
    """What a caller has to know of the model."""
    columns = [
        {"property": p.name, "unit": p.unit}
        if p.task == "regression"
        else {"property": p.name, "probability_of": name}
        for p in config.properties
        for name in (p.class_names[1:] if len(p.class_names) == 2 else p.class_names or ("",))
    ]
    return {
        "columns": columns,
        "radius": config.graph.radius,
        "max_neighbors": config.graph.max_neighbors,
        "training_elements": sorted(config.data.known_elements),
        "made_with": {"gatgnn_jax": __version__, "jax": jax.__version__},
    }
