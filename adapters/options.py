"""Reads the options of a source, for every protocol. Options of the site override those of the preset. Pure.

An invalid value raises a ``ValueError`` that names the option and the values that it accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.base import SourceSettings

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def joined(settings: SourceSettings) -> dict[str, Any]:
    """The options of the preset, overridden by those of the site."""
    return {**(settings.preset.get("options") or {}), **settings.options}


def section(name: str, options: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    """The settings of one section. ``ValueError`` for a setting that is not in ``known``."""
    if not isinstance(options, Mapping):
        raise ValueError(f"{name} must be a section with settings: {', '.join(known)}")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown setting {name}.{unknown[0]}: use {', '.join(known)}")
    return options


def switch(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A yes-or-no option."""
    value = options.get(name)
    text = str(value).lower()
    if value is None or text in TRUE or text in FALSE:
        return default if value is None else text in TRUE
    raise ValueError(f"{name} is {value!r}: use true or false")


def listed(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; a single text is a list of one."""
    value = options.get(name)
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else (str(value),)


def texts(options: Mapping[str, Any], name: str) -> dict[str, str]:
    """A section of names and texts."""
    return {str(key): str(value) for key, value in (options.get(name) or {}).items()}


def number(options: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """A number within bounds."""
    value = default if options.get(name) is None else options[name]
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = least - 1
    if not least <= found <= most:
        raise ValueError(f"{name} is {value!r}: use a number from {least:g} to {most:g}")
    return found


def one_of(options: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words; the first is the default."""
    value = str(options.get(name) or allowed[0])
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(allowed)}")
    return value
