"""Logs: one line per event, as JSON or as plain text for a terminal, without patient data.

Events are constant sentences; values are sources, run ids, counts and reason codes. An exception is logged with its type and place, never
with its text, which may quote data. For libraries that handle payloads or addresses only the place is logged, at every level.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

OURS = "emr_sync"
ACCESS = "uvicorn.access"
UVICORN = ("uvicorn", "uvicorn.error", ACCESS)
KNOWN = (OURS, "uvicorn", "alembic")
"""Loggers whose texts contain no patient data."""
OPAQUE = re.compile(r"(pt|run|rej|key)_[0-9a-f]+")
REQUEST = re.compile(r'"(\S+) (\S+) HTTP/[\d.]+" (\d+)')
WORD = re.compile(r"[a-z][a-z.-]*|v1|")


@dataclass(frozen=True, slots=True)
class Logging:
    """``level`` debug to error; ``format`` auto, json or console."""

    level: str = "info"
    format: str = "auto"


def prepare(settings: Logging) -> None:
    """Like :func:`configure`, but delayed until the first line: most commands log nothing and should not wait for the imports."""
    _attach(_DelayedHandler(settings), settings)


def configure(settings: Logging) -> None:
    """Sends all logs to stderr in one format. Called once by the program, never at import."""
    import structlog

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
        wrapper_class=structlog.make_filtering_bound_logger(_level(settings)),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    handler = _ToStderr()
    foreign = [_without_quotes, *shared]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_remove_meta, renderer], foreign_pre_chain=foreign))
    _attach(handler, settings)


def _attach(handler: logging.Handler, settings: Logging) -> None:
    level = _level(settings)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))  # below that level SQLAlchemy logs rows, and urllib3 URLs
    for name in (OURS, ACCESS):
        logging.getLogger(name).setLevel(level)
    for name in UVICORN:  # its own handlers, if set up, would log whole URLs
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [], True


def _level(settings: Logging) -> int:
    return logging.getLevelNamesMapping()[settings.level.upper()]


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to the current stderr, not to the one at the start of the program."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _DelayedHandler(logging.Handler):
    """Configures the real handler at the first line, and passes the line on to it."""

    def __init__(self, settings: Logging) -> None:
        super().__init__()
        self.settings = settings

    def configure(self) -> None:
        if self in logging.getLogger().handlers:  # not configured in the meantime
            configure(self.settings)

    def emit(self, record: logging.LogRecord) -> None:
        self.configure()
        logging.getLogger().handle(record)


class _Logger:
    """A structlog logger, created at the first line."""

    def __init__(self, bound: dict[str, str]) -> None:
        self.bound = bound

    def __getattr__(self, name: str) -> Any:
        import structlog

        for handler in logging.getLogger().handlers:
            if isinstance(handler, _DelayedHandler):
                handler.configure()
        return getattr(structlog.get_logger(**self.bound), name)


def logger(**bound: str) -> FilteringBoundLogger:
    """A logger that adds these values to every event."""
    log: Any = _Logger(bound)
    return log  # type: ignore[no-any-return]


class RareWarnings:
    """Logs a warning at most once a minute with the same values: for what anybody may cause as often as they like."""

    EVERY = 60.0

    def __init__(self) -> None:
        self._logged: dict[tuple[str, ...], float] = {}

    def warn(self, event: str, **values: str) -> None:
        now, key = time.monotonic(), (event, *values.values())
        if now - self._logged.get(key, float("-inf")) >= self.EVERY:
            self._logged[key] = now
            logger().warning(event, **values)


def place(error: BaseException) -> str:
    """The type of an exception, and the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def shape(path: str) -> str:
    """A request's path without a caller's data: known words and opaque ids are kept, everything else becomes ``…``."""
    parts = path.partition("?")[0].split("/")
    return "/".join(part if _is_known(index, part) else "…" for index, part in enumerate(parts))


def _is_known(index: int, part: str) -> bool:
    return OPAQUE.fullmatch(part) is not None or (index != 3 and WORD.fullmatch(part) is not None)


def _without_quotes(_logger: Any, _method: str, event: Any) -> Any:
    """Removes what a library's text may quote."""
    record = event["_record"]
    if record.name == ACCESS:
        found = REQUEST.search(event["event"])
        event["event"] = f"{found[1]} {shape(found[2])} {found[3]}" if found else "a request"
    elif record.name.partition(".")[0] not in KNOWN:
        event |= {"event": "a library reports", "logger": record.name, "at": f"{record.filename}:{record.lineno}"}
    return event


def _without_text(_logger: Any, _method: str, event: Any) -> Any:
    """Replaces exceptions by their type and place."""
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
