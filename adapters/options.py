"""Reading the options of a source, for every protocol alike: names and kinds were checked by its ``schema``. Pure.

An invalid value raises a ``ValueError`` that names the option and the values that it accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; a single text is a list of one."""
    value = options.get(name)
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else (str(value),)


def number(options: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """A number within bounds."""
    value = default if options.get(name) is None else float(options[name])
    if not least <= value <= most:
        raise ValueError(f"{name} is {value:g}: use a number from {least:g} to {most:g}")
    return value
