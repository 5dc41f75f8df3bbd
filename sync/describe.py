"""The description of a source, for the operators' page and for ``check-config``. Only settings named here are shown: no secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from adapters.mapping import rules
from adapters.registry import LISTENERS
from store.web.pages.about import About, DescribedRule
from sync.config import ConfiguredSource
from sync.config.settings import Schedule

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
PLAIN_OPTIONS = {"listen": "Listens on", "path": "Folder", "host": "Server", "read": "Read mode", "group": "Group", "level": "Export level"}
"""The adapters' own settings without secrets, as configured."""
FALLBACKS = {"on_absent": "absent", "on_unknown": "unknown code"}


class SourceSummary(NamedTuple):
    """A source in one line. ``address``: where it listens, or what it reads. ``schedule``: when it is read; empty if it listens."""

    source: str
    enterprise: str
    adapter: str
    preset: str
    address: str
    schedule: str
    full_resync: str
    mapping: tuple[str, ...]


def overview(feed: ConfiguredSource) -> SourceSummary:
    """The source in one line, with the attributes that its rules read."""
    settings = feed.settings
    options = settings.options
    url = _address(str(options.get("base_url") or ""))
    address = url or next((str(options[name]) for name in ("listen", "connect", "host", "path") if options.get(name)), "")
    times, full = _times(feed.schedule), _times(feed.full_resync)
    return SourceSummary(feed.name, feed.enterprise, settings.adapter, settings.preset, address, times, full, tuple(settings.mapping))


def described(feed: ConfiguredSource) -> About:
    """The description: names and values in display order, and the mapping rule by rule."""
    settings = feed.settings
    options, auth = settings.options, settings.options.get("auth")
    rows = [
        ("Source", feed.name),
        ("Adapter", settings.adapter),
        ("Preset", settings.preset),
        ("Address", _address(str(options.get("base_url") or ""))),
        *((title, str(options.get(name) or "")) for name, title in PLAIN_OPTIONS.items()),
        ("Authentication", str(auth.get("kind") or "").replace("_", " ") if isinstance(auth, Mapping) else ""),
        ("Patient identifier", f"{settings.authority} {' or '.join(settings.identifier_types)}".strip()),
        ("Schedule", _times(feed.schedule)),
        ("Full resync", _times(feed.full_resync)),
        ("Time zone", settings.time_zone),
    ]
    mapping = tuple(_mapped(attribute, rule) for attribute, rule in settings.mapping.items())
    shown, sink = tuple((name, value) for name, value in rows if value), feed.write_back.sink if feed.write_back else ""
    return About(shown, mapping, settings.adapter in LISTENERS, feed.push is not None, sink)


def _mapped(attribute: str, rule: Mapping[str, Any]) -> DescribedRule:
    values = rule.get("values")
    codes = tuple((_word(code), _word(value)) for code, value in values.items()) if isinstance(values, Mapping) else ()
    read_from = " | ".join(rules.paths(rule)) or f"the standard fields, by {rule.get('by')}"
    fallbacks = [f"{label}: {str(rule[key]).replace('_', ' ')}" for key, label in FALLBACKS.items() if rule.get(key)]
    return DescribedRule(attribute, read_from, codes, ", ".join(fallbacks))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("_", " ")


def _address(url: str) -> str:
    """A URL's scheme, host, port and path, without a user or token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}" if parts.hostname else ""


def _times(schedule: Schedule | None) -> str:
    if schedule is None:
        return ""
    return f"every {_span(schedule.every)}" if schedule.every else f"cron {' '.join(schedule.cron or ())} ({schedule.time_zone})"


def _span(time: timedelta) -> str:
    """A duration as in the configuration, in the largest unit that divides it."""
    seconds = int(time.total_seconds())
    unit, size = next(((unit, size) for unit, size in UNITS if seconds % size == 0), ("s", 1))
    return f"{seconds // size}{unit}"
