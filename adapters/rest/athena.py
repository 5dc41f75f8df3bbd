"""athenahealth's changed patients (``rest.athena``): a read that takes away what it delivers.

``GET /v1/{practiceid}/patients/changed`` answers with the patients that changed since they were last asked for, and marks them as
processed by answering. So nothing is asked for in earnest before it is kept, in three steps:

1. *replay*: what was marked as processed since the cursor is read once more (``showprocessedstartdatetime``). A crash between an answer
   that took away and the commit of what it held is mended here. Without a cursor the last ``replay`` is read.
2. *look*: everything unprocessed is read with ``leaveunprocessed=true``, batch by batch, each committed before the next is read.
3. *acknowledge*: the same is read without it until nothing is left. What it holds is committed too: it may have changed since the look.
   The last batch carries the cursor, which is the server's time at the start of the run.

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
LEFT = {"leaveunprocessed": "true"}
DAY = 86400.0


class AthenaAdapter(JsonAdapter):
    """One practice (option ``practice_id``); ``base_url`` is the API's origin, like https://api.platform.athenahealth.com.

    ``departments`` narrows the changes to some departments; ``replay`` (seconds) is how far back a first or full run reads once more.
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
        """Raises :class:`~adapters.base.AdapterError`; what was yielded before stands."""
        with closing(self.client()) as client:
            if request.patient is not None:
                yield from self.one(client, request.patient)
                return
            yield from self.wait_for_quiet_hours()
            started = self._subscribed(client)
            since = self._from(request, started)
            window = {"showprocessedstartdatetime": eastern(since), "showprocessedenddatetime": eastern(started + timedelta(minutes=1))}
            yield from self._read(client, "replay", window | LEFT)
            yield from self._read(client, "look", LEFT)
            if not request.dry:
                yield from self._acknowledged(client, started.isoformat())

    def check(self) -> Iterator[Finding]:
        """What ``check SOURCE`` shows: access, subscription, one changed patient read and mapped. Takes nothing away."""
        with closing(self.client()) as client:
            try:
                client.authorize()
                yield Finding("access", True, f"auth.kind {self.server.auth.get('kind') or 'none'}")
                self._subscribed(client)
                yield Finding(
                    "plan", True, "incremental reads of changed patients; the API cannot list all: load an initial export with ingest"
                )
                found = next((batch for batch in self._read(client, "sample", LEFT) if batch.items), None)
                yield from sample(found) if found else [Finding("sample read", True, "no patient has changed since the last read")]
            except AdapterError as error:
                yield Finding("read", False, str(error))

    def _subscribed(self, client: JsonClient) -> datetime:
        """No later than the server's time now, by its clock and by ours.

        A practice that is not subscribed has no changes, for ever: that must not pass for quiet.
        """
        answer = client.get(SUBSCRIPTION)
        status = answer.data.get("status") if answer is not None and type(answer.data) is dict else None
        if answer is None or status != "ACTIVE":
            message = "the practice is not subscribed to changed patients: POST /patients/changed/subscription once, then run again"
            raise AdapterError(message, permanent=True)
        return answer.began

    def _from(self, request: Fetch, started: datetime) -> datetime:
        """From when on processed changes are read again."""
        return (None if request.full else self._since(request)) or started - self._replay

    def _read(self, client: JsonClient, where: str, parameters: dict[str, str]) -> Iterator[Batch]:
        for place, page in enumerate(self.pages(client, CHANGED, self._asked() | parameters), 1):
            yield self.batch(page.records, page.answer.at, f"{where}-{place}", None)
            if page.short:
                raise IncompleteFetch(page.short)

    def _acknowledged(self, client: JsonClient, cursor: str) -> Iterator[Batch]:
        """Each answer takes its patients off the list, so the list is always read from its beginning."""
        page, before, whole = 0, None, CompletenessCheck("patient", trust_total=False)
        while True:
            answer = client.get(CHANGED, self._asked())
            records = self.records(answer) if answer is not None else []
            if answer is None or not records or records == before:  # the last: a list that does not get shorter is all there is
                yield Batch((), cursor)
                return
            page, before = page + 1, records
            whole.page(map(self.key, records))
            yield self.batch(records, answer.at, f"acknowledge-{page}", None)
            if whole.endless:
                raise IncompleteFetch(whole.incomplete_reason())

    def _asked(self) -> dict[str, str]:
        return self._limited(self.server.page_size) | ({"departmentid": self._departments} if self._departments else {})


def eastern(moment: datetime) -> str:
    """A time as athenahealth takes it."""
    return f"{moment.astimezone(EASTERN):%m/%d/%Y %H:%M:%S}"
