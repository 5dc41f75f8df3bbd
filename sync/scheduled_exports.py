"""Writes suppression lists on their schedules (``exports`` in the configuration), and delivers them to SFTP servers.

One process at a time writes a due list. Lists that wait for a server are delivered before another is written, in their order. A list that
could not be delivered is tried again after a minute.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.base import AdapterError
from store.audit.audit_log import EXPORTED_SUPPRESSIONS, Audit
from store.domain.decision_request import DecisionRequest
from store.domain.suppression import Suppression
from store.patients.suppressions import suppressions
from store.runs.schedule_times import Due, Key, ScheduleTimes
from store.runs.source_notes import SourceNotes
from sync import logs
from sync.config.problems import UsageError
from sync.config.settings import ConfiguredExport
from sync.due import Timetable
from sync.exports import SuppressionList, WrittenList, complete_lists, last_marker, write_list
from sync.housekeeping import Chore
from sync.measured import ExportState
from sync.runtime import Runtime

EVERY = 1.0
RETRY = timedelta(minutes=1)
EXPORT = "export"
DELIVERED, FAILING, LAST = "delivered", "failing", "last"
FAILED = "a suppression list was not delivered; the sender still has the previous one"


class ScheduledExports:
    """The exports of all enterprises. Several processes may have one."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.times = runtime, ScheduleTimes(runtime.database)
        self.log: Any = logs.logger()

    def once(self) -> int:
        """Writes and delivers what is due. Returns how many lists that were."""
        exports = self.runtime.settings.exports.values()
        stored = self.times.read() if exports else {}
        due = [one for one in exports if self._is_due(one, stored.get(_key(one)))]
        return sum(self._run(one) for one in due)

    def _is_due(self, export: ConfiguredExport, stored: Due | None) -> bool:
        """Whether it is due, for this process alone: its next time is set."""
        key, table, now = _key(export), Timetable(export.schedule, at_once=True), self.runtime.clock()
        due = table.current(stored, now)
        if due == stored and due.due > now:
            return False
        with self.times.turn() as (transaction, all_stored):
            due = table.current(all_stored.get(key), now)
            is_due = due.due <= now
            self.times.keep(transaction, {key: table.next_after_request(due, now, random.random()) if is_due else due})
        return is_due

    def _run(self, export: ConfiguredExport) -> int:
        try:
            self._deliver_new(export)
        except Exception as error:
            self._failed(export, _why(error))
            return 0
        now = self.runtime.clock().isoformat()
        notes = notes_of(self.runtime, export)
        notes.change(DELIVERED, lambda _: now)
        notes.change(FAILING, lambda _: "")
        self.runtime.metrics.exports.add(export.name, DELIVERED)
        return 1

    def _deliver_new(self, export: ConfiguredExport) -> None:
        folder, which = Path(export.folder), _which(self.runtime, export)
        self._upload(export, folder, which)
        notes, last = notes_of(self.runtime, export), last_marker(folder, which)
        # A delta to a list that another machine has followed by its own would leave addresses out
        is_delta = export.delta and (last is None or notes.read(LAST) == last)
        write_suppressions(self.runtime, folder, which, actor=f"{EXPORT}:{export.name}", delta=is_delta)
        notes.change(LAST, lambda _: last_marker(folder, which) or "")
        self._upload(export, folder, which)

    def _upload(self, export: ConfiguredExport, folder: Path, which: SuppressionList) -> None:
        """Delivers the lists in the folder, and removes them here."""
        if export.sftp is None or not (lists := complete_lists(folder, which)):
            return
        from adapters.folders.sftp import SftpUpload  # the library takes long to import

        upload = SftpUpload(export.sftp)
        for one in lists:
            upload.deliver(one.files)
            one.remove()

    def _failed(self, export: ConfiguredExport, why: str) -> None:
        now, key = self.runtime.clock(), _key(export)
        self.runtime.metrics.exports.add(export.name, "failed")
        self.log.error(FAILED, export=export.name, reason=why)
        notes_of(self.runtime, export).change(FAILING, lambda since: since or now.isoformat())
        with self.times.turn() as (transaction, stored):
            if (due := stored.get(key)) is not None:
                self.times.keep(transaction, {key: Due(due.schedule, min(due.due, now + RETRY), due.asked)})


def write_suppressions(runtime: Runtime, folder: Path, which: SuppressionList, *, actor: str, delta: bool) -> WrittenList:
    """Reads a list and writes it to a folder. The export is in the audit log before anything is written."""
    now = runtime.clock()
    request = DecisionRequest(message_type=which.message_type, channels=(which.channel,), line=which.line)

    def read() -> Mapping[str, Suppression]:
        found = suppressions(runtime.preferences, which.enterprise, request, now)
        detail = {"channel": which.channel, "line": which.line, "message_type": which.message_type, "addresses": len(found)}
        Audit(runtime.database).note(which.enterprise, EXPORTED_SUPPRESSIONS, "", actor=actor, now=now, **detail)
        return found

    return write_list(folder, which, read, now, delta=delta)


def exports_written(runtime: Runtime) -> dict[str, Chore]:
    """The chore."""
    return {"suppression lists delivered": ScheduledExports(runtime).once}


def export_states(runtime: Runtime) -> dict[str, ExportState]:
    """Export -> whether its lists are delivered."""
    return {name: _state(notes_of(runtime, one).read) for name, one in runtime.settings.exports.items()}


def notes_of(runtime: Runtime, export: ConfiguredExport) -> SourceNotes:
    """What is known of an export. The colon keeps it apart from sources, whose names have none."""
    return SourceNotes(runtime.database, f"{EXPORT}:{export.name}", export.enterprise)


def _state(read: Callable[[str], str | None]) -> ExportState:
    delivered, failing = (datetime.fromisoformat(text) if (text := read(key)) else None for key in (DELIVERED, FAILING))
    return ExportState(delivered, failing)


def _key(export: ConfiguredExport) -> Key:
    return export.name, EXPORT


def _which(runtime: Runtime, export: ConfiguredExport) -> SuppressionList:
    line = runtime.preferences.numbering(export.enterprise).line(export.line) if export.line else None
    return SuppressionList(export.enterprise, export.message_type, export.channel, line)


def _why(error: Exception) -> str:
    """Texts of our own errors tell nothing about patients; of others only the place is shown."""
    if isinstance(error, AdapterError | UsageError):
        return str(error)
    return (error.strerror or logs.place(error)) if isinstance(error, OSError) else logs.place(error)
