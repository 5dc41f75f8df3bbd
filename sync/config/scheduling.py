"""Schedules as they are written: an interval or a cron line."""

from __future__ import annotations

from sync.config import cron
from sync.config.document import Document
from sync.config.model import SchedulePart
from sync.config.problems import Path
from sync.config.settings import Schedule


def schedule(document: Document, path: Path, part: SchedulePart | None, zone: str) -> Schedule | None:
    """The schedule; ``None`` if there is none, or after an error was reported."""
    if part is None:
        return None
    if (part.every is None) == (part.cron is None):
        document.mistake(path, "needs either 'every: 15m' or 'cron: \"*/15 * * * *\"'; write one of them")
        return None
    try:
        return Schedule(part.every, cron.parse(part.cron) if part.cron is not None else None, part.jitter, zone)
    except ValueError as error:
        document.mistake((*path, "cron"), str(error))
        return None
