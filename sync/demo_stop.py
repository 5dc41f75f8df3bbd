"""The part of the demo about a STOP: it arrives as a provider's webhook, is in force at once, and goes back to the EMR.

It contains no sync logic: the provider and the EMR are rehearsed, and everything between them is the service.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from adapters.base import Fetch
from adapters.rehearsal import hl7
from adapters.rehearsal.dialect import AUTHORITY
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import UpdateListener
from adapters.rehearsal.provider import RehearsalProvider
from store.domain.decision_request import DecisionRequest
from store.domain.patient import PatientRef
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBacks
from store.runs.runs import RunKind
from sync.answers import decision_of
from sync.runtime import Runtime, UsageError, lane

PROVIDER, LINE = "rehearsal-sms", "+12175550199"
SECRET, PUBLIC = "rehearsal provider token", "https://contact.rehearsal.example"
CATEGORY = "https://rehearsal.example/consents|texts"
SMS = "consent.sms"
PATIENCE, EVERY = 60.0, 0.05


@dataclass(frozen=True, slots=True)
class StopShown:
    """What happened, step by step. ``forged``, ``accepted``: the provider's answers; ``as_consents``, ``as_updates``: what the EMR got.

    ``from_adt``, ``from_fhir``: whether the EMR's own record came back as unchanged. ``at_the_end``: the decision after all of it.
    """

    before: dict[str, Any]
    forged: list[int]
    after_forged: dict[str, Any]
    accepted: list[int]
    after: dict[str, Any]
    while_the_emr_says_yes: dict[str, Any]
    as_consents: int
    as_updates: int
    from_adt: str
    from_fhir: dict[str, int]
    at_the_end: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def provider_settings(enterprise: str) -> dict[str, Any]:
    """The ``providers`` of a configuration."""
    return {PROVIDER: {"enterprise": enterprise, "preset": "twilio", "secret": SECRET, "public_url": PUBLIC}}


def consent_source(fhir: dict[str, Any], echoed_by: str) -> dict[str, Any]:
    """A source that reads Consents of the same EMR, one patient at a time, and writes opt-outs as such."""
    back = {"sink": "fhir.consent", "attributes": {SMS: {"category": CATEGORY}}, "echoed_by": [echoed_by]}
    own = {"consent": {"attribute": SMS, "category": [CATEGORY]}, "write_back": back, "schedule": "never"}
    return fhir | {"display_name": "Rehearsal EMR (Consents)", "mapping": {}} | own


def update_sink(connect: str, echoed_by: str) -> dict[str, Any]:
    """Settings of the ADT source: opt-outs are sent as updates to the EMR's listener."""
    attributes = {SMS: {"field": "PD1-11.1", "code": "01"}}
    return {"write_back": {"sink": "hl7v2.a31", "connect": connect, "attributes": attributes, "echoed_by": [echoed_by]}}


@dataclass(frozen=True, slots=True)
class Stop:
    """One patient's STOP. ``updates``: the EMR's listener; ``consents``, ``adt``: the sources that write; ``address``: of the service.

    ``listener``: host and port of its MLLP listener.
    """

    emr: RehearsalEmr
    updates: UpdateListener
    runtime: Runtime
    enterprise: str
    consents: str
    adt: str
    address: str
    listener: tuple[str, int]

    def play(self) -> StopShown:
        """Plays it. Raises :class:`UsageError` if a step does not come to its end."""
        index, number = self.somebody()
        provider = RehearsalProvider(f"http://{self.address}/v1/inbound/{PROVIDER}", SECRET, f"{PUBLIC}/v1/inbound/{PROVIDER}")
        self.adt_message(index)
        self.pull(index)
        before = self.decision(index)
        forged = provider.reply(number, LINE, "STOP", secret="a guess")
        after_forged = self.decision(index)
        accepted = provider.reply(number, LINE, "STOP")
        after = self.decision(index)
        self.adt_message(index, texting_ok=True)
        says_yes = self.decision(index)
        _until(lambda: {self.consents, self.adt} <= self._told())
        from_adt = self.adt_message(index)
        from_fhir = self.pull(index)
        told = (len(self.emr.written.consents), len(self.updates.messages))
        return StopShown(before, forged, after_forged, accepted, after, says_yes, *told, from_adt, from_fhir, self.decision(index))

    def somebody(self) -> tuple[int, str]:
        """A patient who may be texted, at a number that nobody else has."""
        people = [self.emr.entry(index).person for index in range(self.emr.chart.population.size)]
        numbers = Counter(one.e164 for person in people for one in person.numbers)
        for person in people:
            cells = [one.e164 for one in person.numbers if one.kind == "cell" and numbers[one.e164] == 1]
            if cells and person.texting_ok and person.do_not_contact is False and not person.restricted and person.deceased_on is None:
                return person.index, cells[0]
        raise UsageError("too few patients to show everything; use --patients 100 or more")

    def decision(self, index: int) -> dict[str, Any]:
        """Whether the patient may be sent a text."""
        request = DecisionRequest(message_type="broadcast", channels=("sms",), line=LINE)
        return dict(decision_of(self.runtime, self.enterprise, self._ref(index), request))

    def adt_message(self, index: int, **changes: Any) -> str:
        """The EMR sends the patient's record as of now; whether that changed anything here."""
        entry, version = self.emr.entry(index), self._version(index)
        now = entry._replace(updated=self.emr.chart.clock(), person=replace(entry.person, **changes))
        report = self.emr.send(*self.listener, [hl7.message(now)])
        if report.accepted != 1:
            raise UsageError("the service did not accept the rehearsal EMR's message")
        return "unchanged" if self._version(index) == version else "applied"

    def pull(self, index: int) -> dict[str, int]:
        """Reads the patient's record from the EMR over FHIR; the counts by outcome."""
        feed, only = self.runtime.feed(self.consents), Fetch(patient=self.emr.entry(index).person.mrn)
        run = self.runtime.engine.run(lane(feed), self.runtime.polled(feed), only, RunKind.RESYNC)
        return dict(run.counts)

    def _told(self) -> set[str]:
        """The sources whose EMR has an opt-out."""
        return {source for source, state in WriteBacks(self.runtime.database).counts() if state == WriteBackState.SENT}

    def _version(self, index: int) -> int:
        return self.runtime.preferences.find(self.enterprise, self._ref(index)).version

    def _ref(self, index: int) -> PatientRef:
        return PatientRef(authority=AUTHORITY, value=self.emr.entry(index).person.mrn)


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise UsageError(f"the STOP did not reach the rehearsal EMR within {PATIENCE:g} s")
        time.sleep(EVERY)
