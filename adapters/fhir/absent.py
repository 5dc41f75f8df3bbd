"""Why an element has no value: FHIR's data-absent-reason, and v3's null flavours beside it. Pure.

An element that is not there says nothing. One that is there and was masked, or holds something that its server could not say, could not be
read: it may be a refusal. Sources: FHIR R4 data-absent-reason and iso21090-nullFlavor (extensions), v3-NullFlavor.
"""

from __future__ import annotations

from typing import Any

DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
NULL_FLAVOR = "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor"
NOT_KNOWN = frozenset({
    "unknown", "asked-unknown", "temp-unknown", "not-asked", "asked-declined", "not-applicable", "unsupported", "not-performed",
    "NI", "UNK", "ASKU", "NAV", "NASK", "NAVU", "NA", "TRC", "QS",
})  # fmt: skip
"""The reasons by which there is nothing to read: the EMR does not know, or never asked."""
REASON = "value_withheld"
DETAIL = "the server withheld this value or could not provide it: grant this client access, or correct it in the EMR"


class _Withheld:
    """Stands for the value of an element that was withheld."""

    def __repr__(self) -> str:
        return "withheld"


WITHHELD = _Withheld()


def reason(element: Any) -> str:
    """The code of why it has no value (``unknown`` where it is not said), or nothing. ``element``, or what stands beside a primitive."""
    entries = element.get("extension") if type(element) is dict else None
    for one in entries if type(entries) is list else ():
        if type(one) is dict and one.get("url") in (DATA_ABSENT, NULL_FLAVOR):
            return str(one.get("valueCode") or "unknown")
    return ""


def is_withheld(element: Any) -> bool:
    """Whether what stands in an element, or beside a primitive, could not be read: it was masked, or could not be said."""
    return reason(element) not in ("", *NOT_KNOWN)
