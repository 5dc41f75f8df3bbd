"""Reading the options of a source, for every protocol alike; values may be text, as YAML gives it. Pure.

A wrong value is a ``ValueError`` that names the option and what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def own(name: str, options: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    """The settings that stand under one name."""
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
    """A list of texts; one text alone is a list of one."""
    value = options.get(name)
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else (str(value),)


def texts(options: Mapping[str, Any], name: str) -> dict[str, str]:
    """Names and texts."""
    return {str(key): str(value) for key, value in (options.get(name) or {}).items()}


def number(options: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """A number within bounds."""
    value = default if options.get(name) is None else options[name]
    try:
        made = float(value)
    except (TypeError, ValueError):
        made = least - 1
    if not least <= made <= most:
        raise ValueError(f"{name} is {value!r}: use a number from {least:g} to {most:g}")
    return made


def one_of(options: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """One of a few words; the first is the default."""
    value = str(options.get(name) or allowed[0])
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(allowed)}")
    return value
