"""Requests and decisions, and the one check that every decision passes before a caller sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

SEND, DO_NOT_SEND = "send", "do_not_send"
NO_ANSWER = "no_answer"
"""The reason of a decision when the service gave no answer that can be trusted."""


class Who(NamedTuple):
    """A patient: an identifier's value with its issuer and type, or the store's own ``id``."""

    value: str | None = None
    authority: str | None = None
    type: str | None = None
    id: str | None = None


class Appointment(NamedTuple):
    """The patient's choice for one appointment: a method, and a number in E.164."""

    preferred_method: str | None = None
    preferred_phone: str | None = None


class Ask(NamedTuple):
    """One question: may this message be sent? The fields are those of ``POST /v1/decisions``. ``at`` has a time zone."""

    who: Who
    message_type: str
    channels: Sequence[str]
    line: str | None = None
    topic: str | None = None
    category: str | None = None
    appointment: Appointment | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision. Send only if ``decision`` is ``send``, and then by ``channel`` to ``address``, exactly as given.

    ``reasons`` are stable codes. ``patient``: whom it is about, by the store's id. ``raw``: all that the service answered.
    """

    decision: str
    channel: str | None = None
    address: str | None = None
    language: str | None = None
    reasons: tuple[str, ...] = ()
    id: str = ""
    patient: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def may_send(self) -> bool:
        """Whether the message may be sent."""
        return self.decision == SEND


def refusal(reason: str = NO_ANSWER) -> Decision:
    """A decision not to send."""
    return Decision(DO_NOT_SEND, reasons=(reason,))


def request(ask: Ask) -> dict[str, Any]:
    """The JSON of a question, without absent values. Raises ``ValueError`` for a time without a zone."""
    if ask.at is not None and ask.at.tzinfo is None:
        raise ValueError("at needs a time zone")
    fields = {"line": ask.line, "topic": ask.topic, "category": ask.category, "at": ask.at.isoformat() if ask.at else None}
    found = {"patient": _present(ask.who._asdict()), "message_type": ask.message_type, "channels": list(ask.channels), **_present(fields)}
    return found if ask.appointment is None else found | {"appointment": _present(ask.appointment._asdict())}


def checked(ask: Ask, answer: Any) -> Decision:
    """The decision in an answer. Raises ``ValueError`` if it is none, or says to send without an address on a channel asked for."""
    if not isinstance(answer, dict) or answer.get("decision") not in (SEND, DO_NOT_SEND):
        raise ValueError("the answer is no decision")
    reasons = answer.get("reasons", [])
    if not isinstance(reasons, list) or not all(isinstance(one, str) for one in reasons):
        raise ValueError("the answer's reasons cannot be read")
    channel, address, language, number, patient = (_text(answer, name) for name in ("channel", "address", "language", "id", "patient"))
    if answer["decision"] == SEND and not (channel in ask.channels and address):
        raise ValueError("the answer lacks the channel or the address")
    return Decision(answer["decision"], channel, address, language, tuple(reasons), number or "", patient, answer)


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"the answer's {name} cannot be read")
    return value


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
