"""Configured sources by name, and their adapters. Needs no database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.base import Adapter, Listener, Payload, Sink
from adapters.registry import build, build_sink
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


def payloads(reader: Adapter | Listener, paths: Sequence[Path]) -> Iterator[Payload]:
    """Every message or resource in the files and folders, in the order of the files' names."""
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            yield from reader.payloads(file)


def sink(feed: ConfiguredSource) -> Sink:
    """What writes opt-outs to the source's EMR. Raises ``UsageError`` if nothing does."""
    if feed.write_back is None:
        raise UsageError(f"{feed.name} has no write_back")
    back = feed.write_back
    return build_sink(back.sink, feed.settings, back.attributes, back.options)
