"""A source's configuration in words for the engineers' page. Only what is named here is shown, so no secret is. Pure."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from sync.config import Feed
from sync.config.settings import Schedule

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def described(feed: Feed) -> list[tuple[str, str]]:
    """Name and value, in the order to read them."""
    settings = feed.settings
    issuer = f"{settings.authority} {settings.identifier_type}".strip()
    rows = [
        ("Source", feed.name),
        ("Adapter", settings.adapter),
        ("Address", _address(str(settings.options.get("base_url") or ""))),
        ("Listens at", str(settings.options.get("listen") or "")),
        ("Patients known by", issuer),
        ("Read", _times(feed.schedule)),
        ("Read whole", _times(feed.full_resync)),
        ("Masters", ", ".join(name.replace("_", " ") for name in settings.mapping)),
    ]
    return [(name, value) for name, value in rows if value]


def _address(url: str) -> str:
    """Scheme, host and path: a user or a token in a URL is nobody's to see."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}" if parts.hostname else ""


def _times(schedule: Schedule | None) -> str:
    if schedule is None:
        return ""
    return f"every {_span(schedule.every)}" if schedule.every else f"cron {' '.join(schedule.cron or ())} ({schedule.time_zone})"


def _span(time: timedelta) -> str:
    """A duration as it is written in the configuration, in the largest unit that fits."""
    seconds = int(time.total_seconds())
    unit, size = next(((unit, size) for unit, size in UNITS if seconds % size == 0), ("s", 1))
    return f"{seconds // size}{unit}"
