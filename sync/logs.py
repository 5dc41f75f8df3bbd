"""Logs: one line per event, JSON for machines and plain for a terminal, nothing about any patient.

Events are constant sentences; values are sources, run ids, counts and reason codes. An exception is logged by its kind and
place, never by its text, which may quote what it stumbled over.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

from sync.config.settings import Logging

NOISY = ("apscheduler", "uvicorn", "uvicorn.error", "alembic")


def configure(settings: Logging) -> None:
    """Sends everything to stderr in one form. Called once, by the program; never at import."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_text,
    ]
    plain = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if plain else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    handler = _ToStderr()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_remove_meta, renderer], foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to what stderr is now, not to what it was when the program started."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def logger(**bound: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that says these values with every event."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(**bound)
    return log


def place(error: BaseException) -> str:
    """Where an exception came from: file, line and kind."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _without_text(_logger: Any, _method: str, event: Any) -> Any:
    """Replaces exceptions by their kind and place."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = place(error)
    return event


def _remove_meta(_logger: Any, _method: str, event: Any) -> Any:
    record = event.pop("_record", None)
    event.pop("_from_structlog", None)
    if record is not None and record.exc_info and record.exc_info[1] is not None:
        event["error"] = place(record.exc_info[1])
    return event
