"""Configured sources by name, and their adapters. Needs no database."""

from __future__ import annotations

from adapters.base import Adapter, Listener
from adapters.registry import build
from sync.config import ConfiguredSource, Settings
from sync.config.problems import UsageError
from sync.run import Lane


def feed(settings: Settings, source: str) -> ConfiguredSource:
    """One source of the settings. Raises ``UsageError`` if there is none with that name."""
    if source not in settings.feeds:
        raise UsageError(f"unknown source {source!r} in {settings.file}; it has {', '.join(settings.feeds) or 'none'}")
    return settings.feeds[source]


def lane(feed: ConfiguredSource) -> Lane:
    """The source's name and enterprise, for the engine."""
    return Lane(feed.name, feed.enterprise)


def adapter(feed: ConfiguredSource) -> Adapter | Listener:
    """The adapter of a source, whether it is read or listens."""
    return build(feed.settings)


def polled(feed: ConfiguredSource) -> Adapter:
    """The adapter of a source that is read. Raises ``UsageError`` for a listener."""
    found = adapter(feed)
    if isinstance(found, Listener):
        raise UsageError(f"{feed.name} is a listener and cannot be read; ask the EMR to send again, or ingest files")
    return found
