"""The layouts of the rehearsal EMR's extracts: their tables, the rows of a patient in each, and how a source reads them. Pure.

``wide`` has a row for each patient, ``long`` a row for each preference, ``epic`` the tables of Epic's EHI export in one zip file. The
sources of Epic's names are those of the preset ``epic-ehi``.
A patient without a statement has an empty field, no row, or a concept without approved media.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.dialect import METHOD_VALUES
from adapters.rehearsal.population import InventedPerson

PLACE = "%Y%m%d%H%M%S_{sequence}"
TRAILER = "TRL"
MARKER = ".done"
YES_NO = {True: "Y", False: "N", None: ""}
ANSWERS = {"Y": "granted", "N": "denied"}
APPOINTMENTS, REMINDERS = "Cadence Appointment Notifications Preference", "Health Maintenance Reminders"
MEDIA = {"T": "Text message", "P": "Phone", "E": "Email", "L": "Mail"}
NOT_AT_ALL = "Do not contact"

RowsOf = Callable[[ChartEntry], Iterable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class LaidTable:
    """A file of a set. ``passes``: the rows of each patient; the file has those of the first for all patients, then those of the next.

    ``refusing``: the column that would hide refusals if it had another name.
    """

    name: str
    file: str
    columns: tuple[str, ...]
    refusing: str
    passes: tuple[RowsOf, ...]


@dataclass(frozen=True, slots=True)
class ExtractLayout:
    """How an extract is written. ``archive``: the zip file that all tables are in. ``gzip``: files are compressed.

    ``source``: the settings by which it is read, beside those that every layout has.
    """

    name: str
    tables: tuple[LaidTable, ...]
    source: dict[str, Any]
    delimiter: str = ","
    line_end: str = "\n"
    has_trailer: bool = True
    gzip: bool = False
    archive: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The patterns of the names of the files that are delivered."""
        return (self.archive,) if self.archive else tuple(table.file for table in self.tables)


def _wide(entry: ChartEntry) -> list[Sequence[str]]:
    person = entry.person
    numbers = {} if person.restricted else {one.kind: one.e164 for one in person.numbers}
    return [
        (
            person.mrn,
            person.family,
            person.given,
            person.birth_date.isoformat(),
            *(numbers.get(kind, "") for kind in ("cell", "home", "work")),
            "" if person.restricted else person.email or "",
            person.language[0] if person.language else "",
            "Y" if person.deceased_on else "",
            YES_NO[person.do_not_contact],
            person.preferred_method or "",
            YES_NO[person.texting_ok],
            entry.updated.isoformat(timespec="milliseconds"),
        )
    ]


def _concept(name: str, answer: Callable[[InventedPerson], str]) -> RowsOf:
    return lambda entry: [(entry.person.mrn, name, text)] if (text := answer(entry.person)) else []


def _record_id(person: InventedPerson) -> str:
    return str(700_000 + person.index)


def _patient_4(entry: ChartEntry) -> list[Sequence[str]]:
    return [(entry.person.mrn, _record_id(entry.person), "Deceased" if entry.person.deceased_on else "Alive")]


def _concepts(entry: ChartEntry) -> list[Sequence[str]]:
    return [(_record_id(entry.person), str(line), name) for line, name in enumerate((APPOINTMENTS, REMINDERS), 1)]


def _approved(entry: ChartEntry) -> list[Sequence[str]]:
    person = entry.person
    found = [("1", medium) for medium in _appointments(person)]
    found += [("2", MEDIA[person.preferred_method])] if person.preferred_method else []
    return [(_record_id(person), line, "1", medium) for line, medium in found]


def _appointments(person: InventedPerson) -> tuple[str, ...]:
    """The approved media for appointments; none if nothing is known."""
    if person.do_not_contact:
        return (MEDIA["T"], NOT_AT_ALL) if person.texting_ok else (NOT_AT_ALL,)
    if person.texting_ok is not None:
        return (MEDIA["T"],) if person.texting_ok else (MEDIA["L"],)
    return () if person.do_not_contact is None else (MEDIA["P"],)


def _topic(concept: str) -> dict[str, Any]:
    """The rule for a concept whose list of approved media is complete."""
    media = {"Email": "email", "Text message": "sms", "Phone": "voice", "Mail": "other", NOT_AT_ALL: "none"}
    path = f"preferences[COMMUNICATION_CONCEPT_ID_SETTING_NAME={concept}].approved.APRV_MEDIA_C_NAME"
    return {"from": path, "values": media, "others": "denied"}


