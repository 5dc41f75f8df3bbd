"""SMS consent and the EMR's consent to texts, put together in words. Pure (product section 6, rule 5.4)."""

from __future__ import annotations

from store import preference as p
from store.domain.enterprise import Enterprise
from store.domain.patient import Patient
from store.domain.sms_consent import REVIEW, TOPIC, of_texts, opted_out_numbers
from store.web.pages import labels

SMS = p.consent("sms")


def reconciled(patient: Patient, enterprise: Enterprise) -> str:
    """Which of the two counts, and what would end a refusal."""
    found = patient.preferences.get(SMS)
    emr = _capital(labels.authority(found.authority, enterprise)) if found is not None else ""
    by = {one.authority for one in of_texts(patient.opt_outs) if one.scope != TOPIC}
    if found is not None and found.value == p.DENIED:
        return f"{emr} denies texts. {_denied(by)}"
    return f"{_general(f'{emr} allows texts' if emr else '', by, patient)}{_by_number(patient)}"


def _general(allows: str, by: set[str], patient: Patient) -> str:
    if by:
        return f"{allows}, but {_refused(by)}" if allows else _capital(_refused(by))
    if topics := sorted({one.topic for one in of_texts(patient.opt_outs) if one.topic is not None}):
        return f"{allows or 'Texts are not refused'}, except about {' and '.join(topics)}: an opt-out was recorded for that."
    return f"{allows}, and nobody has opted out." if allows else "Nobody has refused texts."


def _by_number(patient: Patient) -> str:
    denied = [name for name, one in patient.preferences.items() if name.startswith(f"{SMS}#") and one.value == p.DENIED]
    return f" The EMR denies texts to {len(denied)} number{'' if len(denied) == 1 else 's'}." if denied else ""


def gone(patient: Patient) -> int:
    """How many of the numbers opted out of texts are no longer on file."""
    on_file = {phone.number for phone in patient.contact.phones}
    return sum(number not in on_file for number in opted_out_numbers(patient.contact, of_texts(patient.opt_outs)))


def _denied(by: set[str]) -> str:
    if not by:
        return "A START from the patient does not end that: it has to be changed there."
    return "There is an opt-out as well: texts are blocked until both end."


def _refused(by: set[str]) -> str:
    if p.PATIENT in by:
        return "the patient opted out by text. The opt-out counts, whatever the EMR states; a START from the same phone ends it."
    if p.STAFF in by:
        return "an opt-out was recorded here. It counts, whatever the EMR states."
    if REVIEW in by:
        return "an unclear reply awaits review. Texts from its line are suspended until then."
    return "the patient opted out."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
