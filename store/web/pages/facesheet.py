"""The facesheet: what its page shows about one patient, read from the store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.enterprise import Enterprise
from store.domain.lock import Role
from store.domain.message_class import CATEGORIES
from store.domain.patient import Patient, PatientRef
from store.domain.sms_consent import display, of_texts
from store.patients.preferences import Preferences
from store.patients.unmerge import merged_records
from store.web.api.facesheet import channel_opt_outs
from store.web.pages import card, consents, labels
from store.web.pages.answers import Answers
from store.web.pages.page import Visit
from store.web.pages.timeline import RECENT, timeline
from store.web.pages.told import Told

RECORDERS = frozenset({Role.ENTERPRISE, Role.STAFF})
FIRST_FORM = {"message_type": "automation", "sms": "1", "voice": "1", "email": "1"}


class Question(NamedTuple):
    """The form "What would a sender be told?" as sent, with the answer or what is wrong with it."""

    form: Mapping[str, str] = FIRST_FORM
    told: Told | None = None
    invalid: str = ""


class Facesheet:
    """Builds the page's values."""

    def __init__(self, store: Preferences) -> None:
        self.store = store

    def values(self, visit: Visit, patient: Patient, question: Question) -> dict[str, Any]:
        """Everything about the patient that this role sees."""
        enterprise, role = self.store.enterprises[visit.enterprise], visit.visitor.role
        events = timeline(self.store.history(visit.enterprise, patient.id, RECENT), enterprise)
        return {
            "title": "Facesheet",
            "patient": patient,
            **self._decided(visit, patient, enterprise),
            **_card(patient, enterprise),
            **_texts(patient, enterprise),
            "switch": card.switch(patient, self.store.toggle(visit.enterprise, patient, role), enterprise),
            "merged": merged_records(self.store.database, visit.enterprise, patient.id),
            "merged_here": visit.path["patient_id"] != patient.id,
            "may_choose_phone": role in RECORDERS and bool(patient.contact.phones),
            "may_opt_out": role in RECORDERS,
            "events": events,
            "recent": RECENT,
            "refuses_unread": self.store.settings.get(visit.enterprise).policy.when_unreadable != "flag",
            "authority_of": partial(labels.authority, enterprise=enterprise),
            "source_name": {one.name: one.display_name or one.name for one in enterprise.sources},
            "question": question,
            "types": card.TYPES,
            "categories": CATEGORIES,
            "channels": labels.CHANNELS,
            "methods": labels.METHODS,
        }

    def _decided(self, visit: Visit, patient: Patient, enterprise: Enterprise) -> dict[str, Any]:
        """The first line, and a preview for each type of message: both from one read and by the rules of decisions."""
        found = self.store.known(visit.enterprise, [PatientRef(id=patient.id)], visit.now)[0]
        if not isinstance(found, KnownPatient):
            raise found
        policy = self.store.settings.get(visit.enterprise).policy
        unread = (one.source for one in patient.unreadable)
        asks = [DecisionRequest(message_type=kind, channels=card.CHANNELS) for kind in card.TYPES]
        return {
            "answers": Answers(found, policy, enterprise, unread, visit.now).all(),
            "previews": [card.preview(ask.message_type, decide(ask, found, policy, visit.now)) for ask in asks],
        }


def _card(patient: Patient, enterprise: Enterprise) -> dict[str, Any]:
    return {
        "badge": card.badge(patient.contact),
        "groups": card.groups(patient, enterprise),
        "numbers": card.numbers(patient),
        "provenance": card.provenance(patient, enterprise),
        "unread": card.unread(patient, enterprise),
        "on_file": {one.number for one in patient.contact.phones},
    }


def _texts(patient: Patient, enterprise: Enterprise) -> dict[str, Any]:
    return {
        "sms_consent": display(patient.contact, patient.opt_outs),
        "text_opt_outs": of_texts(patient.opt_outs),
        "channel_opt_outs": channel_opt_outs(patient.contact, patient.opt_outs),
        "numbers_gone": consents.gone(patient),
        "reconciled": consents.reconciled(patient, enterprise),
        "text_consents": card.text_consents(patient, enterprise),
    }
