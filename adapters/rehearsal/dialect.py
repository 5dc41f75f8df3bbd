"""How this EMR writes contact preferences, and the site mapping that reads them: the same data that a site would write in YAML."""

from __future__ import annotations

from typing import Any

AUTHORITY = "GENHOSP"
MRN_SYSTEM = "https://rehearsal.example/mrn"
EXTENSION = "https://rehearsal.example/fhir/"
DO_NOT_CONTACT, PREFERRED_METHOD, TEXTING_OK = EXTENSION + "do-not-contact", EXTENSION + "preferred-method", EXTENSION + "texting-ok"
METHOD_VALUES = {"T": "sms", "P": "voice", "E": "email", "L": "mail"}

Mapping = dict[str, dict[str, Any]]


def fhir_mapping() -> Mapping:
    """The preferences are extensions of Patient."""
    return {
        "do_not_contact": {"from": f"Patient.extension('{DO_NOT_CONTACT}').valueBoolean", "values": {"true": "yes", "false": "no"}},
        "preferred_method": {"from": f"Patient.extension('{PREFERRED_METHOD}').valueCode", "values": dict(METHOD_VALUES)},
        "consent.sms": {"from": f"Patient.extension('{TEXTING_OK}').valueBoolean", "values": {"true": "granted", "false": "denied"}},
    }


def hl7_mapping() -> Mapping:
    """The preferences are a Z-segment; texting follows the publicity code (user table 0215 as immunization registries use it)."""
    return {
        "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
        "preferred_method": {"from": "ZCP-3", "values": dict(METHOD_VALUES)},
        "consent.sms": {"from": "PD1-11.1", "values": {"02": "granted", "01": "denied"}},
    }
