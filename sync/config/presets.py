"""What is known of each EMR: one YAML file each in ``adapters/presets``, in the same words as a site's own mapping."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from adapters.mapping import allow_list
from sync.config.check import checked
from sync.config.document import read
from sync.config.model import ContactPart, PresetPart, RulePart
from sync.config.problems import ConfigError

GROUPS = ("tables", "dialect")
"""Options of delimited extracts that consist of parts."""


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


def options_under(preset: PresetPart | None, site: Mapping[str, Any]) -> dict[str, Any]:
    """The site's options over the preset's. Of :data:`GROUPS` a site may write only what differs."""
    known = preset.options if preset else {}
    return {**known, **site, **{name: _over(known[name], site[name]) for name in GROUPS if name in known and name in site}}


def _over(known: Any, own: Any) -> Any:
    """The site's part over the preset's, part by part."""
    if not isinstance(known, dict) or not isinstance(own, dict):
        return own
    return {**known, **{name: _over(known[name], one) if name in known else one for name, one in own.items()}}


def contact_under(preset: PresetPart | None, site: ContactPart) -> dict[str, Any]:
    """The site's codes of phone numbers and addresses in addition to the preset's."""
    known, own = (one.model_dump(exclude_defaults=True) if one else {} for one in (preset and preset.contact, site))
    return {name: _joined(known.get(name), own.get(name)) for name in {**known, **own}}


def _joined(known: Any, own: Any) -> Any:
    return {**(known or {}), **(own or {})} if isinstance(known or own, dict) else [*(known or ()), *(own or ())]


def languages_under(preset: PresetPart | None, site: Mapping[str, str]) -> dict[str, str]:
    """The site's language codes over the preset's."""
    return {**(preset.languages if preset else {}), **site}


def rules_under(preset: PresetPart | None, site: Mapping[str, RulePart]) -> dict[str, Mapping[str, Any]]:
    """The site's rules over the preset's, as adapters take them."""
    own = _plain(site)
    return (allow_list.under(_plain(preset.mapping), own) if preset else {}) | own


def _plain(mapping: Mapping[str, RulePart]) -> dict[str, Mapping[str, Any]]:
    return {attribute: rule.model_dump(by_alias=True, exclude_none=True, exclude={"source"}) for attribute, rule in mapping.items()}
