"""The codes of the rehearsal EMR for contact preferences, and the site mapping for them: the same data as a site's YAML."""

from __future__ import annotations

from typing import Any

AUTHORITY = "GENHOSP"
MRN_SYSTEM = "https://rehearsal.example/mrn"
EXTENSION = "https://rehearsal.example/fhir/"
DO_NOT_CONTACT, PREFERRED_METHOD, TEXTING_OK = EXTENSION + "do-not-contact", EXTENSION + "preferred-method", EXTENSION + "texting-ok"
METHOD_VALUES = {"T": "sms", "P": "voice", "E": "email", "L": "mail"}

Mapping = dict[str, dict[str, Any]]


def fhir_mapping() -> Mapping:
    """The mapping for FHIR, where preferences are extensions of Patient."""
    return {
        "do_not_contact": {"from": f"Patient.extension('{DO_NOT_CONTACT}').valueBoolean", "values": {"true": "yes", "false": "no"}},
        "preferred_method": {"from": f"Patient.extension('{PREFERRED_METHOD}').valueCode", "values": dict(METHOD_VALUES)},
        "consent.sms": {"from": f"Patient.extension('{TEXTING_OK}').valueBoolean", "values": {"true": "granted", "false": "denied"}},
    }


def hl7_mapping() -> Mapping:
    """The mapping for HL7 v2, where preferences are in a Z-segment.

    Texting follows the publicity code (user-defined table 0215 as used by US immunization registries, see ``hl7v2-immunization.yaml``).
    """
    return {
        "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
        "preferred_method": {"from": "ZCP-3", "values": dict(METHOD_VALUES)},
        "consent.sms": {"from": "PD1-11.1", "values": {"02": "granted", "01": "denied"}},
    }
