"""Settings of a training in a file: YAML, TOML, or the `config.json` of any run.

A file has options by the names that the command line gives them, `batch_size` or `batch-size`, as
they are or under `graph`, `model` and `train`:

    data: my_folder
    property: hardness
    model:
      num_layers: 3
    train:
      epochs: 300
      learning_rate: 2e-3

In a `config.json` the data and the properties stand in their own way; what it says is taken as if
it had been typed. Nothing here imports JAX.
"""

import dataclasses
import io
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_origin, get_type_hints

from data_prep.config import GraphConfig
from data_prep.errors import UserError, one_line
from data_prep.settings import no_setting
from gatgnn_jax.config import ModelConfig, TrainConfig

Settings = TypeVar("Settings")

SECTIONS: Mapping[str, type[Any]] = {
    "graph": GraphConfig,
    "model": ModelConfig,
    "train": TrainConfig,
}

HOMES = {f.name: name for name, kind in SECTIONS.items() for f in dataclasses.fields(kind)}
"""The section of each setting."""


class FileSettings(NamedTuple):
    """What a file gives, by the name of the option; nothing is checked but the names."""

    options: dict[str, Any]
    graph: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]

    @property
    def is_whole(self) -> bool:
        """Whether no setting of graph, model and training is left to a preset."""
        return all(name in getattr(self, section) for name, section in HOMES.items())


NOTHING = FileSettings({}, {}, {}, {})


def read_settings(path: Path, options: Collection[str]) -> FileSettings:
    """The settings in a file, or in the `config.json` of a run directory.

    Args:
        path: a .yaml, .yml, .toml or .json file, or a run directory.
        options: names that a file may have beside those of graph, model and training.

    Raises:
        UserError: it cannot be read, or has a name that is no setting.
    """
    path = path / "config.json" if path.is_dir() else path
    values = _parsed(path)
    try:
        return _of_run(values) if "format_version" in values else _by_section(values, options)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """A dataclass of settings with other values, as a file gives them: lists for tuples, …

    Raises:
        ValueError: a value that cannot be.
    """
    hints = get_type_hints(type(settings))
    own = {name: _as_declared(value, hints[name]) for name, value in values.items()}
    return dataclasses.replace(settings, **own)  # type: ignore[type-var]


def to_yaml(options: Mapping[str, Any], sections: Mapping[str, Any]) -> str:
    """Options and whole sections as a file that `read_settings` reads."""
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in options.items()}
    values = plain | {name: dataclasses.asdict(own) for name, own in sections.items()}
    text = io.StringIO()
    # By way of JSON, which knows of lists what YAML does not of tuples.
    _yaml().dump(json.loads(json.dumps(values)), text)
    return text.getvalue()


def _parsed(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            values: Any = tomllib.loads(text)
        else:
            values = json.loads(text) if path.suffix == ".json" else _yaml().load(text)
    except OSError as error:
        raise UserError(f"--config: {path} cannot be read: {error.strerror}") from None
    except (ValueError, YAMLError) as error:  # UnicodeDecodeError too
        kind = path.suffix[1:].upper() if path.suffix in (".toml", ".json") else "YAML"
        raise UserError(f"--config: {path} is no {kind}: {one_line(error)}") from None
    if not isinstance(values, Mapping):
        raise UserError(f"--config: {path} has no settings: write lines like epochs: 300")
    return values


def _yaml() -> Any:
    """YAML 1.2, where 1e-3 is a number, `no` a word, and a key that comes twice an error."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    return yaml


def _of_run(values: Mapping[str, Any]) -> FileSettings:
    """What the options were that a run came of."""
    try:
        data = values["data"]
        properties = values["properties"]
        options = {
            "data": data["source"],
            "limit": data["limit"],
            "split": data["split"],
            "property": ",".join(p["name"] for p in properties),
            "weight": data.get("weight"),
        }
        if len(properties) == 1:  # of several, each is what its name says
            options |= _own_property(properties[0])
        sections = [(name, dict(values[name])) for name in SECTIONS]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it is no whole config.json of a run ({one_line(error)})") from None
    found = FileSettings(options, {}, {}, {})
    for section, own in sections:
        for name, value in own.items():
            if name not in HOMES:
                raise ValueError(f"{section}.{no_setting(name, HOMES)}")
            getattr(found, HOMES[name])[name] = value  # an older run may have it elsewhere
    return found


def _own_property(p: Mapping[str, Any]) -> dict[str, Any]:
    """The options that make a column the property that it is in a run."""
    if p["task"] == "regression":
        return {name: p[name] for name in ("task", "unit", "transform")}
    return {"task": p["task"], "class_weight": "balanced" if p.get("class_weights") else "none"}


def _by_section(values: Mapping[str, Any], options: Collection[str]) -> FileSettings:
    """Settings where they belong, whether they were given under a section or not."""
    found = FileSettings({}, {}, {}, {})
    plain = {str(name).replace("-", "_"): value for name, value in values.items()}
    for name, value in plain.items():
        if name in SECTIONS and (name not in HOMES or isinstance(value, Mapping)):
            if not isinstance(value, Mapping):
                raise ValueError(f"{name} is {value!r}: give settings under it, as {name}: …")
            own = {str(key).replace("-", "_"): entry for key, entry in value.items()}
            for key in own:
                if HOMES.get(key) != name:
                    known = [field for field, home in HOMES.items() if home == name]
                    raise ValueError(f"{name}.{no_setting(key, known)}")
            if twice := set(own) & set(getattr(found, name)):
                raise ValueError(f"{min(twice)} stands there twice, once of them under {name}")
            getattr(found, name).update(own)
        elif name in HOMES:
            own = getattr(found, HOMES[name])
            if name in own:
                raise ValueError(f"{name} stands there twice, once of them under {HOMES[name]}")
            own[name] = value
        elif name in options:
            found.options[name] = value
        else:
            raise ValueError(no_setting(name, [*options, *SECTIONS, *HOMES]))
    return found


def _as_declared(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint == Path | None and isinstance(value, str):
        return Path(value)
    return value
