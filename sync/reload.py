"""Reads the configuration again while the process serves: on SIGHUP, ``systemctl reload`` or ``emr-sync reload``.

A child process reads no file: its parent hands over what it has in force (``sync.child``).

The file is checked first, as ``check-config`` does. If anything is wrong, or a setting was changed that only a start can change, nothing
is changed and the reason is logged in one line. A change that would permit contact with too many patients is held by the safeguard, as at
a start (``sync.proposing``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from store.db import outage
from sync import logs, retry, service_manager
from sync.config import ConfigError, Settings, plain
from sync.config.loading import inspect
from sync.config.problems import UsageError

Request = bool | Settings | str
"""``True``: read the file. ``False``: stop. Settings: use them, as the parent process does; a text: why it uses no others."""
RETRY_EVERY = 5.0
"""Seconds until settings that are in force in the parent are tried again."""
AT_START = {
    "database": "database",
    "listen": "api.listen",
    "trusted_proxies": "api.trusted_proxies",
    "public_url": "api.public_url",
    "providers": "providers",
    "webhooks": "webhooks",
    "access_log": "api.access_log",
    "connections": "api.connections",
    "unknown": "api.unknown_patients",
    "session_idle": "api.session_idle",
    "session_longest": "api.session_longest",
    "openid": "openid",
    "logs": "logs",
    "parallel": "work.parallel",
    "silence": "work.silence",
}
"""Fields of the settings that only a start can change, and their names in the file."""


def read(current: Settings) -> Settings:
    """The file of the current settings, read again. Raises ``ConfigError``, or ``UsageError`` if it needs a restart."""
    from sync.config.whole import check_to_reload  # what it needs for keys is slow to import

    found = inspect(Path(current.file), more=check_to_reload)
    if found.settings is None:
        raise ConfigError(current.file, [one for one in found.mistakes if not one.warning])
    plain.check(found.settings)
    if needing := needs_restart(current, found.settings):
        raise UsageError(f"{current.file}: restart the service to change {', '.join(needing)}")
    return found.settings


def needs_restart(current: Settings, changed: Settings) -> list[str]:
    """The settings that differ and that only a start can change, by their names in the file."""
    found = [name for field, name in AT_START.items() if getattr(current, field) != getattr(changed, field)]
    return found + (["api.tls"] if (current.tls is None) != (changed.tls is None) else [])


def changed_sources(current: Settings, changed: Settings) -> dict[str, list[str]]:
    """The names of the sources that were added, removed and changed."""
    before, after = current.feeds, changed.feeds
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }


class Reloading:
    """A role of a serving process: reloads on request, one after the other, in a thread of its own.

    ``current`` gives the settings in use; ``apply`` uses others or raises; ``ended`` is told why not, or an empty text.
    """

    def __init__(
        self,
        requests: SimpleQueue[Request],
        current: Callable[[], Settings],
        apply: Callable[[Settings], None],
        ended: Callable[[str], None],
    ) -> None:
        self.requests, self.current, self.apply, self.ended = requests, current, apply, ended
        self.log: Any = logs.logger()
        self._thread = threading.Thread(target=self._serve, name="reload")

    def start(self) -> None:
        """Waits for requests: ``True`` in the queue."""
        self._thread.start()

    def stop(self) -> None:
        """Stops, after the reload in progress. May be called twice."""
        self.requests.put(False)
        if self._thread.is_alive():
            self._thread.join()

    def once(self, given: Settings | None = None) -> str:
        """Reloads now. Returns why the former configuration is still in use; an empty text if it is not."""
        before = self.current()
        try:
            changed = given or read(before)
            self.apply(changed)
        except (ConfigError, UsageError) as error:
            return self._not_reloaded(" ".join(str(error).split()))
        except Exception as error:
            if not retry.passes(error) and not outage.explanation(error):
                self.log.error("the reload failed", error=logs.place(error))
            return self._not_reloaded(outage.explanation(error) or f"internal error ({logs.place(error)}); please report this line")
        self.log.info("configuration reloaded", **changed_sources(before, changed))
        return ""

    def _not_reloaded(self, why: str) -> str:
        self.log.error("configuration not reloaded; the former one is in use", reason=why)
        return why

    def _serve(self) -> None:
        request = self.requests.get()
        while request is not False:
            service_manager.notify(service_manager.reloading())
            try:
                why_not = self._handled(request)
                self.ended(why_not)
            finally:
                service_manager.notify(service_manager.READY)
            request = self._next(request, again=bool(why_not) and isinstance(request, Settings))

    def _handled(self, request: Request) -> str:
        if isinstance(request, str):
            return request
        return self.once(request if isinstance(request, Settings) else None)

    def _next(self, request: Request, *, again: bool) -> Request:
        """The next request: the same one where it must be tried again and none came meanwhile."""
        try:
            return self.requests.get(timeout=RETRY_EVERY if again else None)
        except Empty:
            return request
