"""The bulk exports of the rehearsal EMR: requests, progress, and the lines of files, which are created on download.

Memory does not grow with the population: a file is a range of patient indexes.
Source: HL7 FHIR Bulk Data Access (hl7.org/fhir/uv/bulkdata).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from threading import Event, Lock
from typing import Any

from adapters.rehearsal.chart import Chart
from adapters.rehearsal.faults import Faults
from adapters.rehearsal.resource import index_of, instant, outcome, patient, resource_id

FILE_SIZE = 1_000
REPEATED = 10


class BadExport(ValueError):
    """An invalid kick-off request. The message names the parameter, never its value."""


@dataclass(slots=True)
class ExportJob:
    """One export. ``group`` is ``None`` for all patients. ``polls``: status requests still to be answered with "in progress". ``only``: the
    selected patients, ``None`` for all.
    """

    since: datetime | None
    group: str | None
    started: datetime
    polls: int
    left_out: frozenset[int] = frozenset()
    extra_count: int = 0
    only: frozenset[int] | None = None


def _set() -> Event:
    event = Event()
    event.set()
    return event


@dataclass(slots=True)
class ExportDesk:
    """Accepts exports and returns their files. Thread-safe.

    ``polls``: how often each export answers "in progress". ``most``: maximum number of concurrent exports. ``by_name``: whether exports of
    selected patients are supported. ``groups``: name -> indexes of the members; ``everybody`` always exists. ``asked``, ``dropped`` and
    ``polls_answered`` count requests. While ``may_delete`` is cleared, a DELETE request gets no response.
    """

    chart: Chart
    faults: Faults
    polls: int = 1
    retry_after: str = "0"
    file_size: int = FILE_SIZE
    most: int = 1
    by_name: bool = True
    groups: dict[str, list[int]] = field(default_factory=dict)
    asked: int = 0
    dropped: int = 0
    polls_answered: int = 0
    may_delete: Event = field(default_factory=_set)
    _jobs: dict[str, ExportJob] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def start(self, parameters: Mapping[str, str], group: str | None, patients: Sequence[str] = ()) -> str | None:
        """Starts an export of all patients or of ``patients`` (references). ``None`` if too many are active. Raises :class:`BadExport`."""
        since = _since(parameters.get("_since"))
        only = self._named(patients) if patients else None
        with self._lock:
            if len(self._jobs) >= self.most:
                return None
            self.asked += 1
            name = secrets.token_hex(6)
            left_out = frozenset([self.faults.left_out]) if self.faults.take("partial") else frozenset()
            extra = 1 if self.faults.take("miscount") else 0
            self._jobs[name] = ExportJob(since, group, self.chart.clock().astimezone(UTC), self.polls, left_out, extra, only)
        return name

    def _named(self, patients: Sequence[str]) -> frozenset[int]:
        indexes = [index_of(reference.removeprefix("Patient/")) for reference in patients]
        if not self.by_name or None in indexes:
            raise BadExport("patient is not supported")
        return frozenset(index for index in indexes if index is not None)

    def job(self, name: str) -> ExportJob | None:
        return self._jobs.get(name)

    def poll(self, name: str) -> int | None:
        """The progress in percent; ``None`` if there is no such export."""
        with self._lock:
            if (job := self._jobs.get(name)) is None:
                return None
            self.polls_answered += 1
            if not job.polls:
                return 100
            job.polls -= 1
            return 100 * (self.polls - job.polls) // (self.polls + 1)

    def finish_all(self) -> None:
        """Finishes every active export now."""
        with self._lock:
            for job in self._jobs.values():
                job.polls = 0

    @property
    def under_way(self) -> int:
        """The number of exports that were not deleted."""
        return len(self._jobs)

    def drop(self, name: str) -> bool:
        """Deletes an export on the client's request. Waits while ``may_delete`` is cleared."""
        self.may_delete.wait()
        with self._lock:
            self.dropped += 1
            return self._jobs.pop(name, None) is not None

    def known_group(self, name: str) -> bool:
        return name == "everybody" or name in self.groups

    def members(self, name: str) -> Iterator[int]:
        """The indexes of the members of a group."""
        return iter(range(self.chart.population.size) if name == "everybody" else self.groups[name])

    def manifest(self, name: str, job: ExportJob, *, root: str, token: bool, request: str) -> dict[str, Any]:
        """The manifest of a finished export."""
        files = [(part, count) for part, count in self._parts(job) if count]
        output = [{"type": "Patient", "url": f"{root}/{name}/{part}.ndjson", "count": count + job.extra_count} for part, count in files]
        deleted = [{"type": "Bundle", "url": f"{root}/{name}/deleted.ndjson"}] if job.since and self.chart.removed(job.since) else []
        error = [{"type": "OperationOutcome", "url": f"{root}/{name}/error.ndjson", "count": len(job.left_out)}] if job.left_out else []
        late = self.faults.late_transaction_time
        time = instant(self.chart.clock().astimezone(UTC)) if late == "end" else late or instant(job.started)
        manifest = {"transactionTime": time, "request": request, "requiresAccessToken": token}
        return manifest | {"output": output, "deleted": deleted, "error": error}

    def lines(self, job: ExportJob, part: str) -> Iterator[bytes] | None:
        """The lines of one file; ``None`` if there is no such file."""
        if part == "error" and job.left_out:
            return iter([_line(outcome("exception", "a resource could not be exported"))])
        if part == "deleted" and job.since:
            return iter([_line(_deletions(self.chart.removed(job.since)))])
        number = int(part) if part.isdigit() else -1
        return self._patients(job, number) if 0 <= number * self.file_size < max(self.chart.population.size, 1) else None

    def _patients(self, job: ExportJob, number: int) -> Iterator[bytes]:
        for place, index in enumerate(self._indexes(job, number)):
            line = _line(patient(self.chart.entry(index)))
            yield line
            if self.faults.repeat_lines and place % REPEATED == 0:
                yield line

    def _parts(self, job: ExportJob) -> Iterator[tuple[int, int]]:
        for number in range(-(-self.chart.population.size // self.file_size)):
            yield number, sum(1 for _ in self._indexes(job, number))

    def _indexes(self, job: ExportJob, number: int) -> Iterator[int]:
        start, end = number * self.file_size, (number + 1) * self.file_size
        members = set(self.groups[job.group]) if job.group in self.groups else None
        found = takewhile(lambda index: index < end, self.chart.indexes(lambda updated: _counts(updated, job), start))
        named = (index for index in found if job.only is None or index in job.only)
        return (index for index in named if (members is None or index in members) and index not in job.left_out)


def _counts(updated: datetime, job: ExportJob) -> bool:
    # Compared with millisecond precision, like meta.lastUpdated and transactionTime.
    return job.since is None or updated.replace(microsecond=updated.microsecond // 1000 * 1000) >= job.since


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise BadExport("_since must be an instant") from error


def _deletions(indexes: list[int]) -> dict[str, Any]:
    requests = [{"request": {"method": "DELETE", "url": f"Patient/{resource_id(index)}"}} for index in indexes]
    return {"resourceType": "Bundle", "type": "transaction", "entry": requests}


def _line(resource: dict[str, Any]) -> bytes:
    return json.dumps(resource, separators=(",", ":")).encode() + b"\n"
