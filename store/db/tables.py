"""The typed rows of patients, settings, runs and keys. No behaviour: the values that repositories build from a row explain its meaning.

Documents (``contact``, ``provenance``, ``assertions`` …) are JSON text written by ``store.domain.documents``. One row holds everything
that one authority asserts about one patient: one row per attribute would mean ten times as many rows in every batch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text, TypeDecorator, text
from sqlalchemy.engine import Dialect

from store.db.columns import Declared, Mapped, PartialIndex, mapped_column

CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware times in UTC only. SQLite has no such type: there it is ISO 8601 text, which sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(String(32)) if dialect.name == "sqlite" else self.impl

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.isoformat() if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid alias must be spelt INTEGER


class Table(metaclass=Declared):
    """Parent of all rows: sets the names of constraints and the column types."""

    __tablename__: ClassVar[str]
    known = MetaData(naming_convention=CONVENTION)
    types: ClassVar[dict[str, Any]] = {"datetime": UtcDateTime, "str": Text, "int": BigInteger, "bytes": LargeBinary}


class PatientRow(Table):
    """A patient and the values in force. ``basis`` is the enterprise's configuration that they were computed with.

    ``due``: when a period begins or ends and changes them (``store.domain.periods``). ``search_entry``: what :class:`SearchRow` has of the
    patient (``store.domain.search_entry``); ``None``: written before there was one.
    """

    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    enterprise: Mapped[str]
    version: Mapped[int]
    basis: Mapped[str]
    sources: Mapped[str]
    contact: Mapped[str]
    provenance: Mapped[str]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("patients.id"))
    created: Mapped[datetime]
    updated: Mapped[datetime]
    due: Mapped[datetime | None]
    search_entry: Mapped[str | None]
    __table_args__ = (
        PartialIndex("ix_patients_not_indexed", ("enterprise", "id"), where="search_entry IS NULL AND merged_into IS NULL"),
        PartialIndex("ix_patients_merged_into", ("merged_into",), where="merged_into IS NOT NULL"),
        PartialIndex("ix_patients_due", ("enterprise", "due"), where="due IS NOT NULL"),
    )


class IdentifierRow(Table):
    """A patient's identifier by one issuer. ``origin`` is the patient that it first belonged to, so that a merge can be undone.

    ``kind`` is one of ``store.domain.identifiers``. Patients may share an identifier that is for look-up only.
    """

    __tablename__ = "identifiers"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    authority: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    kind: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class AssertionRow(Table):
    """Everything that one authority asserts about one patient. For an EMR source this row is also the mark of what was synced.

    ``effective`` is the time of the payload that last changed the document. ``confirmed`` is the newest time at which the same content
    was stated again (``content`` is its digest, with its repeat key, if any: ``payload.kept_as``); ``seen`` are the evidence ids of the
    payloads of that time. If one of these times is an interval, ``effective_latest`` or ``confirmed_latest`` is its end
    (``store.times``). ``codes``: the source's own codes after the name of the mapping that read them (``store.domain.source_codes``).
    ``unreadable``: attributes whose newer evidence could not be read (``store.domain.unreadable``).
    """

    __tablename__ = "assertions"
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    authority: Mapped[str] = mapped_column(primary_key=True)
    assertions: Mapped[str]
    effective: Mapped[datetime]
    confirmed: Mapped[datetime]
    content: Mapped[str | None]
    seen: Mapped[str]
    since: Mapped[datetime]
    last_heard: Mapped[datetime]
    unreadable: Mapped[str | None]
    effective_latest: Mapped[datetime | None]
    confirmed_latest: Mapped[datetime | None]
    codes: Mapped[str | None]
    __table_args__: Any = (
        PartialIndex("ix_assertions_unreadable", ("authority",), where="unreadable IS NOT NULL"),
        {"sqlite_with_rowid": False},
    )


class PhoneRow(Table):
    """A patient's phone number or e-mail address (in lower case), from any source that lists it.

    ``in_force`` is 0 if the values in force do not include it.
    """

    __tablename__ = "patient_phones"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, index=True)
    in_force: Mapped[int] = mapped_column(server_default=text("1"))
    __table_args__: Any = (
        PartialIndex("ix_patient_phones_not_in_force", ("patient_id",), where="in_force = 0"),
        {"sqlite_with_rowid": False},
    )


class SearchRow(Table):
    """One word of a patient's name, or the birth date, beside the whole entry (``store.domain.search_entry``).

    Its primary key answers a search by itself: the words that begin with a text, in order, each with what else it needs. PostgreSQL
    compares these columns byte by byte (collation C), as SQLite does, since only then a beginning is a range. No foreign key: rows are
    written with those of the patient, and checking each word would cost intake more than writing it.
    """

    __tablename__ = "patient_search"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(primary_key=True)
    entry: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(primary_key=True)
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ChangeRow(Table):
    """Append only. What one authority newly asserted about one patient, with the previous value. ``seq`` orders the feed."""

    __tablename__ = "changes"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    version: Mapped[int]
    at: Mapped[datetime]
    authority: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    evidence_id: Mapped[str]
    effective: Mapped[datetime]
    run_id: Mapped[str | None]
    changes: Mapped[str]
    __table_args__ = (Index("ix_changes_enterprise_seq", "enterprise", "seq"), Index("ix_changes_patient_id_seq", "patient_id", "seq"))


BY_HAND = """(words LIKE '%"staff"%' OR words LIKE '%"review"%')"""
"""Events of authorities that are rare among opt-outs: a filter by them reads an index of these rows alone."""


class SmsWordsRow(Table):
    """The consent of one number or e-mail address: the newest event of each authority, line, topic and channel
    (``store.domain.sms_consent.ConsentEvent``).
    """

    __tablename__ = "sms_words"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    words: Mapped[str]
    updated: Mapped[datetime]
    __table_args__: Any = (PartialIndex("ix_sms_words_by_hand", ("enterprise", "number"), where=BY_HAND), {"sqlite_with_rowid": False})


class SmsConsentEventRow(Table):
    """Append only. Every opt-out and opt-in, by keyword or by hand, even if it changed nothing.

    ``kind`` is opt_out or opt_in for texts, and voice:opt_out or email:opt_out for the other channels. ``in_reply_to`` is the class of the
    message that an opt-out answered (``store.domain.message_class``), if it is known.
    """

    __tablename__ = "sms_consent_events"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    number: Mapped[str]
    line: Mapped[str]
    authority: Mapped[str]
    kind: Mapped[str]
    scope: Mapped[str]
    topic: Mapped[str]
    word: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    recorded: Mapped[datetime]
    in_reply_to: Mapped[str | None]
    __table_args__ = (Index("ix_sms_consent_events_enterprise_number", "enterprise", "number"),)


class SettingRow(Table):
    """Settings of an enterprise that staff change in the service. Append only: the newest row counts."""

    __tablename__ = "settings"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str] = mapped_column(index=True)
    settings: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]


class RunRow(Table):
    """One pull, batch or resync. A partial unique index allows one ``running`` run per source."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    enterprise: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    owner: Mapped[str]
    started: Mapped[datetime]
    alive: Mapped[datetime]
    finished: Mapped[datetime | None]
    since: Mapped[str | None]
    cursor: Mapped[str | None]
    counts: Mapped[str]
    error: Mapped[str | None]
    __table_args__ = (
        PartialIndex("uq_runs_active_source", ("source",), where="status = 'running'", unique=True),
        Index("ix_runs_source_started", "source", "started"),
        Index("ix_runs_enterprise_status_started", "enterprise", "status", "started", "id"),
        Index("ix_runs_enterprise_source_status_started", "enterprise", "source", "status", "started", "id"),
    )


