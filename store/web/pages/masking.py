"""Masks a payload: its structure stays visible, so that an engineer sees where it broke, and all content is covered. Pure.

Only listed characters stay, since Unicode has more than letters and digits. HL7 keeps segment names and separators; JSON keeps keys that
look like field names, and the types of FHIR resources.
"""

from __future__ import annotations

import json
import re
from typing import Any

SEGMENT = re.compile(
    r"(?:AL1|ARV|BHS|BTS|CON|DG1|DSC|ERR|EVN|FHS|FTS|GT1|IAM|IN1|IN2|MFE|MFI|MRG|MSA|MSH|NK1|NTE|OBR|OBX|ORC|PD1|PDA|PID|PR1|PV1|PV2|ROL|SCH|SFT"
    r"|STF|UAC|Z[A-Z0-9]{2})(?=\||\Z)"
)
COVERED = re.compile(r"[^ !\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]")
FIELD = re.compile(r"_?[a-z][A-Za-z_]{0,63}[0-9]?\Z")
TYPES = frozenset({"Appointment", "Bundle", "CommunicationRequest", "Consent", "Coverage", "Encounter", "Flag", "Group", "List"})
TYPES |= {"OperationOutcome", "Organization", "Parameters", "Patient", "Person", "Practitioner", "Provenance", "RelatedPerson"}
LONGEST = 20_000
COVER = "•"


def masked(payload: bytes) -> str:
    """The masked payload; at most its first 20,000 characters."""
    text = payload.decode("utf-8", "replace")
    try:
        return json.dumps(_value(json.loads(text)), indent=2, ensure_ascii=False)[:LONGEST]
    except (ValueError, RecursionError):
        return "\n".join(_line(line) for line in re.split(r"[\r\n]+", text[:LONGEST]) if line)


def _line(line: str) -> str:
    found = SEGMENT.match(line)
    head = found[0] if found else ""
    return head + _covered(line[len(head) :])


def _value(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return _fields(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    if value is None or (key == "resourceType" and value in TYPES):
        return value
    return _covered(str(value))


def _fields(value: dict[str, Any]) -> dict[str, Any]:
    """Masks an object. Keys that are not field names are covered too; masked keys that become equal are numbered."""
    shown: dict[str, Any] = {}
    for number, (name, one) in enumerate(value.items()):
        key = name if FIELD.match(name) else _covered(name)
        shown[key if key not in shown else f"{key} ({number})"] = _value(one, name)
    return shown


def _covered(text: str) -> str:
    return COVERED.sub(COVER, text)
