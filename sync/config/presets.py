"""What is known of each EMR: one YAML file each in ``adapters/presets``, in the same words as a site's own mapping."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sync.config.check import checked
from sync.config.document import read
from sync.config.model import PresetPart
from sync.config.problems import ConfigError


@cache
def names() -> tuple[str, ...]:
    """Every preset there is."""
    return tuple(
        sorted(file.name.removesuffix(".yaml") for file in files("adapters").joinpath("presets").iterdir() if file.name.endswith(".yaml"))
    )


@cache
def preset(name: str) -> PresetPart:
    """One preset. Raises ``ConfigError`` when its file is wrong (a test loads them all), ``KeyError`` when there is none."""
    if name not in names():
        raise KeyError(name)
    document = read(files("adapters").joinpath("presets", f"{name}.yaml").read_text("utf-8"))
    found = checked(document, (), PresetPart, document.data)
    if found is None or document.mistakes:
        raise ConfigError(f"preset {name}", document.mistakes)
    return found
