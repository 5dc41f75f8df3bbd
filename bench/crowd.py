"""A store that has grown for years: a few patients are really ingested, all others are copies of their rows (``bench.multiplied``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any, NamedTuple

from bench import site
from bench.multiplied import multiplied
from store import times
from store.audit.audit_log import VIEWED, Audit
from store.db.tables import AssertionRow, ChangeRow, IdentifierRow, PatientRow, PhoneRow, RunRow, SmsWordsRow
from store.db.tables_operations import ChainHeadRow, ChainLinkRow
from store.db.tables_records import SmsBindingRow
from store.domain.ids import parsed, token
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.holds.held_changes import HeldChange, HeldChanges, HeldChangeState
from store.holds.held_runs import HeldRuns
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientStatements, Phone, Statement, emr
from store.runs.runs import RUN_COLUMNS, Journal, Rejected, RunStatus
from store.runs.source_stats import Arrivals

NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(days=400)
AUTHORITY, FIRST, BUSY = "GENHOSP", "MRN1", "MRN2"
CELL, SHARED, LINE = "+12175550100", "+12175550199", "+12175550111"
HOURS = 35 * 24
APART = 1 << 22
"""The distance of two patients' ids: a millisecond (``store.domain.ids``)."""

PERSON = f"r.id + n.i * {APART}"
OWN = f"replace({{}}, '{CELL}', '+1' || (3000000000 + n.i))"
REASONS = (
    ("code_unmapped", "the code of {} is in no values table"),
    ("phone_invalid", "{} is not a phone number"),
    ("time_unreadable", "{} is not a time"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the store."""

    patients: int = 1_000_000
    audit: int = 1_000_000
    opt_outs: int = 200_000
    rejections: int = 100_000
    held: int = 20_000
    sharing: int = 20_000
    runs: int = 5_000
    history: int = 1_000

    def smaller(self, times: int) -> Size:
        """The same store with fewer patients and related rows, by a factor; the one long history stays."""
        counts = (self.patients, self.audit, self.opt_outs, self.rejections, self.held, self.sharing, self.runs)
        return Size(*(count // times for count in counts), self.history)


class Subjects(NamedTuple):
    """The store's ids that pages are opened for."""

    patient: str
    run: str
    rejection: str


class Crowd:
    """Fills an empty database for the benchmark's enterprise."""

    def __init__(self, store: Preferences, journal: Journal, size: Size) -> None:
        self.store, self.journal, self.database, self.size = store, journal, store.database, size
        self.first = 0

    def fill(self) -> Subjects:
        """Writes everything. PostgreSQL is then vacuumed, as happens by itself in a store that grows for years."""
        self._state(FIRST, 0, do_not_contact="yes", language="en", **{"consent.sms": "denied"})
        self.first = self._number(FIRST)
        self.store.record_reply(site.ENTERPRISE, LINE, CELL, "STOP", BEGAN, BEGAN)
        self._everybody()
        run_id, rejection = self._held(), self._rejections()
        self._runs()
        patient = self._busy()
        self._viewed(patient)
        if not self.database.is_sqlite:
            with self.database.read() as connection:  # outside a transaction
                connection.exec_driver_sql("VACUUM ANALYZE")
        return Subjects(patient, run_id, rejection)

    def _state(
        self,
        mrn: str,
        minute: int,
        source: str = site.ADT,
        phones: tuple[Phone, ...] = (Phone(CELL, "cell", CELL, 1, True),),
        **more: Any,
    ) -> None:
        at = BEGAN + timedelta(minutes=minute)
        stated = {name: Statement(value, f"ZCP-{place}") for place, (name, value) in enumerate({"phones": phones, **more}.items())}
        item = PatientStatements((Identifier(AUTHORITY, "MR", mrn),), stated, times.at(at), f"M{minute}")
        with self.database.write(site.ENTERPRISE) as transaction:
            self.store.apply_many(transaction, site.ENTERPRISE, source, [item], now=at)
            self.journal.mark_received(transaction, source, site.ENTERPRISE, now=NOW)

    def _number(self, mrn: str) -> int:
        return parsed(self.store.find(site.ENTERPRISE, PatientRef(value=mrn)).id) or 0

    def _everybody(self) -> None:
        """Copies the first patient, with another id, record number and phone each."""
        more, sharing = self.size.patients - 1, self.size.sharing
        own, patient = {"patient_id": f"r.patient_id + n.i * {APART}"}, f"r.patient_id = {self.first}"
        texts = {name: OWN.format(f"r.{name}") for name in ("contact", "provenance")}
        with self.database.write(site.ENTERPRISE) as transaction:
            for table, times, changed, where in (
                (PatientRow, more, {"id": PERSON, **texts}, f"r.id = {self.first}"),
                (IdentifierRow, more, {**own, "origin": own["patient_id"], "value": "'MRN1-' || n.i"}, patient),
                (AssertionRow, more, {**own, "assertions": OWN.format("r.assertions")}, patient),
                (PhoneRow, more, {**own, "number": OWN.format("r.number")}, patient),
                (PhoneRow, sharing, {**own, "number": f"'{SHARED}'"}, patient),
                (ChangeRow, more, {**own, "changes": OWN.format("r.changes")}, patient),
                (
                    SmsWordsRow,
                    self.size.opt_outs - 1,
                    {name: OWN.format(f"r.{name}") for name in ("number", "words")},
                    f"r.number = '{CELL}'",
                ),
                (
                    SmsBindingRow,
                    self.size.opt_outs - 1,
                    {**own, "origin": own["patient_id"], **{name: OWN.format(f"r.{name}") for name in ("number", "words")}},
                    patient,
                ),
            ):
                multiplied(self.database, transaction, table, times, changed, where)

    def _held(self) -> str:
        """The held changes of a run with a broken mapping: all its patients would be contacted and texted again."""
        flips = (("do_not_contact", "yes->no", "no"), ("consent.sms", "denied->granted", "granted"))
        held = HeldChanges(self.database)
        with self.database.write(site.ENTERPRISE) as transaction:
            number = HeldRuns(self.database).live_run(transaction, site.ADT, site.ENTERPRISE, now=NOW)
            HeldRuns(self.database).count(transaction, number, self.size.held, now=NOW)
            where, evidence = (site.ENTERPRISE, site.ADT, number, HeldChangeState.HELD, False), (times.at(NOW), 0, "M1", NOW)
            for people in _lots(range(self.size.held), 2_000):
                held.put(
                    transaction,
                    [
                        HeldChange(self.first + one * APART, emr(site.ADT), name, *where, direction, value, "ZCP-2", *evidence)
                        for one in people
                        for name, direction, value in flips
                    ],
                )
        return number

    def _rejections(self) -> str:
        for lot in _lots(range(self.size.rejections), 500):
            at = BEGAN + timedelta(minutes=lot[0])
            rows = [_rejected(number, self.first + number * APART) for number in lot]
            with self.database.write(site.ENTERPRISE) as transaction:
                self.journal.reject(transaction, rows, source=site.ADT, enterprise=site.ENTERPRISE, run_id=None, now=at)
        return self.journal.rejections(site.ENTERPRISE, limit=1)[0].id

    def _runs(self) -> None:
        rows = []
        for minutes, source in zip(range(self.size.runs), cycle((site.ADT, site.FHIR)), strict=False):
            at, counts = NOW - timedelta(hours=minutes + 1), f'{{"applied":{minutes % 997},"unchanged":{minutes}}}'
            rows.append(
                (token("run"), source, site.ENTERPRISE, "incremental", RunStatus.DONE, "bench:1", at, at, at, None, None, counts, None)
            )
        arrivals = Arrivals(self.database)
        with self.database.write(site.ENTERPRISE) as transaction:
            self.database.insert(transaction, RunRow, RUN_COLUMNS, rows)
            for hours in range(HOURS):
                arrivals.count(
                    transaction, site.ADT, site.ENTERPRISE, {"applied": hours % 37, "unchanged": 99}, now=NOW - timedelta(hours=hours)
                )

    def _busy(self) -> str:
        """A patient with statements about everything by all sources, again and again."""
        phones = tuple(
            Phone(f"+1217555{number:04d}", kind, "", None, True)
            for number, kind in zip(range(120, 126), cycle(("cell", "home", "work")), strict=False)
        )
        for minute in range(self.size.history):
            source = (site.ADT, site.FHIR)[minute % 2]
            value, kept = ("yes", "no")[minute // 2 % 2], ("granted", "denied")[minute // 3 % 2]
            consents: dict[str, Any] = {
                "consent.sms": kept,
                f"consent.sms#{CELL}": kept,
                "consent.voice": kept,
                "consent.email": kept,
                "topic.billing.sms": kept,
                "topic.recalls.sms": kept,
            }
            self._state(
                BUSY,
                minute,
                source,
                (*phones, Phone(SHARED, "work"), Phone(CELL, "cell")),
                do_not_contact=value,
                language="en",
                email=("busy@patient.example",),
                preferred_method="sms",
                **consents,
            )
        patient = self.store.find(site.ENTERPRISE, PatientRef(value=BUSY)).id
        for line in range(50):
            self.store.record_sms_opt_out(
                site.ENTERPRISE, patient, line=f"+1217555{line:04d}", actor=Actor("staff", "kim"), now=NOW, reason="asked"
            )
        return patient

    def _viewed(self, patient: str) -> None:
        Audit(self.database).note(site.ENTERPRISE, VIEWED, patient, actor="staff:kim", now=NOW, version=1)
        with self.database.write(site.ENTERPRISE) as transaction:
            head = self.database.select(
                transaction, "SELECT number, hash FROM chain_heads WHERE enterprise = ? AND chain = 'audit'", [site.ENTERPRISE]
            )[0]
            last = head[0]
            subject = f"CASE WHEN n.i % 100 = 0 THEN r.subject ELSE 'pt_' || (1000000000000000 + n.i % {self.size.patients}) END"
            multiplied(
                self.database,
                transaction,
                ChainLinkRow,
                self.size.audit,
                {"number": "r.number + n.i", "subject": subject},
                f"r.chain = 'audit' AND r.number = {last}",
            )
            self.database.upsert(
                transaction,
                ChainHeadRow,
                ("enterprise", "chain", "number", "hash"),
                [(site.ENTERPRISE, "audit", last + self.size.audit, head[1])],
            )


def _rejected(number: int, patient: int) -> Rejected:
    reason, detail = REASONS[number % len(REASONS)]
    path = f"PV1-{number % 60 + 1}"
    named = (reason, detail.format(path), path, f"feed.hl7:{number}", f"PID|1||R{number}^^^GENHOSP^MR\r".encode(), "field", f"M{number}")
    return Rejected(*named, attribute="do_not_contact", patient_id=patient)


def _lots(numbers: range, size: int) -> Iterator[list[int]]:
    remaining = iter(numbers)
    while lot := list(islice(remaining, size)):
        yield lot
