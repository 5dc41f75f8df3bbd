"""The typed rows of what is known about a source besides its runs. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from store.columns import Mapped, mapped_column
from store.tables import Table


class ArrivalRow(Table):
    """How many records of a source were taken in within an hour (``store.sources.arrivals``). ``hour`` is its beginning."""

    __tablename__ = "arrivals"
    source: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    records: Mapped[int]
    news: Mapped[int]
    rejected: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class RejectionRoomRow(Table):
    """What a source has used of the hour's room for what could not be used (``store.sources.room``)."""

    __tablename__ = "rejection_room"
    source: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    hour: Mapped[datetime]
    nameless: Mapped[int]
    nameless_bytes: Mapped[int]
    named_bytes: Mapped[int]
    left_out: Mapped[int]
    bare: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class FindingRow(Table):
    """What was found out about a source last, by kind (``store.sources.findings``)."""

    __tablename__ = "source_findings"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    at: Mapped[datetime]
    document: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ScheduleTimeRow(Table):
    """When a source is to be read next, by kind of run (``store.sources.schedule_times``)."""

    __tablename__ = "schedule_times"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    schedule: Mapped[str]
    due: Mapped[datetime]
    asked: Mapped[datetime | None]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ProcessRow(Table):
    """A role of a serving process and when it was seen last (``store.sources.processes``). ``source``: of a listener, else empty."""

    __tablename__ = "processes"
    process: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    started: Mapped[datetime]
    steady: Mapped[datetime]
    seen: Mapped[datetime]
    failing: Mapped[datetime | None]
    messages: Mapped[int]
    reason: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)