WIDE = ExtractLayout(
    "wide",
    (
        LaidTable(
            "patients",
            f"patients_{PLACE}.csv",
            (
                "MRN",
                "LAST_NAME",
                "FIRST_NAME",
                "DOB",
                "CELL",
                "HOME",
                "WORK",
                "EMAIL",
                "LANG",
                "DECEASED",
                "DNC",
                "METHOD",
                "TEXT_OK",
                "UPDATED",
            ),
            "DNC",
            (_wide,),
        ),
    ),
    {
        "tables": {"patients": {"file": f"patients_{PLACE}.csv", "patient": "MRN"}},
        "record": {
            "id": "MRN",
            "patient_id": "MRN",
            "name": ["FIRST_NAME", "LAST_NAME"],
            "birth_date": "DOB",
            "phones": [{"number": kind.upper(), "kind": kind} for kind in ("cell", "home", "work")],
            "emails": [{"address": "EMAIL"}],
            "updated": "UPDATED",
        },
        "mapping": {
            "do_not_contact": {"from": "DNC", "values": {"Y": "yes", "N": "no"}},
            "preferred_method": {"from": "METHOD", "values": dict(METHOD_VALUES)},
            "consent.sms": {"from": "TEXT_OK", "values": dict(ANSWERS)},
            "language": {"from": "LANG"},
            "deceased": {"from": "DECEASED", "values": {"Y": True}},
        },
    },
)

LONG = ExtractLayout(
    "long",
    (
        LaidTable(
            "patients",
            f"preferences_{PLACE}.csv",
            ("MRN", "CONCEPT", "ANSWER"),
            "ANSWER",
            (
                _concept("DNC", lambda person: YES_NO[person.do_not_contact]),
                _concept("METHOD", lambda person: person.preferred_method or ""),
                _concept("TEXT", lambda person: YES_NO[person.texting_ok]),
            ),
        ),
    ),
    {
        "tables": {"patients": {"file": f"preferences_{PLACE}.csv", "patient": "MRN", "rows": "many"}},
        "record": {"id": "MRN", "patient_id": "MRN"},
        "mapping": {
            "do_not_contact": {"from": "rows[CONCEPT=DNC].ANSWER", "values": {"Y": "yes", "N": "no"}},
            "preferred_method": {"from": "rows[CONCEPT=METHOD].ANSWER", "values": dict(METHOD_VALUES)},
            "consent.sms": {"from": "rows[CONCEPT=TEXT].ANSWER", "values": dict(ANSWERS)},
        },
    },
    gzip=True,
)

EPIC = ExtractLayout(
    "epic",
    (
        LaidTable("patients", "PATIENT_4.tsv", ("PAT_ID", "PREFERENCES_ID", "PAT_LIVING_STAT_C_NAME"), "PREFERENCES_ID", (_patient_4,)),
        LaidTable(
            "preferences",
            "COMMUNICATION_PREFERENCES.tsv",
            ("PREFERENCES_ID", "LINE", "COMMUNICATION_CONCEPT_ID_SETTING_NAME"),
            "COMMUNICATION_CONCEPT_ID_SETTING_NAME",
            (_concepts,),
        ),
        LaidTable(
            "approved",
            "COMM_PREFERENCES_APRV.tsv",
            ("PREFERENCES_ID", "GROUP_LINE", "VALUE_LINE", "APRV_MEDIA_C_NAME"),
            "APRV_MEDIA_C_NAME",
            (_approved,),
        ),
    ),
    {
        "preset": "epic-ehi",
        "archive": f"EHI_{PLACE}.zip",
        "mapping": {"topic.appointments.*": _topic(APPOINTMENTS), "topic.reminders.*": _topic(REMINDERS)},
    },
    delimiter="\t",
    line_end="\r\n",
    has_trailer=False,
    archive=f"EHI_{PLACE}.zip",
)

LAYOUTS = {layout.name: layout for layout in (WIDE, LONG, EPIC)}


def settings(layout: ExtractLayout) -> dict[str, Any]:
    """The settings of a source that reads a layout, without its folder and enterprise."""
    trailer = {"trailer": {"starts": TRAILER, "field": 2}} if layout.has_trailer else {}
    return {**layout.source, **trailer, "done": f"{{file}}{MARKER}", "time_zone": "UTC"}
