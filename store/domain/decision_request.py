"""The values around :func:`store.domain.decision.decide`: the request, what is known about the patient, and the decision.

They are ``msgspec`` structs, so that an HTTP body is read into them and written from them without a copy in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from store.domain.contact import ContactPreferences
from store.domain.ids import decision_ids
from store.domain.sms_consent import OptOut

SEND = "send"
DO_NOT_SEND = "do_not_send"


class Appointment(Struct, frozen=True, gc=False):
    """The patient's choice for one appointment: a method and a number in E.164. Each replaces the patient's general preference."""

    preferred_method: str | None = None
    preferred_phone: str | None = None


class DecisionRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A sender's request. ``channels``: those the message has copy for. ``at``: when it would be sent (with a time zone).

    ``category``: one of ``store.domain.message_class.CATEGORIES``; unknown counts as either.
    """

    message_type: str
    channels: tuple[str, ...]
    line: str | None = None
    topic: str | None = None
    category: str | None = None
    appointment: Appointment | None = None
    at: datetime | None = None


class Evidence(Struct, frozen=True, gc=False):
    """Where a value behind the decision comes from: message or resource id, and the path inside it.

    ``effective_latest``: the end of the time, if it is an interval (``20260601``) and not a moment.
    """

    attribute: str
    authority: str
    id: str = ""
    path: str = ""
    effective: datetime | None = None
    effective_latest: datetime | None = None


def no_evidence(attribute: str) -> Evidence | None:
    """Returns ``None``: for callers that do not need the evidence."""
    return None


class KnownPatient(Struct, frozen=True, gc=False):
    """What is known about a patient: all that a decision uses. ``evidence`` is called only for attributes behind the decision.

    ``at_later`` returns the same as of a later moment; set only if a period changes something.
    """

    id: str
    version: int
    contact: ContactPreferences
    opt_outs: tuple[OptOut, ...] = ()
    as_of: datetime | None = None
    stale: bool = False
    evidence: Callable[[str], Evidence | None] = no_evidence
    at_later: Callable[[datetime], KnownPatient] | None = None


class Skipped(Struct, frozen=True, gc=False):
    """A channel that was not used, and why."""

    channel: str
    reason: str


class Decision(Struct, frozen=True, gc=False):
    """The decision. ``address``: E.164 or an e-mail address. ``reasons``: codes of :mod:`store.domain.reasons`.

    ``id``: set where a decision is handed out (:func:`identified`); with receipts it can be found again by it. So is ``patient``: whom it
    is about, by the store's id, if the patient is known.
    """

    decision: str
    channel: str | None = None
    address: str | None = None
    language: str | None = None
    reasons: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    as_of: datetime | None = None
    stale: bool = False
    patient_version: int | None = None
    id: str = ""
    patient: str | UnsetType = UNSET


def identified(decisions: Sequence[Decision], known: Sequence[object]) -> list[Decision]:
    """The decisions, each with a new id and its patient. ``known`` holds :class:`KnownPatient`, or something else for nobody."""
    ids = decision_ids(len(decisions))
    return [
        replace(one, id=number, patient=patient.id if isinstance(patient, KnownPatient) else UNSET)
        for one, number, patient in zip(decisions, ids, known, strict=True)
    ]
