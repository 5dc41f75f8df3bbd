"""The configuration: YAML and the environment in, frozen settings or every error out.

Reading it takes pydantic and YAML, which are imported when it is read: not every command does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sync.config.problems import ConfigError, ConfigProblem
from sync.config.settings import Backoff, ConfiguredProvider, ConfiguredSource, SafeguardRule, Schedule, Settings

if TYPE_CHECKING:
    from sync.config.loading import chosen, inspect, inspect_text, load, load_to_look

LATER = ("chosen", "inspect", "inspect_text", "load", "load_to_look")
__all__ = [
    "Backoff",
    "ConfigError",
    "ConfigProblem",
    "ConfiguredProvider",
    "ConfiguredSource",
    "SafeguardRule",
    "Schedule",
    "Settings",
    "chosen",
    "inspect",
    "inspect_text",
    "load",
    "load_to_look",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(name)
    import sync.config.loading

    return getattr(sync.config.loading, name)
