"""Why an element has no value: FHIR's data-absent-reason and the v3 null flavors. Pure.

A missing element states nothing. An element that was masked, or that its server could not express, counts as unreadable: it may be a
refusal. Sources: FHIR R4 data-absent-reason and iso21090-nullFlavor (extensions), v3-NullFlavor.
"""

from __future__ import annotations

from typing import Any

DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
NULL_FLAVOR = "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor"
NOT_KNOWN = frozenset({
    "unknown", "asked-unknown", "temp-unknown", "not-asked", "asked-declined", "not-applicable", "unsupported", "not-performed",
    "NI", "UNK", "ASKU", "NAV", "NASK", "NAVU", "NA", "TRC", "QS",
})  # fmt: skip
"""The reasons that mean no value exists: the EMR does not know it, or never asked."""
REASON = "value_withheld"
DETAIL = "the server withheld this value or could not provide it: grant this client access, or correct it in the EMR"


class _Withheld:
    """The value of an element that was withheld."""

    def __repr__(self) -> str:
        return "withheld"


WITHHELD = _Withheld()


def reason(element: Any) -> str:
    """The code of why there is no value (``unknown`` if not given), or an empty text. ``element``: an element or a primitive's sibling."""
    entries = element.get("extension") if type(element) is dict else None
    for one in entries if type(entries) is list else ():
        if type(one) is dict and one.get("url") in (DATA_ABSENT, NULL_FLAVOR):
            return str(one.get("valueCode") or "unknown")
    return ""


def is_withheld(element: Any) -> bool:
    """Whether the value of an element, or of a primitive with this sibling, was masked or could not be expressed."""
    return reason(element) not in ("", *NOT_KNOWN)
