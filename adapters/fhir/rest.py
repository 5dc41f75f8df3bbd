"""A FHIR server that is polled: what changed since the cursor where it can tell, everything where it cannot.

The cursor is the server's time at the start of a run. It goes with the last batch only, so that it moves when everything before it is
committed; the next run looks back a little further (``overlap``), since servers index late and their clocks differ.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from adapters.base import Batch, Fetch, Filtered, Finding, Item, Payload, SourceSettings
from adapters.budget import Budget
from adapters.fhir import auth, crawl, files, identity, probe
from adapters.fhir.capability import LAST_UPDATED, Plan
from adapters.fhir.client import Clock, FhirClient, SearchPage
from adapters.fhir.decode import NotReadable, decode
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.options import MOST_RESTRICTIVE, RestOptions, rest_options
from adapters.fhir.standing import certain_only, to_confirm, unless_refused
from adapters.notes import Notes
from store.preference import PatientStatements

RESOURCE_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # FHIR R4 2.24.0.1, id
REMEMBERED = 20_000  # resources of a run, to know one that comes again when pages shift under the reader


def utc_now() -> datetime:
    return datetime.now(UTC)


class RestAdapter:
    """``fhir.rest``. Raises ``ValueError`` for wrong settings; opens nothing before it is asked to read."""

    def __init__(self, settings: SourceSettings, *, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings, self.clock, self.sleep = settings, clock, sleep
        self.options: RestOptions = rest_options(settings)
        self.mapper = FhirMapper(settings)
        self.auth = auth.build(self.options.base_url, self.options.auth, clock)
        self.budget = Budget(self.options.limits, clock, sleep)

    @property
    def notes(self) -> Notes:
        """Where the budget is kept between runs."""
        return self.budget.notes

    @notes.setter
    def notes(self, lasting: Notes) -> None:
        self.budget.notes = lasting

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """One batch a page. Raises :class:`~adapters.base.AdapterError`; what was yielded before stands."""
        with closing(self.client()) as client:
            if request.patient is not None:
                yield from self.one(client, request.patient)
                return
            while (wait := self.budget.quiet()) is not None:
                yield Batch((), wait=wait)
            plan = probe.plan(client, self.options)
            yield from crawl.crawl(self, client, request.cursor) if plan.crawls else self._all(client, request, plan)

    def check(self) -> Iterator[Finding]:
        """What ``check SOURCE`` shows: token, capability, plan, one resource read and mapped."""
        with closing(self.client()) as client:
            yield from probe.findings(client, self.mapper, self.options)

    def payloads(self, path: Path) -> Iterator[Payload]:
        return files.payloads(path)

    def client(self) -> FhirClient:
        return FhirClient(
            self.options.base_url,
            self.auth,
            clock=self.clock,
            timeout=self.options.timeout,
            sleep=self.sleep,
            budget=self.budget,
            ca=self.options.ca,
        )

    def _all(self, client: FhirClient, request: Fetch, plan: Plan) -> Iterator[Batch]:
        parameters = self._parameters(plan, request)
        kinds = self.kinds()
        seen: dict[bytes, None] = {}
        started: datetime | None = None
        for kind in kinds:
            own = {**self.options.search, **parameters} if kind == "Patient" else parameters
            for number, page in enumerate(client.search(kind, own), 1):
                started = started or page.searched_at
                last = page.last and kind == kinds[-1]
                batch = self._batch(page, f"{kind}/page-{number}", seen, started.isoformat() if last else None)
                yield batch if kind == "Patient" else self.confirmed(client, kind, batch)

    def kinds(self) -> list[str]:
        """Patient first: what a Consent or Flag says is about somebody known by then."""
        return ["Patient", *(kind for kind in ("Consent", "Flag") if self.mapper.rules.get(kind))]

    def _parameters(self, plan: Plan, request: Fetch) -> dict[str, str]:
        since = self._since(request) if plan.incremental and not request.full else None
        count = {"_count": str(self.options.page_size)}
        return count if since is None else {**count, LAST_UPDATED: f"ge{since:%Y-%m-%dT%H:%M:%S}.000Z"}

    def _since(self, request: Fetch) -> datetime | None:
        """From when on to read. A cursor that is not ours (the source was of another kind) means everything."""
        if request.since is not None:
            return request.since.astimezone(UTC)
        try:
            return datetime.fromisoformat(request.cursor).astimezone(UTC) - self.options.overlap if request.cursor else None
        except ValueError:
            return None

    def _batch(self, page: SearchPage, where: str, seen: dict[bytes, None], cursor: str | None) -> Batch:
        items: list[Item] = []
        payloads: list[bytes] = []
        for index, body in enumerate(page.page.resources):
            locator = f"{where}#{index}"
            found = [Filtered("came_again", locator)] if came_again(body, seen) else self.mapper.claims(Payload(body, locator, page.at))
            items.extend(found)
            payloads.extend([body] * len(found))
        # With several kinds to read, the total of one is not that of the run.
        return Batch(items, cursor, payloads, page.page.total if self.kinds() == ["Patient"] else None)

    def one(self, client: FhirClient, patient: str) -> Iterator[Batch]:
        """One patient, then the records about them. The cursor stays.

        A source that knows its patients by an authority's identifiers is asked for that first: somebody else's resource id may be
        the same text.
        """
        ways = [self._by_identifier, self.by_id]
        for way in ways if self.settings.authority or "|" in patient else reversed(ways):
            batches = list(way(client, patient))
            if any(batch.items for batch in batches):
                yield from batches
                names = [name for batch in batches for body in dict.fromkeys(batch.payloads) if (name := _resource_id(body))]
                yield from self.about(client, names)
                return

    def by_id(self, client: FhirClient, patient: str) -> Iterator[Batch]:
        response = client.read("Patient", patient) if RESOURCE_ID.fullmatch(patient) else None
        if response is not None:
            items = self.mapper.read(Payload(response.body, "Patient", response.at))
            yield Batch(items, None, [response.body] * len(items), 1)

    def _by_identifier(self, client: FhirClient, patient: str) -> Iterator[Batch]:
        for number, page in enumerate(client.search("Patient", {"identifier": patient}), 1):
            yield self._batch(page, f"Patient/page-{number}", {}, None)

    def about(self, client: FhirClient, names: list[str]) -> Iterator[Batch]:
        for kind in self.kinds()[1:]:
            for name in names:
                for number, page in enumerate(client.search(kind, {"patient": name}), 1):
                    yield self.confirmed(client, kind, self._batch(page, f"{kind}/page-{number}", {}, None))

    def confirmed(self, client: FhirClient, kind: str, batch: Batch) -> Batch:
        """The batch, in which a record takes back, or permits, only what no other record of its patient refuses."""
        return batch._replace(items=[self.still(client, kind, item) for item in batch.items])

    def still(self, client: FhirClient, kind: str, item: Item) -> Item:
        choose = self.mapper.options.consent.choose
        if not isinstance(item, PatientStatements) or not to_confirm(item, choose):
            return item
        patient = item.identifiers[0]
        if patient.type != identity.RESOURCE_ID:  # known by a logical reference, which few servers can search by
            return certain_only(item, choose) if choose == MOST_RESTRICTIVE else item
        pages = client.search(kind, {"patient": patient.value})
        others = (other for page in pages for body in page.page.resources for other in self.mapper.claims(Payload(body, kind, page.at)))
        return unless_refused(item, others, choose)


def _resource_id(body: bytes) -> str:
    try:
        return str(decode(body).get("id") or "")
    except NotReadable:
        return ""


def came_again(body: bytes, seen: dict[bytes, None]) -> bool:
    """Whether the same resource, to the byte, came in this run before. Remembers the last few thousand."""
    key = blake2b(body, digest_size=16).digest()
    if key in seen:
        return True
    seen[key] = None
    if len(seen) > REMEMBERED:
        del seen[next(iter(seen))]
    return False
