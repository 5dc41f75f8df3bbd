"""The opt-out report: every number that may not be texted by the word of a patient or of staff, on which line, since when, whose it is.

What an EMR denies is not here: it is a value of its patient, with its evidence, on the facesheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import documents
from store.database import Database
from store.ids import shown
from store.word import standing

PAGE = 2_000
NUMBERS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number > ? ORDER BY number LIMIT ?"
OWNERS = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number IN ?? ORDER BY patient_id"


class OptedOut(NamedTuple):
    """One standing opt-out. ``line`` ``None``: every line but ``except_lines``. ``patients`` have the number now, by the store's id."""

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]


def opted_out(database: Database, enterprise: str) -> Iterator[OptedOut]:
    """Every standing opt-out, by number, a page at a time."""
    after = ""
    with database.read() as connection:
        while rows := database.select(connection, NUMBERS, [enterprise, after, PAGE]):
            yield from _page(database, connection, enterprise, rows)
            after = rows[-1][0]


def _page(database: Database, connection: Connection, enterprise: str, rows: list[Any]) -> Iterator[OptedOut]:
    refused = {number: standing(documents.read_words(words)) for number, words in rows}
    owners: dict[str, list[str]] = {}
    for number, patient in database.select(connection, OWNERS, [enterprise, [number for number, found in refused.items() if found]]):
        owners.setdefault(number, []).append(shown(patient))
    for number, found in refused.items():
        for one in sorted(found, key=lambda one: (one.line or "", one.topic or "", one.authority)):
            yield OptedOut(number, one.line, one.scope, one.topic, one.authority, one.at, one.except_lines, tuple(owners.get(number, ())))
