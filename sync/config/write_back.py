"""The ``write_back`` part of a source: which opt-outs are written to its EMR, and how. Off unless it is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from adapters.hl7v2.schema import CODE, FIELD, TlsPart
from adapters.schema import Duration, ListenText, SettingsGroup

PATIENT, CONSENT, A31, WORKLIST = "fhir.patient", "fhir.consent", "hl7v2.a31", "worklist"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope|patient-privacy"


class DenialPart(SettingsGroup):
    """What is written for one attribute: an ``extension`` with a value, the codings of a Consent, or the code of an HL7 v2 field.

    Empty for ``worklist``: staff know what to type.
    """

    extension: str | None = None
    type: Literal["valueBoolean", "valueCode", "valueString"] = "valueBoolean"
    value: str = "false"
    category: str | None = None
    scope: str = SCOPE
    field: str | None = None
    code: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> DenialPart:
        if self.type == "valueBoolean" and self.value not in ("true", "false"):
            raise ValueError("value must be true or false for valueBoolean")
        for one in (self.category, self.scope):
            if one is not None and not all(one.partition("|")):
                raise ValueError("category and scope must be written as system|code")
        if self.field is not None and not FIELD.fullmatch(self.field):
            raise ValueError("field must be written like PD1-11.1 or ZCP-2, and must not be one that says who the patient is")
        if self.field is not None and not CODE.fullmatch(self.code):
            raise ValueError("code must be the EMR's code for the denial, without delimiters or quotes")
        return self


class WriteBackPart(SettingsGroup):
    """``echoed_by``: other sources that read the same EMR, and so repeat what is written.

    ``connect``, ``tls``, ``application`` and ``facility`` are the EMR's listener, for ``hl7v2.a31``.
    """

    sink: Literal["fhir.patient", "fhir.consent", "hl7v2.a31", "worklist"]
    attributes: dict[str, DenialPart] = Field(min_length=1)
    echoed_by: list[str] = Field(default_factory=list)
    give_up_after: Duration = timedelta(days=3)
    connect: ListenText | None = None
    tls: TlsPart | None = None
    application: str = ""
    facility: str = ""


def echoes(parts: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Source -> the sources whose writing it repeats. ``parts``: the ``write_back`` of each source."""
    found: dict[str, set[str]] = {}
    for name, part in parts.items():
        if part is not None:
            for one in (name, *part.echoed_by):
                found.setdefault(one, set()).add(name)
    return {name: frozenset(of) for name, of in found.items()}
