"""A sender's question, what is known about the patient, and the answer: the values around :func:`store.domain.decision.decide`.

``msgspec`` structs, so that the bytes of an HTTP body become these values and back without a copy in between.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from store.domain.sms_consent import OptOut
from store.preference import ContactPreferences

SEND = "send"
DO_NOT_SEND = "do_not_send"


class Appointment(Struct, frozen=True, gc=False):
    """What the patient chose for one appointment: a method and a number in E.164, each replacing the patient-level one."""

    preferred_method: str | None = None
    preferred_phone: str | None = None


class Ask(Struct, frozen=True, kw_only=True, gc=False):
    """A sender's question. ``channels`` are those the message has copy for; ``at`` is when it would be sent (aware)."""

    message_type: str
    channels: tuple[str, ...]
    line: str | None = None
    topic: str | None = None
    appointment: Appointment | None = None
    at: datetime | None = None


class Evidence(Struct, frozen=True, gc=False):
    """Where a value that mattered comes from: message or resource id, and the path inside it.

    ``effective_latest``: where the time is no moment (``20260601``), the end of it.
    """

    attribute: str
    authority: str
    id: str = ""
    path: str = ""
    effective: datetime | None = None
    effective_latest: datetime | None = None


def no_evidence(attribute: str) -> Evidence | None:
    """For patients whose evidence nobody looks at."""
    return None


class Known(NamedTuple):
    """All that a decision looks at. ``evidence`` is called only for attributes that mattered.

    ``then`` gives the same as of a later moment, where a period changes something.
    """

    id: str
    version: int
    contact: ContactPreferences
    opt_outs: tuple[OptOut, ...] = ()
    as_of: datetime | None = None
    stale: bool = False
    evidence: Callable[[str], Evidence | None] = no_evidence
    then: Callable[[datetime], Known] | None = None


class Skipped(Struct, frozen=True, gc=False):
    """A channel that was not used, and why."""

    channel: str
    reason: str


class Decision(Struct, frozen=True, gc=False):
    """The answer. ``address`` is E.164 or an e-mail address; ``reasons`` are codes of :mod:`store.domain.reasons`."""

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
