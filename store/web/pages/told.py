"""A decision as its page shows it, from the document that a receipt keeps. Pure.

What a person asks on the facesheet is put into the same document, so both look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from store.domain.channels import GOVERNS, Governance
from store.domain.decision_request import SEND
from store.domain.documents import instant
from store.domain.enterprise import Enterprise
from store.web.pages import labels

PARTS = {
    "do_not_contact": "Do Not Contact",
    "method": "the preferred contact",
    "number": "the preferred phone",
    "topic": "topics",
}
"""The fields of :class:`store.domain.channels.Governance`, as text."""


class Reason(NamedTuple):
    """A reason code as a sentence. ``channel``: the channel that it closes, empty if it is about the whole message."""

    code: str
    sentence: str
    channel: str


class Behind(NamedTuple):
    """A value behind a decision, and where it comes from."""

    title: str
    who: str
    message: str
    path: str
    effective: datetime | None


class Told(NamedTuple):
    """A request and its decision. ``governed``: which preferences its type of message follows."""

    id: str
    asked: tuple[tuple[str, str], ...]
    at: datetime | None
    send: bool
    answer: str
    address: str
    language: str
    governed: str
    reasons: tuple[Reason, ...]
    evidence: tuple[Behind, ...]
    as_of: datetime | None
    stale: bool


def told(document: Mapping[str, Any], enterprise: Enterprise) -> Told:
    """The decision of a document ``{ask, decision}`` (``store.audit.receipts``)."""
    ask, found = document["ask"], document["decision"]
    send, channel = found["decision"] == SEND, labels.CHANNELS.get(found["channel"] or "", "")
    return Told(
        found.get("id", ""),
        _asked(ask),
        instant(ask["at"]) if ask.get("at") else None,
        send,
        f"Send by {channel}" if send else "Do not send",
        labels.number(found["address"] or ""),
        labels.language(found["language"]) if found["language"] else "",
        _governed(ask["message_type"]),
        _reasons(found),
        tuple(_behind(one, enterprise) for one in found["evidence"]),
        instant(found["as_of"]) if found["as_of"] else None,
        found["stale"],
    )


def _asked(ask: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    appointment = ask.get("appointment") or {}
    method, phone = appointment.get("preferred_method"), appointment.get("preferred_phone")
    rows = (
        ("Message", str(ask["message_type"])),
        ("Channels", ", ".join(labels.CHANNELS.get(one, one) for one in ask["channels"]) or "none"),
        ("Line", labels.number(ask.get("line") or "")),
        ("Topic", ask.get("topic") or ""),
        ("Category", ask.get("category") or ""),
        ("For the appointment", ", ".join(one for one in (labels.METHODS.get(method or "", ""), labels.number(phone or "")) if one)),
    )
    return tuple((name, value) for name, value in rows if value)


def _governed(message_type: str) -> str:
    rule = GOVERNS.get(message_type, Governance(do_not_contact=False, method=False, number=False, topic=False))
    parts = [text for name, text in PARTS.items() if getattr(rule, name)]
    return f"This type of message follows {', '.join(parts)} and consent." if parts else "This type of message follows consent alone."


def _reasons(found: Mapping[str, Any]) -> tuple[Reason, ...]:
    refuses = not found["skipped"] and found["channel"] is None
    skipped = [(one["reason"], labels.CHANNELS.get(one["channel"], "")) for one in found["skipped"]]
    closed = {code for code, _ in skipped}
    codes = [*((code, "") for code in found["reasons"] if code not in closed), *skipped]
    return tuple(Reason(code, labels.reason(code, refuses=refuses), channel) for code, channel in codes)


def _behind(one: Mapping[str, Any], enterprise: Enterprise) -> Behind:
    effective = instant(one["effective"]) if one["effective"] else None
    return Behind(labels.title(one["attribute"]), labels.authority(one["authority"], enterprise), one["id"], one["path"], effective)
