"""One clinic with two HL7 v2 sources on a real store that plays thousands of histories at once, wave by wave."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from adapters.base import Payload as Received
from adapters.base import SourceSettings
from adapters.hl7v2.mapping import Hl7Mapper
from store.db.database import Database
from store.domain.decision import decide
from store.domain.decision_request import Decision, DecisionRequest, KnownPatient
from store.domain.enterprise import Enterprise, Source
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.errors import StoreError
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.replay import replay
from sync.run import Lane
from tests.factories import sealing
from tests.properties.plain_events import DECEASED, DELETE, Merge, Payload, Reply, Step, Table
from tests.properties.plain_settings import FIELDS, A, B, Setting
from tests.store.site import BY_LINE

OWN, OTHER, NATION = "GENHOSP", "CLINIC", "NATION"
LINES = ("+12175559901", "+12175559902")
LOOSE = SafeguardRule(1_000_000, 100)
BATCH = 500
unique = itertools.count()
T = TypeVar("T")


@dataclass
class Clinic:
    """Plays histories: the n-th patient's records are ``A1.n``, ``A2.n`` and so on."""

    database: Database
    setting: Setting
    now: datetime = field(init=False)
    pending: set[str] = field(default_factory=set)
    messages: int = 0

    def __post_init__(self) -> None:
        self.name, self.now = f"clinic-{next(unique)}", self.setting.clock[0]
        own = {A: OWN, B: OTHER if self.setting.linked else OWN}
        sources = tuple(Source(self.lane(source).source, source, patient_id=((own[source], "MR"),)) for source in (A, B))
        enterprise = Enterprise(self.name, syncs=True, sources=sources, linking=frozenset({NATION}), default_region="US", policy=BY_LINE)
        self.store = Preferences(self.database, {self.name: enterprise})
        self.journal = Journal(self.database, sealing())
        self.engine = Engine(
            self.database, self.store, self.journal, lambda: self.now, Metrics(), batch_size=BATCH, safeguards={self.name: LOOSE}
        )
        self.own = own
        self.mappers = {source: self.mapper(source, self.setting.first[source]) for source in (A, B)}

    def lane(self, source: str) -> Lane:
        return Lane(f"{self.name}-{source}", self.name)

    def mapper(self, source: str, mapping: Mapping[str, Table]) -> Hl7Mapper:
        rules = {name: rule(name, mapping[name]) for name in FIELDS}
        linking = frozenset({NATION})
        name, own = self.lane(source).source, self.own[source]
        return Hl7Mapper(
            SourceSettings(name, "hl7v2.mllp", own, "MR", rules, default_region="US", time_zone="America/Chicago", linking=linking)
        )

    def wave(self, place: int, steps: Iterable[tuple[int, Step]]) -> None:
        """Receives the events of one wave: (patient, event), in order of receipt."""
        self.now = self.setting.clock[place]
        if place in self.setting.changes:
            source, mapping, at_once = self.setting.changes[place]
            self.mappers[source] = self.mapper(source, mapping)
            self.pending.add(source)
            if at_once:
                self.read_again()
        events = [(patient, step.event) for patient, step in steps]
        for source in (A, B):
            bodies = [message(patient, one) for patient, one in events if not isinstance(one, Reply) and one.source == source]
            self.messages += len(bodies)
            for group in parts(bodies, BATCH):
                self.engine.ingest(self.lane(source), self.mappers[source], [Received(body, "test", self.now) for body in group])
        for patient, one in events:
            if isinstance(one, Reply):
                at = None if one.ago is None else self.now - timedelta(seconds=one.ago)
                self.store.record_reply(self.name, LINES[one.line], number(patient, one.number), one.word, at, self.now)

    def read_again(self) -> None:
        """Rereads stored codes, and then rejections, with the current mapping."""
        for source in sorted(self.pending):
            lane, mapper = self.lane(source), self.mappers[source]
            assert self.engine.remap(lane, mapper).status == "done"
            for one in self.journal.rejections(self.name, lane.source, limit=1_000_000):
                if one.reason == "code_unmapped":
                    replay(self.engine, lane, mapper, self.journal.rejection(one.id))
        self.pending.clear()

    def known(self, names: Sequence[str]) -> Iterator[KnownPatient | None]:
        """The input of a decision, for each record."""
        for group in parts(names, BATCH):
            refs = [PatientRef(authority=self.authority(name), value=name) for name in group]
            for found in self.store.known(self.name, refs, self.now):
                yield None if isinstance(found, StoreError) else found

    def authority(self, record: str) -> str:
        return OWN if record[0] == "A" else OTHER

    def automation(self, known: KnownPatient, channel: str, line: str | None = None) -> Decision:
        return decide(DecisionRequest(message_type="automation", channels=(channel,), line=line), known, Policy(), self.now)


def parts(every: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(every), size):
        yield every[start : start + size]


def rule(name: str, table: Table) -> dict[str, object]:
    """A mapping table in configuration syntax."""
    return {
        "from": f"ZCP-{FIELDS.index(name) + 2}",
        "values": dict(table.values),
        "on_unknown": table.on_unknown,
        "on_absent": table.on_absent,
    }


def named(record: str, patient: int) -> str:
    return f"{record}.{patient}"


def number(patient: int, one: int) -> str:
    """A unique number of the patient."""
    return f"+1{(217, 312, 708)[one]}555{patient:04d}"


def message(patient: int, event: Payload | Merge) -> bytes:
    """An ADT message as bytes."""
    kind = "A40" if isinstance(event, Merge) else "A08"
    control = f"{event.control}.{patient}" if event.control else ""
    lines = [f"MSH|^~\\&|ADT|{OWN}|SYNC|HUB|{event.sent}||ADT^{kind}|{control}|P|2.5.1", f"EVN|{kind}|{event.event}"]
    if isinstance(event, Merge):
        lines += [f"PID|1||{identifier(event.survivor, patient)}", f"MRG|{identifier(event.merged, patient)}"]
    else:
        ids = identifier(event.record, patient)
        if event.linked:
            ids += f"~{event.linked}{f'.{patient}' if event.linked.startswith('N') else ''}^^^{NATION}^NI"
        phones = DELETE if event.phones == () else "~".join(phone(number(patient, one)) for one in event.phones or ())
        lines.append("|".join(["PID", "1", "", ids, *[""] * 9, phones, *[""] * 16, event.codes.get(DECEASED, "")]))
        lines.append("|".join(["PD1", *[""] * 11, event.restricted]))
        lines.append("|".join(["ZCP", "1", *(event.codes.get(name, "") for name in FIELDS)]))
    return "\r".join(lines).encode()


def identifier(record: str, patient: int) -> str:
    return f"{named(record, patient)}^^^{OWN if record[0] == 'A' else OTHER}^MR"


def phone(text: str) -> str:
    return f"({text[2:5]}){text[5:8]}-{text[8:]}^PRN^CP"
