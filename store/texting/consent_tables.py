"""The typed rows of SMS consent that is a patient's own. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.columns import Mapped, mapped_column
from store.tables import BigId, Table


class SmsBindingRow(Table):
    """An opt-out that stays with a patient, whatever numbers the EMR lists for them later (``store.texting.binding``).

    ``number`` is the one the patient had then, empty where they had none. ``words`` is what was said, like in ``sms_words``. A change
    ends the row (``until``) and adds one, so that any earlier time can be read again. ``origin`` is the record it was said of, by
    which an unmerge gives it back; ``bound`` is when that record was bound first.
    """

    __tablename__ = "sms_bindings"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    number: Mapped[str]
    origin: Mapped[int]
    words: Mapped[str]
    bound: Mapped[datetime]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    __table_args__ = (Index("ix_sms_bindings_enterprise_number", "enterprise", "number"),)


class FormerNumberRow(Table):
    """A number that a patient does not have any more, and when that was learnt. ``patient_id`` is the record that had it."""

    __tablename__ = "former_numbers"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    until: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class SmsReplyRow(Table):
    """A reply that may mean an opt-out and waits for a person, or was decided by one.

    ``body`` is sealed with the key ``key_id`` (``store.sources.sealing``); both are empty where no key is configured.
    """

    __tablename__ = "sms_replies"
    id: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    state: Mapped[str]
    number: Mapped[str]
    line: Mapped[str]
    scope: Mapped[str]
    body: Mapped[bytes]
    key_id: Mapped[str | None]
    received: Mapped[datetime]
    recorded: Mapped[datetime]
    decided: Mapped[datetime | None]
    actor: Mapped[str]
    reason: Mapped[str]
    __table_args__ = (Index("ix_sms_replies_enterprise_state_recorded", "enterprise", "state", "recorded", "id"),)
