"""Whom a payload is about (product rule 5.9): what is known, what comes, and whose it is.

The first source's own identifiers are GENHOSP/MR and GENHOSP/MRN, the clinic's CLINIC/MR; EMPI links. An identifier is written
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
    """``known``: the identifiers of patients who are here. ``comes``: those of one payload. ``about``: whose it is."""

    rule: str
    known: tuple[str, ...]
    comes: str
    about: str


IDENTITY = (
    Row("the own identifier is known", ("GENHOSP/MR 1",), "GENHOSP/MR 1", FIRST),
    Row("case of authority and type does not matter", ("GENHOSP/MR 1",), "genhosp/mr 1", FIRST),
    Row("a value in another case is another value", ("GENHOSP/MR a1",), "GENHOSP/MR A1", NEW),
    Row("nobody has the own identifier", ("GENHOSP/MR 1",), "GENHOSP/MR 2", NEW),
    Row("each own type is a namespace", ("GENHOSP/MR 1",), "GENHOSP/MRN 1", NEW),
    Row("the first own identifier that is known decides", ("GENHOSP/MR 1", "GENHOSP/MRN 9"), "GENHOSP/MR 1, GENHOSP/MRN 9", FIRST),
    Row("a further own identifier that is known decides for a new one", ("GENHOSP/MRN 9",), "GENHOSP/MR 1, GENHOSP/MRN 9", FIRST),
    Row("beside a former one of its type too", ("GENHOSP/MR 1, GENHOSP/MR 2",), "GENHOSP/MRN 9, GENHOSP/MR 1", FIRST),
    Row("whichever of the two it is", ("GENHOSP/MR 1, GENHOSP/MR 2",), "GENHOSP/MRN 9, GENHOSP/MR 2", FIRST),
    Row("but not for somebody who has another one of its type", ("GENHOSP/MRN 9, GENHOSP/MR 2",), "GENHOSP/MR 1, GENHOSP/MRN 9", CONFLICT),
    Row("an identifier that is shared joins nobody", ("GENHOSP/MR 1, FMP/PN 7",), "GENHOSP/MR 2, FMP/PN 7", NEW),
    Row("nor does a national number that does not link", ("GENHOSP/MR 1, NHS/NI 7",), "CLINIC/MR 5, NHS/NI 7", NEW),
    Row("nor does another source's own identifier", ("GENHOSP/MR 1",), "CLINIC/MR 5, GENHOSP/MR 1", NEW),
    Row("a linking identifier joins two sources' patients", ("GENHOSP/MR 1, EMPI/PI 7",), "CLINIC/MR 5, EMPI/PI 7", FIRST),
    Row("of whatever type", ("GENHOSP/MR 1, EMPI/PI 7",), "CLINIC/MR 5, empi/pi 7", FIRST),
    Row("never two own identifiers of one authority and type", ("GENHOSP/MR 1, EMPI/PI 7",), "GENHOSP/MR 2, EMPI/PI 7", CONFLICT),
    Row(
        "an own identifier that is known decides against a link",
        ("GENHOSP/MR 1", "GENHOSP/MR 2, EMPI/PI 7"),
        "GENHOSP/MR 1, EMPI/PI 7",
        FIRST,
    ),
    Row("links to two patients", ("GENHOSP/MR 1, EMPI/PI 7", "GENHOSP/MR 2, EMPI/PI 8"), "CLINIC/MR 5, EMPI/PI 7, EMPI/PI 8", CONFLICT),
    Row("a linking identifier alone names its patient", ("GENHOSP/MR 1, EMPI/PI 7",), "EMPI/PI 7", FIRST),
    Row("a record id names its record", ("CLINIC/MR 5, RI abc",), "RI abc", FIRST),
    Row("a record came before its number", ("RI abc",), "CLINIC/MR 5, RI abc", FIRST),
    Row("a record's number was corrected", ("CLINIC/MR 5, RI abc",), "CLINIC/MR 6, RI abc", FIRST),
    Row("a record known by its id alone is joined to whom it names", ("CLINIC/MR 5", "RI abc"), "CLINIC/MR 5, RI abc", FIRST),
    Row("a record that has another number already is not", ("CLINIC/MR 5", "CLINIC/MR 6, RI abc"), "CLINIC/MR 5, RI abc", CONFLICT),
)


def identifiers(text: str) -> tuple[Identifier, ...]:
    """As they are written here."""
    found = []
    for one in text.split(", "):
        place, value = one.split(" ")
        authority, _, kind = place.rpartition("/")
        found.append(Identifier(authority or CLINIC, kind, value))
    return tuple(found)


def source(text: str) -> str:
    """Whose payload it is: that of the source whose own identifier comes first."""
    return ADT if text.upper().startswith(("GENHOSP", "EMPI")) else CLINIC
