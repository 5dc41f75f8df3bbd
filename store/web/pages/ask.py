"""The form "What would a sender be told?": reads it into the request that a sender would send. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from store.domain.channels import ORDER
from store.domain.phone_numbers import Numbering
from store.web.api.decisions import read_ask
from store.web.api.wire import AskIn
from store.web.http.problem import ProblemDetails


def asked(form: Mapping[str, str], patient: str, zone: ZoneInfo, numbering: Numbering) -> AskIn:
    """The request of a form, read like the body of ``POST /v1/decisions``. Raises :class:`ProblemDetails` 422."""
    channels = [channel for channel in ORDER if form.get(channel)]
    if not channels:
        raise ProblemDetails(422, "invalid_request", "Select at least one channel.")
    body: dict[str, Any] = {"patient": {"id": patient}, "message_type": form.get("message_type", ""), "channels": channels}
    appointment = {"preferred_method": form.get("method", ""), "preferred_phone": _phone(form.get("phone", ""), numbering)}
    body |= {name: form[name] for name in ("line", "topic", "category") if form.get(name)}
    body |= {"appointment": chosen} if (chosen := {name: value for name, value in appointment.items() if value}) else {}
    body |= {"at": _moment(text, zone)} if (text := form.get("at", "")) else {}
    return read_ask(msgspec.json.encode(body))


def _phone(text: str, numbering: Numbering) -> str:
    candidates = numbering.candidates(text) if text else ()
    if text and len(candidates) != 1:
        raise ProblemDetails(422, "invalid_request", "The appointment's phone is not a valid phone number. Write it like +12175550100.")
    return candidates[0] if candidates else ""


def _moment(text: str, zone: ZoneInfo) -> str:
    """A time of the form with its offset; without one it is in the enterprise's time zone."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).isoformat()
    except (ValueError, OverflowError):
        raise ProblemDetails(422, "invalid_request", "The time of sending is not a valid time. Write it like 2026-11-03 14:30.") from None
