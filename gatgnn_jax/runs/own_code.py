"""Layers and global attentions of the user's own, from files outside the package.

`--model gated_mean.py:GatedMeanLayer` names a class in a file, `package.module:Class` one that can
be imported. The file is the user's and is run when the user names it. A run keeps a copy under
`source/`, which every later command finds; but a run directory may come from anybody, so the copy
is run only if a training on this machine has named it, or with `--trust-code`.
"""

import hashlib
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from data_prep.errors import UserError, one_line
from data_prep.files import kept_folder, write_text
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.global_attention import register_global_attention
from gatgnn_jax.models.layers import register_layer

FOLDER = "source"
"""Of a run, with the files that its settings name."""

TRUSTED = "trusted-code.txt"
"""In the cache: the SHA-256 of each file that a training here has named."""

REGISTER: Mapping[str, Callable[[str, type[Any]], None]] = {
    "model": register_layer,
    "global_attention": register_global_attention,
}
"""The settings that may name a class, and who is told of it."""


def adopt(models: Sequence[ModelConfig]) -> tuple[list[ModelConfig], dict[str, str]]:
    """Run and register what networks name by file or module, because their user says so.

    Returns:
        The networks with files by name alone, as a run has them, and the files' contents by name.

    Raises:
        UserError: no such file, module or class, or one that cannot be run.
    """
    sources: dict[str, str] = {}
    return [_adopted(model, sources) for model in models], sources


def _adopted(model: ModelConfig, sources: dict[str, str]) -> ModelConfig:
    """`adopt` one network; its files join `sources`."""
    names: dict[str, Any] = {}
    for setting, place, name in _named([model]):
        if not place.endswith(".py"):
            _register(setting, f"{place}:{name}", _imported(place), name)
            continue
        path = Path(place)
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {one_line(error)}") from None
        if sources.setdefault(path.name, source) != source:
            raise UserError(f"two files are called {path.name}: give one another name")
        own = f"{path.name}:{name}"
        _register(setting, own, _module(source, path), name)
        names[setting] = own
        _trust(source)
    return replace(model, **names)


def keep(run: Path, sources: Mapping[str, str]) -> None:
    """Put the files that a run's settings name into its directory."""
    for name, source in sources.items():
        (run / FOLDER).mkdir(exist_ok=True)
        write_text(run / FOLDER / name, source)


def restore(run: Path, models: Sequence[ModelConfig], trust_code: bool) -> None:
    """Run and register what a run's settings name, from its own copies.

    Raises:
        UserError: a copy is missing, is not trusted, or cannot be run.
    """
    for setting, place, name in _named(models):
        if not place.endswith(".py"):
            _register(setting, f"{place}:{name}", _imported(place), name)
            continue
        path = run / FOLDER / place
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{path} is missing: put back the file that defines {name}") from None
        if not trust_code and _digest(source) not in _trusted():
            raise UserError(
                f"{path} is code that came with the run and can do whatever you can do: read it, "
                "then give --trust-code (from Python trust_code=True)"
            )
        _register(setting, f"{place}:{name}", _module(source, path), name)


def _named(models: Sequence[ModelConfig]) -> list[tuple[str, str, str]]:
    """Setting, file or module, and class, of every setting that names a class."""
    found = []
    for model, setting in itertools.product(models, REGISTER):
        place, colon, name = getattr(model, setting).rpartition(":")
        if colon:
            found.append((setting, place, name))
    return found


def _register(setting: str, own_name: str, module: ModuleType, name: str) -> None:
    part = getattr(module, name, None)
    if not isinstance(part, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UserError(
            f"{own_name}: there is no class {name}; it has {', '.join(classes) or 'none'}"
        )
    REGISTER[setting](own_name, part)


def _imported(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ImportError as error:
        raise UserError(f"{place} cannot be imported: {one_line(error)}") from None


def _module(source: str, path: Path) -> ModuleType:
    """The module of a source; the same source is run once, so that its classes stay the same."""
    name = f"gatgnn_jax_own_{_digest(source)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[name]
        what = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"{path} cannot be run: {what}") from error
    return module


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _trusted() -> set[str]:
    home = kept_folder()
    try:
        return set() if home is None else set((home / TRUSTED).read_text().split())
    except OSError:
        return set()


def _trust(source: str) -> None:
    """Remember a file; without a place to remember it in, its runs need `--trust-code`."""
    home, known = kept_folder(), _trusted()
    if home is not None and _digest(source) not in known:
        home.mkdir(parents=True, exist_ok=True)
        write_text(home / TRUSTED, "\n".join(sorted(known | {_digest(source)})) + "\n")
