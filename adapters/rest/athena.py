"""The adapter ``rest.athena``: athenahealth's changed patients, a list whose read marks its entries as processed.

``GET /v1/{practiceid}/patients/changed`` returns the patients that changed since the last call, and marks them as processed. So a patient
is marked only after its data is committed, in three steps:

1. *replay*: reads again what was marked as processed since the cursor (``showprocessedstartdatetime``). This recovers from a crash between
   a response that marked patients and the commit of their data. Without a cursor, the last ``replay`` is read.
2. *look*: reads everything unprocessed with ``leaveunprocessed=true``, batch by batch. Each is committed before the next is read.
3. *acknowledge*: reads the same without that parameter until nothing is left. Its content is committed too, because it may have changed
   since the look. The last batch has the cursor: the server's time at the start of the run.

Times are Eastern wall-clock time, ``MM/DD/YYYY HH:MM:SS``. The practice must be subscribed (``/patients/changed/subscription``). A dry run
does not acknowledge. Sources: docs.athenahealth.com/api/api-ref/patient; github.com/eleanorhealth/go-athenahealth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from adapters.base import AdapterError, Batch, Fetch, Finding, IncompleteFetch, SourceSettings
from adapters.http.auth import Clock
from adapters.http.completeness import CompletenessCheck
from adapters.options import number
from adapters.rest.client import JsonClient
from adapters.rest.rest import JsonAdapter, sample, utc_now

EASTERN = ZoneInfo("America/New_York")
CHANGED = "patients/changed"
SUBSCRIPTION = f"{CHANGED}/subscription"
LEAVE_UNPROCESSED = {"leaveunprocessed": "true"}
DAY = 86400.0


class AthenaAdapter(JsonAdapter):
    """One practice (option ``practice_id``). ``base_url``: the API's origin, like https://api.platform.athenahealth.com.

    ``departments`` limits the changes to some departments. ``replay`` (seconds): how far back a first or full run reads again.
    """

    def __init__(self, settings: SourceSettings, *, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(settings, clock=clock, sleep=sleep)
        options = settings.options
        practice = str(options.get("practice_id") or "")
        if not practice.isascii() or not practice.isalnum():
            raise ValueError("practice_id is missing or not a number: set the practice ID")
        self._replay = timedelta(seconds=number(options, "replay", 7 * DAY, least=0, most=30 * DAY))
        self._departments = ",".join(str(one) for one in options.get("departments") or ())
        self.server = replace(self.server, base_url=f"{self.server.base_url}/v1/{practice}")

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """The three steps. Raises :class:`~adapters.base.AdapterError`; batches yielded before it remain valid."""
        with closing(self.client()) as client:
            if request.patient is not None:
                yield from self.read_patient(client, request.patient)
                return
            yield from self.wait_for_quiet_hours()
            started = self._check_subscription(client)
            since = self._replay_start(request, started)
            window = {"showprocessedstartdatetime": eastern(since), "showprocessedenddatetime": eastern(started + timedelta(minutes=1))}
            yield from self._read(client, "replay", window | LEAVE_UNPROCESSED)
            yield from self._read(client, "look", LEAVE_UNPROCESSED)
            if not request.dry:
                yield from self._acknowledge(client, started.isoformat())

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE``: access, subscription, one changed patient read and mapped. Marks nothing as processed."""
        with closing(self.client()) as client:
            try:
                client.authorize()
                yield Finding("access", True, f"auth.kind {self.server.auth.get('kind') or 'none'}")
                self._check_subscription(client)
                yield Finding(
                    "plan",
                    True,
                    "incremental reads of changed patients; the API cannot list all patients: load an initial export with ingest",
                )
                found = next((batch for batch in self._read(client, "sample", LEAVE_UNPROCESSED) if batch.items), None)
                yield from sample(found) if found else [Finding("sample read", True, "no patient has changed since the last read")]
            except AdapterError as error:
                yield Finding("read", False, str(error))

    def _check_subscription(self, client: JsonClient) -> datetime:
        """Checks the subscription. Returns a time no later than the server's time now, by its clock and by ours.

        A practice without a subscription never has changes. That must not look like a quiet source.
        """
        answer = client.get(SUBSCRIPTION)
        status = answer.data.get("status") if answer is not None and type(answer.data) is dict else None
        if answer is None or status != "ACTIVE":
            message = "the practice is not subscribed to changed patients: POST /patients/changed/subscription once, then run again"
            raise AdapterError(message, permanent=True)
        return answer.began

    def _replay_start(self, request: Fetch, started: datetime) -> datetime:
        """The time from which processed changes are read again."""
        return (None if request.full else self._since(request)) or started - self._replay

    def _read(self, client: JsonClient, where: str, parameters: dict[str, str]) -> Iterator[Batch]:
        for place, page in enumerate(self.pages(client, CHANGED, self._query() | parameters), 1):
            yield self.batch(page.records, page.answer.at, f"{where}-{place}", None)
            if page.incomplete:
                raise IncompleteFetch(page.incomplete)

    def _acknowledge(self, client: JsonClient, cursor: str) -> Iterator[Batch]:
        """Reads the list until it is empty. Each response removes its patients from the list, so it is always read from the start."""
        page, before, completeness = 0, None, CompletenessCheck("patient", trust_total=False)
        while True:
            answer = client.get(CHANGED, self._query())
            records = self.records(answer) if answer is not None else []
            if answer is None or not records or records == before:  # the end, or a list that does not get shorter
                yield Batch((), cursor)
                return
            page, before = page + 1, records
            completeness.page(map(self.key, records))
            yield self.batch(records, answer.at, f"acknowledge-{page}", None)
            if completeness.endless:
                raise IncompleteFetch(completeness.incomplete_reason())

    def _query(self) -> dict[str, str]:
        return self._page_parameters(self.server.page_size) | ({"departmentid": self._departments} if self._departments else {})


def eastern(moment: datetime) -> str:
    """A time in athenahealth's format."""
    return f"{moment.astimezone(EASTERN):%m/%d/%Y %H:%M:%S}"
