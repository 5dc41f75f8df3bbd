"""Which patient a payload identifies (product rule 5.9): known patients, the identifiers of the payload, and the result.

The first source's own identifiers are GENHOSP/MR and GENHOSP/MRN, the clinic's CLINIC/MR. EMPI identifiers link. An identifier is written
``AUTHORITY/TYPE VALUE``; RI is the clinic's own id of a record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from store.domain.enterprise import Source
from store.preference import Identifier
from tests.store.site import ADT, FHIR, SYNCED

CLINIC = FHIR
OWN = {ADT: (("GENHOSP", "MR"), ("GENHOSP", "MRN")), CLINIC: (("CLINIC", "MR"),)}
ENTERPRISE = replace(
    SYNCED, linking=frozenset({"EMPI"}), sources=tuple(Source(name, name, patient_id=patient_id) for name, patient_id in OWN.items())
)
NEW, CONFLICT = "a new patient", "rejected: identifier_conflict"
FIRST, SECOND = "the first patient", "the second patient"


class Row(NamedTuple):
    """``known``: the identifiers of stored patients. ``comes``: those of one payload. ``about``: the matching patient."""

    rule: str
    known: tuple[str, ...]
    comes: str
    about: str


IDENTITY = (
    Row("the own identifier is known", ("GENHOSP/MR 1",), "GENHOSP/MR 1", FIRST),
    Row("case of authority and type does not matter", ("GENHOSP/MR 1",), "genhosp/mr 1", FIRST),
    Row("case of the value matters", ("GENHOSP/MR a1",), "GENHOSP/MR A1", NEW),
    Row("no patient has the own identifier", ("GENHOSP/MR 1",), "GENHOSP/MR 2", NEW),
    Row("each own type is a namespace", ("GENHOSP/MR 1",), "GENHOSP/MRN 1", NEW),
    Row("the first known own identifier decides", ("GENHOSP/MR 1", "GENHOSP/MRN 9"), "GENHOSP/MR 1, GENHOSP/MRN 9", FIRST),
    Row("a new own identifier beside a known one: the known one decides", ("GENHOSP/MRN 9",), "GENHOSP/MR 1, GENHOSP/MRN 9", FIRST),
    Row(
        "the same, if the patient has two identifiers of its type: the first one",
        ("GENHOSP/MR 1, GENHOSP/MR 2",),
        "GENHOSP/MRN 9, GENHOSP/MR 1",
        FIRST,
    ),
    Row(
        "the same, if the patient has two identifiers of its type: the second one",
        ("GENHOSP/MR 1, GENHOSP/MR 2",),
        "GENHOSP/MRN 9, GENHOSP/MR 2",
        FIRST,
    ),
    Row(
        "the known one belongs to a patient with another identifier of the new one's type",
        ("GENHOSP/MRN 9, GENHOSP/MR 2",),
        "GENHOSP/MR 1, GENHOSP/MRN 9",
        CONFLICT,
    ),
    Row("a shared identifier joins nobody", ("GENHOSP/MR 1, FMP/PN 7",), "GENHOSP/MR 2, FMP/PN 7", NEW),
    Row("a national number that does not link joins nobody", ("GENHOSP/MR 1, NHS/NI 7",), "CLINIC/MR 5, NHS/NI 7", NEW),
    Row("another source's own identifier joins nobody", ("GENHOSP/MR 1",), "CLINIC/MR 5, GENHOSP/MR 1", NEW),
    Row("a linking identifier joins two sources' patients", ("GENHOSP/MR 1, EMPI/PI 7",), "CLINIC/MR 5, EMPI/PI 7", FIRST),
    Row("a linking identifier of any type joins them", ("GENHOSP/MR 1, EMPI/PI 7",), "CLINIC/MR 5, empi/pi 7", FIRST),
    Row(
        "two own identifiers of one authority and type are never joined", ("GENHOSP/MR 1, EMPI/PI 7",), "GENHOSP/MR 2, EMPI/PI 7", CONFLICT
    ),
    Row(
        "a known own identifier overrides a link",
        ("GENHOSP/MR 1", "GENHOSP/MR 2, EMPI/PI 7"),
        "GENHOSP/MR 1, EMPI/PI 7",
        FIRST,
    ),
    Row(
        "linking identifiers of two patients conflict",
        ("GENHOSP/MR 1, EMPI/PI 7", "GENHOSP/MR 2, EMPI/PI 8"),
        "CLINIC/MR 5, EMPI/PI 7, EMPI/PI 8",
        CONFLICT,
    ),
    Row("a linking identifier alone names its patient", ("GENHOSP/MR 1, EMPI/PI 7",), "EMPI/PI 7", FIRST),
    Row("a record id names its record", ("CLINIC/MR 5, RI abc",), "RI abc", FIRST),
    Row("the record arrived before its number", ("RI abc",), "CLINIC/MR 5, RI abc", FIRST),
    Row("the record's number was corrected", ("CLINIC/MR 5, RI abc",), "CLINIC/MR 6, RI abc", FIRST),
    Row("a record known by its id alone is joined to the patient it names", ("CLINIC/MR 5", "RI abc"), "CLINIC/MR 5, RI abc", FIRST),
    Row("a record that already has another number is not joined", ("CLINIC/MR 5", "CLINIC/MR 6, RI abc"), "CLINIC/MR 5, RI abc", CONFLICT),
)


def identifiers(text: str) -> tuple[Identifier, ...]:
    """The identifiers of a row."""
    found = []
    for one in text.split(", "):
        place, value = one.split(" ")
        authority, _, kind = place.rpartition("/")
        found.append(Identifier(authority or CLINIC, kind, value))
    return tuple(found)


def source(text: str) -> str:
    """The source that sends the payload, taken from its first identifier."""
    return ADT if text.upper().startswith(("GENHOSP", "EMPI")) else CLINIC