class SourceStateRow(Table):
    """A source's cursor, and when data was last received from it."""

    __tablename__ = "source_states"
    source: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    cursor: Mapped[str | None]
    last_heard: Mapped[datetime | None]


class SourceNoteRow(Table):
    """What a source's adapter keeps between runs (``store.runs.source_notes``)."""

    __tablename__ = "source_notes"
    source: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    text: Mapped[str]


class RejectionRow(Table):
    """A payload, or one field of it (``scope``), that was rejected. If the same one comes again, ``times`` goes up.

    ``payload`` is encrypted with the key ``key_id`` (``store.runs.encryption``); both are empty if no payload is kept. ``evidence_id`` is
    the control id of the message, or the type and id of the resource; empty if none was found. ``attribute`` is what could not be read,
    and ``patient_id`` whose it is, if they are known.
    """

    __tablename__ = "rejections"
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    enterprise: Mapped[str]
    digest: Mapped[str]
    scope: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    detail: Mapped[str]
    path: Mapped[str]
    locator: Mapped[str]
    payload: Mapped[bytes]
    key_id: Mapped[str | None]
    times: Mapped[int]
    run_id: Mapped[str | None]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    evidence_id: Mapped[str] = mapped_column(server_default="")
    attribute: Mapped[str] = mapped_column(server_default="")
    patient_id: Mapped[int | None]
    __table_args__ = (
        Index("uq_rejections_source_digest", "source", "digest", unique=True),
        Index("ix_rejections_status_last_at", "status", "last_at", "id"),
        Index("ix_rejections_enterprise_status_last_at", "enterprise", "status", "last_at", "id"),
        Index("ix_rejections_source_status_last_at", "source", "status", "last_at", "id"),
        Index(
            "ix_rejections_cause",
            *("enterprise", "status", "source", "reason", "path", "attribute", "patient_id", "times", "first_at", "last_at", "id"),
        ),
    )


class SchemaProgramRow(Table):
    """The version of the program that upgraded the schema to a revision (``store.db.schema``)."""

    __tablename__ = "schema_programs"
    revision: Mapped[str] = mapped_column(primary_key=True)
    program: Mapped[str]
    at: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ApiKeyRow(Table):
    """A caller's API key. The secret is shown once and kept only as its SHA-256. ``last_used`` is the start of an hour.

    ``grants`` are names separated by spaces.
    """

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    enterprise: Mapped[str]
    role: Mapped[str]
    digest: Mapped[str]
    created: Mapped[datetime]
    revoked: Mapped[datetime | None]
    expires: Mapped[datetime | None]
    last_used: Mapped[datetime | None]
    grants: Mapped[str] = mapped_column(server_default="")
