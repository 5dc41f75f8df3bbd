"""The adapter ``fhir.bulk``: reads a FHIR server by bulk exports.

The first export contains everything. Later ones contain what changed since the last request, or since its transactionTime if that is
earlier, minus an overlap.

Every step is recorded in the cursor (``job``): the status URL as soon as the server returns it, then the stored files. After a wait or a
crash, the next run continues from there. Records may then come twice, and change nothing the second time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.base import AdapterError, Batch, Fetch, Filtered, Finding, Item, Payload, SourceSettings, Unmappable, Wait
from adapters.fhir import crawl, group_members, probe
from adapters.fhir.bulk import job, manifest, ndjson
from adapters.fhir.bulk.download import DownloadedFile, FileDownloads
from adapters.fhir.bulk.export import AcceptedExport, Export, ExportLost, ExportReady, ExportRunning, NamedExportRefused, poll_pause
from adapters.fhir.bulk.gaps import Gaps
from adapters.fhir.bulk.job import BulkState, PendingExport
from adapters.fhir.bulk.manifest import ExportFile
from adapters.fhir.client import FhirClient
from adapters.fhir.consent_flag import certain_only
from adapters.fhir.dates import instant
from adapters.fhir.export_options import ExportOptions, export_options
from adapters.fhir.group_members import NewGroupMembers
from adapters.fhir.rest import RestAdapter, is_repeated, utc_now
from adapters.http import headers
from adapters.http.auth import Clock
from adapters.notes import Notes
from store.preference import PatientStatements

BATCH, BATCH_BYTES = 1_000, 8 * 1024 * 1024
PREPARED = "the server is preparing the export"
FAILURES = 5  # consecutive transient failures of polls before the run fails
FEW = 10  # up to this many new group members are read one by one, more by an export of their own if the server supports that
NEWCOMERS = 500  # if there are more new members than this, everybody is exported
LOST_IN_A_ROW = 2
RETRY_LATER = 3_600.0  # seconds; after repeated losses the schedule requests the export again


class BulkAdapter:
    """Reads one FHIR server by bulk exports. Raises ``ValueError`` for wrong settings. Opens no connection before the first read."""

    def __init__(self, settings: SourceSettings, *, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> None:
        self.rest = RestAdapter(settings, clock=clock, sleep=sleep)  # for single resources
        self.options: ExportOptions = export_options(settings)
        self.mapper, self.clock, self.budget = self.rest.mapper, clock, self.rest.budget
        self._new_members = NewGroupMembers(lambda: self.rest.notes)

    @property
    def notes(self) -> Notes:
        """Where the budget and the members of the group are stored between runs."""
        return self.rest.notes

    @notes.setter
    def notes(self, lasting: Notes) -> None:
        self.rest.notes = lasting

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """Waits, then batches of at most a thousand resources and 8 MiB. Raises :class:`~adapters.base.AdapterError`."""
        with closing(self.rest.client()) as client:
            if (patient := self.rest.read_one(client, request)) is not None:
                yield from patient
            else:
                yield from self._read_exports(client, request)

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE``: token, capability, and the planned export. Requests no export."""
        with closing(self.rest.client()) as client:
            yield from probe.export_findings(client, self.mapper, self.rest.options, self.options)

    def payloads(self, path: Path) -> Iterator[Payload]:
        return self.rest.payloads(path)

    def _read_exports(self, client: FhirClient, request: Fetch) -> Iterator[Batch]:
        export, state, separate = Export(client), job.read(request.cursor), request.since is not None or request.dry
        if separate:
            state = BulkState(state.since)  # a separate read: the export in progress continues later
        elif request.full and state.job and not state.job.full:
            state = replace(state.without_job(), lost=state.lost)
        yield from self._delete_stored_export(export, state)
        is_complete, by_name, gaps = False, not separate, Gaps()
        while not is_complete:
            state = replace(state, ended="")
            if state.job is None:
                state = yield from self._request_export(client, export, state, request, by_name=by_name)
            is_complete, by_name = not (state.job and state.job.joined), False
            state = yield from self._store_export(client, export, state, gaps)
            if is_complete and self.options.group and not separate and not gaps.reasons:
                self._new_members.export_stored()
            yield from self._delete_stored_export(export, state)
        gaps.raise_if_broken()

    def _store_export(self, client: FhirClient, export: Export, state: BulkState, gaps: Gaps) -> Generator[Batch, None, BulkState]:
        """Waits for the export in progress and reads its files. Returns the state without it. Missing data is added to ``gaps``."""
        try:
            state, ready = yield from self._wait_for_manifest(export, state)
            return (yield from self._read(client, state, ready, gaps))
        except ExportLost as lost:
            state = state.without_job()
            yield _cursor_only(state)
            raise AdapterError(str(lost), retry_after=RETRY_LATER if state.lost > LOST_IN_A_ROW else None) from None

    def _delete_stored_export(self, export: Export, state: BulkState) -> Iterator[Batch]:
        """Deletes a stored export at the server. If that fails, the next run tries once more."""
        if state.ended and export.delete(state.ended):
            yield _cursor_only(replace(state, ended=""))

    def _request_export(
        self, client: FhirClient, export: Export, state: BulkState, request: Fetch, *, by_name: bool
    ) -> Generator[Batch, None, BulkState]:
        """Requests an export, and records its status URL before anything else. Returns the state with the job.

        ``by_name``: it may be an export of only the new group members; the export of everybody is requested after it.
        """
        while (wait := self.budget.quiet_wait() or self.budget.export_wait()) is not None:
            yield Batch((), wait=wait)
        since = "" if request.full or not self.options.since else self._since_less_overlap(state.since)
        if request.since is not None:
            since = request.since.isoformat()
        if self.options.group:
            names = group_members.members(client, self.options.group)
            if self._counts(request):
                self._new_members.export_requested(names)
            new = (self._new_members.new(names) if names is not None else []) if since else []
            if new is None or len(new) > NEWCOMERS:
                since = ""
            elif by_name and len(new) > FEW and (job := self._request_named_export(export, new)) is not None:
                yield _cursor_only(state := replace(state, job=job))
                return state
            elif names is not None and (unread := (yield from crawl.read_separately(self.rest, client, new))) and self._counts(request):
                self._new_members.export_requested([name for name in names if name not in unread])
        self.budget.record_export()
        now = self.clock()
        taken = export.request(self.options.path, self._parameters(since))
        state = replace(state, job=self._job(taken, now, since=since, full=request.full))
        yield _cursor_only(state)
        return state

    def _parameters(self, since: str) -> dict[str, str]:
        kinds = {"_type": ",".join(self.rest.kinds())}
        return {**kinds, **({"_since": since} if since else {}), **self.options.parameters}

    def _wait_for_manifest(self, export: Export, state: BulkState) -> Generator[Batch, None, tuple[BulkState, ExportReady]]:
        """Polls until the manifest is ready. Returns the state and the manifest. Records when the server wants the next poll."""
        failed = times = 0
        while True:
            assert state.job is not None
            yield from self._rest_of_wait(state, "" if times else PREPARED)
            found = export.poll(state.job.status)
            if isinstance(found, ExportReady):
                return state, found
            self._check_duration(state.job)
            failed = failed + 1 if found.failing else 0
            if failed >= FAILURES:
                raise AdapterError("the server does not report the progress of the export")
            seconds = poll_pause(times) if found.retry_after is None else found.retry_after
            times += 1
            state = state.with_job(poll_at=(self.clock() + timedelta(seconds=seconds)).isoformat())
            # No new cursor while the server fails: the engine would take it for progress and never give up.
            yield Batch((), None if found.failing else state.text(), wait=Wait(seconds, _progress(found)))

    def _rest_of_wait(self, state: BulkState, what: str) -> Iterator[Batch]:
        """Waits for the rest of a wait that an earlier run left, and of quiet hours."""
        poll_at = state.job.poll_again_at if state.job else None
        rest = (poll_at - self.clock()).total_seconds() if poll_at else 0.0
        if what and rest > 0:
            yield Batch((), wait=Wait(rest, what))
        while (wait := self.budget.quiet_wait()) is not None:
            yield Batch((), wait=wait)

    def _check_duration(self, under_way: PendingExport) -> None:
        requested = under_way.asked_at
        if requested is None or self.clock() - requested > self.options.give_up_after:
            raise ExportLost("the export takes longer than export.give_up_after: it will be requested again")

    def _read(self, client: FhirClient, state: BulkState, ready: ExportReady, gaps: Gaps) -> Generator[Batch, None, BulkState]:
        """Reads the files, from the first that is not stored. Returns the state without the job."""
        files = manifest.ordered(ready.files, self.rest.kinds())
        digest, total = manifest.digest(files), _total(files)
        if state.job and state.job.files != digest:
            state = state.with_job(files=digest, done=0)
        assert state.job is not None
        downloads = FileDownloads(client, self.options.file_origins, self.rest.options.limits.parallel)
        stated, seen = instant(ready.transaction_time), dict[bytes, None]()
        pending, size = list[tuple[Item | Payload, bytes]](), 0
        safe: str | None = None
        with closing(downloads.files(files[state.job.done :])) as fetched:
            for one in fetched:
                for item, body in self._read_file(client, one, stated, seen, gaps):
                    pending.append((item, body))
                    size += len(body)
                    if len(pending) >= BATCH or size >= BATCH_BYTES:
                        yield _batch(pending, safe, total)
                        pending, size, safe = [], 0, None
                state = _after_file(state, gaps.reasons)
                safe = state.text()
                yield from self._rest_of_wait(state, "")
        under_way, state = state.job, state.finished(ready.transaction_time)
        yield _batch(pending, state.text(), total, gaps.note(under_way))
        if under_way and under_way.joined and not under_way.left_out:
            self._new_members.read(under_way.joined)
        return state

    def _read_file(
        self, client: FhirClient, one: DownloadedFile, stated: datetime | None, seen: dict[bytes, None], gaps: Gaps
    ) -> Iterator[tuple[Item | Payload, bytes]]:
        """The items of the lines of one file, with their bytes. Reasons for missing data are added to ``gaps``."""
        file, received = one.file, self.clock()
        for number, body in one.lines():
            locator = f"{file.locator}:{number}"
            if is_repeated(body, seen):
                yield Filtered("came_again", locator), body
                continue
            for item in ndjson.items(self.mapper, file, body, locator, received, stated):
                if ndjson.is_gap(item):
                    gaps.reasons.append(ndjson.gap_reason(item))
                yield self._confirmed(client, item, gaps.reasons), body
        if one.defect:
            gaps.add_file(f"{file.locator}: {one.defect}")
            detail = f"{one.defect}, even after a second download: the next export requests the missing data again"
            yield Unmappable("export_file_short", detail, file.locator), b""

    def _confirmed(self, client: FhirClient, item: Item | Payload, gaps: list[str]) -> Item | Payload:
        """The item without what another record of its patient refuses, if the most restrictive counts. If unknown, it permits nothing."""
        if not isinstance(item, PatientStatements) or (kind := item.evidence_id.partition("/")[0]) == "Patient":
            return item
        try:
            return self.rest.without_refused(client, kind, item, gaps)
        except AdapterError as error:
            if not error.permanent:
                raise
            return certain_only(item, self.rest.mapper.options.consent.choose)

    def _request_named_export(self, export: Export, new: Sequence[str]) -> PendingExport | None:
        """Requests an export of the new group members; ``None`` if the server does not support that, or limits how often it exports."""
        if self.budget.limits.bulk_every:
            return None
        try:
            now = self.clock()
            taken = export.request(self.options.path, self._parameters(""), new)
        except NamedExportRefused:
            return None
        return self._job(taken, now, joined=group_members.packed(new))

    @staticmethod
    def _counts(request: Fetch) -> bool:
        """Whether the members count as known after this read."""
        return request.since is None and not request.dry

    def _job(self, taken: AcceptedExport, requested: datetime, **known: Any) -> PendingExport:
        poll_at = (self.clock() + timedelta(seconds=taken.retry_after)).isoformat() if taken.retry_after else ""
        return PendingExport(taken.status, requested.isoformat(), poll_at=poll_at, begun=min(requested, taken.at).isoformat(), **known)

    def _since_less_overlap(self, since: str) -> str:
        """The ``_since`` of the next export; empty: everything. Without an overlap, the server's own text is returned unchanged."""
        time, overlap = instant(since), self.rest.options.overlap
        if time and headers.read_since(time, self.clock(), overlap) is None:
            return ""
        return f"{(time - overlap).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z" if time and overlap else since


def _cursor_only(state: BulkState) -> Batch:
    """A batch with only the cursor."""
    return Batch((), state.text(), wait=Wait(0.0, PREPARED))


def _batch(pending: list[tuple[Item | Payload, bytes]], cursor: str | None, total: int | None, note: str = "") -> Batch:
    return Batch([item for item, _ in pending], cursor, [body for _, body in pending], total, note=note)


def _after_file(state: BulkState, gaps: Iterable[str]) -> BulkState:
    """The state with one more file stored."""
    job = state.job
    return state.with_job(done=job.done + 1, left_out=job.left_out or any(gaps)) if job else state


def _total(files: Sequence[ExportFile]) -> int | None:
    counts = [one.lines for one in files if one.part == manifest.OUTPUT]
    return None if any(count is None for count in counts) else sum(count or 0 for count in counts)


def _progress(found: ExportRunning) -> str:
    return PREPARED if found.percent is None else f"{PREPARED} ({found.percent}%)"
