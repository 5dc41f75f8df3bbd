"""The adapter ``fhir.rest``: polls a FHIR server. Reads what changed since the cursor if the server supports that, else everything.

The cursor is the earliest of the times at which the pages were searched, by the server's clock and by ours. Only the last batch has it. So
it moves only when everything before it is committed, and not at all if a result is incomplete. The next run starts a little earlier
(``overlap``), because servers index late and clocks differ.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from adapters.base import AdapterError, Batch, Fetch, Filtered, Finding, IncompleteFetch, Item, Payload, SourceSettings
from adapters.fhir import auth, crawl, files, identity, outcome, probe
from adapters.fhir.capability import LAST_UPDATED, Plan
from adapters.fhir.client import FhirClient, SearchPage
from adapters.fhir.consent_flag import certain_only, needs_confirmation, unless_refused
from adapters.fhir.decode import NotReadable, decode, decode_in_part
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.options import MOST_RESTRICTIVE, RestOptions, rest_options
from adapters.http import headers
from adapters.http.auth import Clock
from adapters.http.budget import Budget
from adapters.notes import Notes
from store.preference import PatientStatements

RESOURCE_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # FHIR R4 2.24.0.1, id
ReadPatient = Callable[[FhirClient, str, list[str]], Iterator[Batch]]
REMEMBERED = 20_000  # resources of a run, to recognize repeats when pages shift during a read


def utc_now() -> datetime:
    return datetime.now(UTC)


class RestAdapter:
    """Polls one FHIR server. Raises ``ValueError`` for wrong settings. Opens no connection before the first read."""

    def __init__(self, settings: SourceSettings, *, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings, self.clock, self.sleep = settings, clock, sleep
        self.options: RestOptions = rest_options(settings)
        self.mapper = FhirMapper(settings)
        self.auth = auth.build(self.options.base_url, self.options.auth, clock)
        self.budget = Budget(self.options.limits, clock, sleep)

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
            if (patient := self.read_one(client, request)) is not None:
                yield from patient
                return
            while (wait := self.budget.quiet_wait()) is not None:
                yield Batch((), wait=wait)
            plan = probe.plan(client, self.options)
            yield from (
                crawl.crawl(self, client, request.cursor, self.options.group) if plan.crawls else self._read_all(client, request, plan)
            )

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE``: token, capability, plan, one resource read and mapped."""
        with closing(self.client()) as client:
            yield from probe.findings(client, self.mapper, self.options)

    def payloads(self, path: Path) -> Iterator[Payload]:
        return files.payloads(path)

    def client(self) -> FhirClient:
        client = FhirClient(
            self.options.base_url,
            self.auth,
            clock=self.clock,
            timeout=self.options.timeout,
            sleep=self.sleep,
            budget=self.budget,
            ca=self.options.ca,
            download=self.options.download,
        )
        client.trust_total = self.options.trust_total
        return client

    def _read_all(self, client: FhirClient, request: Fetch, plan: Plan) -> Iterator[Batch]:
        """Reads every resource type, even if another one fails: the refusals in Consents are applied even if reading Patients fails."""
        parameters, kinds = self._parameters(plan, request), self.kinds()
        reading = ReadPass()
        for kind in kinds:
            own = {**self.options.search, **parameters} if kind == "Patient" else parameters
            try:
                for number, page in enumerate(client.search(kind, own), 1):
                    yield self._read_page(client, kind, page, number, reading, last=page.last and kind == kinds[-1])
            except AdapterError as error:
                reading.failed(error)
        reading.raise_errors()

    def _read_page(self, client: FhirClient, kind: str, page: SearchPage, number: int, reading: ReadPass, *, last: bool) -> Batch:
        reading.page(page)
        batch = self._batch(page, f"{kind}/page-{number}", reading.seen, None)
        batch = batch if kind == "Patient" else self.confirmed(client, kind, batch, reading.incomplete)
        return batch._replace(cursor=reading.cursor() if last else None)

    def kinds(self) -> list[str]:
        """The resource types to read. Patient is first, so that the patients of Consents and Flags are known."""
        return ["Patient", *(kind for kind in ("Consent", "Flag") if self.mapper.rules.get(kind))]

    def _parameters(self, plan: Plan, request: Fetch) -> dict[str, str]:
        since = self._since(request) if plan.incremental and not request.full else None
        count = {"_count": str(self.options.page_size)}
        return count if since is None else {**count, LAST_UPDATED: f"ge{since:%Y-%m-%dT%H:%M:%S}.000Z"}

    def _since(self, request: Fetch) -> datetime | None:
        """The time from which to read. A cursor of another kind of source means everything."""
        if request.since is not None:
            return request.since.astimezone(UTC)
        try:
            since = datetime.fromisoformat(request.cursor).astimezone(UTC) if request.cursor else None
        except ValueError:
            return None
        return headers.read_since(since, self.clock(), self.options.overlap)

    def _batch(self, page: SearchPage, where: str, seen: dict[bytes, None], cursor: str | None) -> Batch:
        items: list[Item | Payload] = []
        payloads: list[bytes] = []
        for index, body in enumerate(page.page.resources):
            locator = f"{where}#{index}"
            found = [Filtered("came_again", locator)] if is_repeated(body, seen) else self.mapper.unread(Payload(body, locator, page.at))
            items.extend(found)
            payloads.extend([body] * len(found))
        # With several resource types, the total of one is not that of the run.
        return Batch(items, cursor, payloads, page.page.total if self.kinds() == ["Patient"] else None)

    def read_one(self, client: FhirClient, request: Fetch) -> Iterator[Batch] | None:
        """Reads the one patient that a request is about, then the records about them; ``None`` if it is about all.

        For a source that knows its patients by an authority's identifiers, these are tried first: another patient's resource id may be the
        same text.
        """
        if request.resource is not None:
            return self._first_found(client, request.resource, [self.by_id])
        if request.patient is None:
            return None
        ways = [self._by_identifier, self.by_id]
        identifier_first = self.settings.authority or "|" in request.patient
        return self._first_found(client, request.patient, ways if identifier_first else ways[::-1])

    def _first_found(self, client: FhirClient, patient: str, ways: Sequence[ReadPatient]) -> Iterator[Batch]:
        for way in ways:
            incomplete: list[str] = []
            batches = list(way(client, patient, incomplete))
            if any(batch.items for batch in batches) or incomplete:
                yield from batches
                names = [name for batch in batches for body in dict.fromkeys(batch.payloads) if (name := _resource_id(body))]
                yield from self.records_about(client, names, incomplete)
                raise_if_incomplete(incomplete)
                return

    def by_id(self, client: FhirClient, patient: str, incomplete: list[str] | None = None) -> Iterator[Batch]:
        """Reads one Patient by resource id; no batch if the server does not have it. Anything else (an error page) fails the read."""
        response = client.read("Patient", patient) if RESOURCE_ID.fullmatch(patient) else None
        if response is not None:
            _is_patient(response.body)
            items = self.mapper.unread(Payload(response.body, "Patient", response.at))
            yield Batch(items, None, [response.body] * len(items), 1)

    def _by_identifier(self, client: FhirClient, patient: str, incomplete: list[str]) -> Iterator[Batch]:
        for number, page in enumerate(client.search("Patient", {"identifier": patient}), 1):
            _note_incomplete(page, incomplete)
            yield self._batch(page, f"Patient/page-{number}", {}, None)

    def records_about(self, client: FhirClient, names: list[str], incomplete: list[str]) -> Iterator[Batch]:
        """Reads the Consents and Flags of these patients. Why a result is incomplete is added to ``incomplete``."""
        for kind in self.kinds()[1:]:
            for name in names:
                for number, page in enumerate(client.search(kind, {"patient": name}), 1):
                    _note_incomplete(page, incomplete)
                    yield self.confirmed(client, kind, self._batch(page, f"{kind}/page-{number}", {}, None), incomplete)

    def confirmed(self, client: FhirClient, kind: str, batch: Batch, incomplete: list[str]) -> Batch:
        """The batch, in which no record permits what another record of its patient refuses, if the most restrictive counts."""
        return batch._replace(items=[self.without_refused(client, kind, item, incomplete) for item in batch.items])

    def without_refused(self, client: FhirClient, kind: str, item: Item | Payload, incomplete: list[str]) -> Item | Payload:
        """The item without what another record of its patient refuses. If the others are incomplete, only what does not depend on them."""
        choose = self.mapper.options.consent.choose
        if not isinstance(item, PatientStatements) or not needs_confirmation(item, choose):
            return item
        patient = item.identifiers[0]
        if patient.type != identity.RESOURCE_ID:  # known by a logical reference only; few servers can search by one
            return certain_only(item, choose) if choose == MOST_RESTRICTIVE else item
        pages = list(client.search(kind, {"patient": patient.value}))
        if reasons := [page.incomplete for page in pages if page.incomplete]:
            incomplete.extend(reasons)
            return certain_only(item, choose)
        others = (
            other for page in pages for body in page.page.resources for other in self.mapper.read_unconfirmed(Payload(body, kind, page.at))
        )
        return unless_refused(item, others, choose)


