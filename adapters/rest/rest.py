"""The adapter ``rest.json``: polls a JSON API. Reads what changed since the cursor if the API supports that, else everything.

The cursor is the earliest of the times at which the pages were requested, by the server's clock and by ours. Only the last batch has it. So
it moves only when everything before it is committed, and not at all if the list is incomplete. The next run starts a little earlier
(``overlap``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from adapters.base import AdapterError, Batch, Fetch, Finding, IncompleteFetch, Item, Payload, SourceSettings, Unmappable
from adapters.http import headers
from adapters.http.auth import Clock
from adapters.http.budget import Budget
from adapters.http.completeness import CompletenessCheck
from adapters.notes import Notes
from adapters.record.mapping import JsonMapper
from adapters.record.options import record_options
from adapters.record.path import compile_nodes, text
from adapters.rest import auth, files
from adapters.rest.client import JsonClient, JsonResponse
from adapters.rest.options import ListOptions, list_options, server_options
from store.preference import PatientStatements

PAGES = 1_000_000  # more pages than any EMR has: a longer list is a loop


def utc_now() -> datetime:
    return datetime.now(UTC)


class ListPage(NamedTuple):
    """One page of a list. ``incomplete``: on the last page, why the list is incomplete; empty if it is complete."""

    answer: JsonResponse
    records: list[object]
    last: bool
    incomplete: str = ""


class JsonAdapter:
    """Polls one JSON API. Raises ``ValueError`` for wrong settings. Opens no connection before the first read."""

    def __init__(self, settings: SourceSettings, *, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings, self.clock, self.sleep = settings, clock, sleep
        self.server, self.list = server_options(settings), list_options(settings)
        self.auth = auth.build(self.server.auth, clock)
        self.budget = Budget(self.server.limits, clock, sleep)
        self.mapper = JsonMapper(settings)
        self._zone = ZoneInfo(settings.time_zone)
        self._next = compile_nodes(self.list.next) if self.list.next else None
        self._id = compile_nodes(record_options(settings).id)
        self._total, self._errors = (compile_nodes(path) if path else None for path in (self.list.total, self.list.errors))

    @property
    def notes(self) -> Notes:
        """Where the budget is stored between runs."""
        return self.budget.notes

    @notes.setter
    def notes(self, lasting: Notes) -> None:
        self.budget.notes = lasting

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """One batch per page. Raises :class:`~adapters.base.AdapterError`; batches yielded before it remain valid."""
        with closing(self.client()) as client:
            if request.patient is not None:
                yield from self.read_patient(client, request.patient)
                return
            yield from self.wait_for_quiet_hours()
            started: datetime | None = None
            for number, page in enumerate(self.pages(client, self.list.path, self._parameters(request)), 1):
                started = min(started or page.answer.began, page.answer.began)
                cursor = started.isoformat() if page.last and not page.incomplete else None
                yield self.batch(page.records, page.answer.at, f"page-{number}", cursor)
                if page.incomplete:
                    raise IncompleteFetch(page.incomplete)

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE``: access, plan, one record read and mapped."""
        with closing(self.client()) as client:
            try:
                client.authorize()
                yield Finding("access", True, f"auth.kind {self.server.auth.get('kind') or 'none'}")
                yield self.plan()
                page = next(self.pages(client, self.list.path, self._page_parameters(1)))
                yield from sample(self.batch(page.records[:1], page.answer.at, "sample", None))
            except AdapterError as error:
                yield Finding("read", False, str(error))

    def payloads(self, path: Path) -> Iterator[Payload]:
        return files.payloads(path, self.list.items)

    def wait_for_quiet_hours(self) -> Iterator[Batch]:
        """Waits for the end of the quiet hours. A single patient requested by a person is read at any time."""
        while (wait := self.budget.quiet_wait()) is not None:
            yield Batch((), wait=wait)

    def client(self) -> JsonClient:
        server = self.server
        return JsonClient(
            server.base_url,
            self.auth,
            clock=self.clock,
            timeout=server.timeout,
            sleep=self.sleep,
            budget=self.budget,
            download=server.download,
        )

    def plan(self) -> Finding:
        if self.list.since:
            return Finding("plan", True, f"incremental reads: the list supports {self.list.since}")
        return Finding("plan", True, "full reads: the list cannot filter by change")

    def pages(self, client: JsonClient, path: str, parameters: dict[str, str]) -> Iterator[ListPage]:
        """The pages of a list, one in memory at a time."""
        answer = client.get(path, parameters)
        if answer is None:
            raise AdapterError("the list was not found: check base_url and list.path", permanent=True)
        seen, completeness = set[str](), CompletenessCheck("patient")
        offset, full, before = 0, 0, None
        for _ in range(PAGES):
            link = self._link(answer)
            if link is not None and link in seen:
                raise AdapterError("the server's links to the next page form a loop")
            records = self.records(answer)
            size = len(records)
            completeness.page(map(self.key, records), announced=self._announced(answer), error=self._error(answer))
            # Servers limit the page size; the first page shows their limit. A server that does not know the parameter returns the same page
            # again (older OpenEMR): then it is the whole list.
            full = full or min(size, self.server.page_size)
            more = self.list.offset and not self._next and size >= full > 0 and answer.data != before
            last = completeness.endless or (not link and not more)
            yield ListPage(answer, records, last, completeness.incomplete_reason() if last else "")
            if last:
                return
            if link:
                seen.add(link)
                answer = client.follow(link, answer)
            else:
                offset, before = offset + size, answer.data
                answer = client.get(path, parameters | {self.list.offset: str(offset)}) or _page_not_found()

    def records(self, answer: JsonResponse) -> list[object]:
        """The records of a response. Another structure fails the read; otherwise it would look like an empty list."""
        found = files.records(answer.data, self.list.items)
        if found is None:
            raise AdapterError(f"the response has no list at {self.list.items}: check list.items", permanent=True)
        return found

    def batch(self, records: list[object], at: datetime, where: str, cursor: str | None) -> Batch:
        """The records, mapped. ``at``: when the server answered."""
        items: list[Item] = []
        payloads: list[bytes] = []
        for index, record in enumerate(records):
            body = files.encoded(record)
            found = self.mapper.read(Payload(body, f"{where}#{index}", at))
            items.extend(found)
            payloads.extend([body] * len(found))
        return Batch(items, cursor, payloads)

    def read_patient(self, client: JsonClient, patient: str) -> Iterator[Batch]:
        """Reads one patient by the record's own id, with or without its authority (``AUTHORITY|ID``). The cursor does not change."""
        if not self.list.one:
            raise AdapterError("this source cannot read a single patient: list.one is not set", permanent=True)
        answer = client.get(self.list.one.replace("{id}", quote(patient.rpartition("|")[2], safe="")))
        if answer is not None:  # an API returns the record, a list of one, or the structure of its list
            found = files.records(answer.data, self.list.items) or files.records(answer.data, "") or []
            yield self.batch(found, answer.at, "patient", None)

    def key(self, record: object) -> int:
        """A key that identifies a record: from its id, else from its content."""
        found = next((known for node in self._id(record) if (known := text(node.value))), None)
        return hash(found if found is not None else files.encoded(record))

    def _announced(self, answer: JsonResponse) -> int | None:
        found = next((known for node in self._total(answer.data) if (known := text(node.value))), "") if self._total else ""
        return int(found) if found.isascii() and found.isdigit() else None

    def _error(self, answer: JsonResponse) -> str:
        found = self._errors(answer.data) if self._errors else []
        return f"at {self.list.errors}" if any(node.value not in (None, "", [], {}, False) for node in found) else ""

    def _link(self, answer: JsonResponse) -> str | None:
        found = self._next(answer.data) if self._next else []
        return next((known for node in found if (known := text(node.value))), None)

    def _page_parameters(self, size: int) -> dict[str, str]:
        return {**self.list.parameters, **({self.list.limit: str(size)} if self.list.limit else {})}

    def _parameters(self, request: Fetch) -> dict[str, str]:
        since = None if request.full or not self.list.since else self._since(request)
        return self._page_parameters(self.server.page_size) | (
            {} if since is None else {self.list.since: formatted(since, self.list, self._zone)}
        )

    def _since(self, request: Fetch) -> datetime | None:
        """The time from which to read. A cursor of another kind of source means everything."""
        if request.since is not None:
            return request.since.astimezone(UTC)
        try:
            since = datetime.fromisoformat(request.cursor).astimezone(UTC) if request.cursor else None
        except ValueError:
            return None
        return headers.read_since(since, self.clock(), self.server.overlap)


def formatted(moment: datetime, options: ListOptions, zone: ZoneInfo) -> str:
    """A time in the format of the API."""
    if options.since_format == "date":
        return f"{moment.astimezone(zone):%Y-%m-%d}"
    return f"{moment.astimezone(zone):%Y-%m-%dT%H:%M:%S}" if options.since_format == "local" else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def sample(batch: Batch) -> Iterator[Finding]:
    """The findings of ``check`` about the first record of a batch."""
    if not batch.items:
        yield Finding("sample read", False, "the list is empty: check the granted scopes")
    for item in batch.items[:1]:
        if isinstance(item, Unmappable):
            yield Finding("sample read", False, f"{item.reason}: {item.detail}")
        elif isinstance(item, PatientStatements):
            yield Finding("sample read", True, f"read one record with: {', '.join(item.statements) or 'no preferences'}")
            yield from (Finding("sample read", True, f"left out: {one.reason} at {one.path}") for one in item.problems)


def _page_not_found() -> JsonResponse:
    raise AdapterError("the next page of a list was not found")
