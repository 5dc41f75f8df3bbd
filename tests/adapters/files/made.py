"""Invented extracts, and a source that reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.base import Batch, Fetch, Filtered, Item, SourceSettings, Unmappable
from adapters.files.adapter import DelimitedAdapter
from store.preference import PatientStatements

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ANSWERS = {"Y": "granted", "N": "denied"}
DNC = {"do_not_contact": {"from": "DNC", "values": {"Y": "yes", "N": "no"}}}
WIDE: dict[str, Any] = {"patients": {"file": "wide_%Y%m%d.csv", "patient": "ID"}}
LONG: dict[str, Any] = {"patients": {"file": "long_%Y%m%d.csv", "patient": "ID", "rows": "many"}}
SMS_ROW = {"consent.sms": {"from": "rows[CONCEPT=SMS].ANSWER", "values": ANSWERS}}
JOINED: dict[str, Any] = {
    "patients": {"file": "patients_%Y%m%d.csv", "patient": "ID"},
    "preferences": {"file": "preferences_%Y%m%d.csv", "into": "patients", "join": {"PREF": "PREF"}},
    "media": {"file": "media_%Y%m%d.csv", "into": "preferences", "join": {"PREF": "PREF", "GROUP": "LINE"}},
}
MEDIA = {"topic.recalls.*": {"from": "preferences[CONCEPT=Recall].media.MEDIUM", "values": {"E": "email", "T": "sms", "X": "none"}}}
DAY = "20261128"


def settings(tables: dict[str, Any], mapping: dict[str, Any], **options: Any) -> SourceSettings:
    known = {"tables": tables, "semantics": "delta", "record": {"id": "ID", "patient_id": "ID"}, "settle": 0}
    return SourceSettings(
        "clinic-emr",
        "files.delimited",
        authority="GENHOSP",
        identifier_type="MR",
        mapping=mapping,
        options=known | options,
        default_region="US",
        time_zone="America/Chicago",
    )


def adapter(folder: Path, tables: dict[str, Any] = WIDE, mapping: dict[str, Any] = DNC, **options: Any) -> DelimitedAdapter:
    return DelimitedAdapter(settings(tables, mapping, path=str(folder), **options), clock=lambda: NOW)


def write(folder: Path, name: str, *rows: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    """A file that settled long ago."""
    path = folder / name
    path.write_bytes("".join(row + end for row in rows).encode(encoding))
    os.utime(path, (NOW.timestamp() - 3600,) * 2)
    return path


def joined(folder: Path, patients: Sequence[str], preferences: Sequence[str], media: Sequence[str], day: str = DAY) -> None:
    """A set of three files."""
    write(folder, f"patients_{day}.csv", "ID,PREF", *patients)
    write(folder, f"preferences_{day}.csv", "PREF,LINE,CONCEPT", *preferences)
    write(folder, f"media_{day}.csv", "PREF,GROUP,MEDIUM", *media)


class Result:
    """What one read of the folder gave. ``error``: why it failed at its end."""

    def __init__(self, reader: DelimitedAdapter, cursor: str | None = None, **request: Any) -> None:
        self.batches: list[Batch] = []
        self.error = ""
        try:
            self.batches.extend(reader.fetch(Fetch(cursor=cursor, **request)))
        except Exception as error:
            self.error = str(error)
        self.cursor = next((one.cursor for one in reversed(self.batches) if one.cursor is not None), cursor)
        self.items: list[Item] = [item for one in self.batches for item in one.items]

    @property
    def reasons(self) -> list[str]:
        return [item.reason for item in self.items if isinstance(item, Unmappable)]

    @property
    def filtered(self) -> list[str]:
        return [item.reason for item in self.items if isinstance(item, Filtered)]

    @property
    def notes(self) -> list[str]:
        return [one.note for one in self.batches if one.note]

    @property
    def patients(self) -> list[PatientStatements]:
        return [item for item in self.items if isinstance(item, PatientStatements)]

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """Patient -> what is stated, the last record of a patient last."""
        return {one.identifiers[0].value: {name: each.value for name, each in one.statements.items()} for one in self.patients}

    @property
    def unreadable(self) -> dict[str, list[str]]:
        """Patient -> the attributes that could not be read."""
        return {one.identifiers[0].value: [each.attribute for each in one.problems] for one in self.patients if one.problems}


def read(folder: Path, tables: dict[str, Any] = WIDE, mapping: dict[str, Any] = DNC, **options: Any) -> Result:
    return Result(adapter(folder, tables, mapping, **options))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def record(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found