class ReadPass:
    """The state of one read: the next cursor, and why the cursor may not move."""

    def __init__(self) -> None:
        self.seen: dict[bytes, None] = {}
        self.incomplete: list[str] = []
        self.started: datetime | None = None
        self.error: AdapterError | None = None

    def page(self, page: SearchPage) -> None:
        """Adds a page."""
        self.started = min(self.started or page.searched_at, page.searched_at)
        _note_incomplete(page, self.incomplete)

    def failed(self, error: AdapterError) -> None:
        """Records that a resource type could not be read completely. Of several errors, a permanent one counts."""
        if self.error is None or (error.permanent and not self.error.permanent):
            self.error = error

    def cursor(self) -> str | None:
        """The cursor for the last batch, if everything was read."""
        return self.started.isoformat() if self.started and not self.incomplete and self.error is None else None

    def raise_errors(self) -> None:
        """Raises the error that prevents the cursor from moving."""
        if self.error is not None:
            raise self.error
        raise_if_incomplete(self.incomplete)


def raise_if_incomplete(incomplete: list[str]) -> None:
    """Raises :class:`~adapters.base.IncompleteFetch` if a result was incomplete."""
    if incomplete:
        raise IncompleteFetch("; ".join(dict.fromkeys(incomplete)))


def _note_incomplete(page: SearchPage, incomplete: list[str]) -> None:
    if page.incomplete:
        incomplete.append(page.incomplete)


def _is_patient(body: bytes) -> None:
    try:
        kind = decode_in_part(body)[0].get("resourceType")
    except (NotReadable, RecursionError):
        kind = None
    if kind != "Patient":
        raise AdapterError(f"reading a Patient returned {outcome.described(body)} instead")


def _resource_id(body: bytes) -> str:
    try:
        return str(decode(body).get("id") or "")
    except NotReadable:
        return ""


def is_repeated(body: bytes, seen: dict[bytes, None]) -> bool:
    """Whether the identical resource was read before in this run. Remembers the last few thousand."""
    key = blake2b(body, digest_size=16).digest()
    if key in seen:
        return True
    seen[key] = None
    if len(seen) > REMEMBERED:
        del seen[next(iter(seen))]
    return False
