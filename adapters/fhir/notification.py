"""Notifications of FHIR Subscriptions: whether a request comes from the EMR, and which patients it says have changed. Pure.

Three shapes: the changed resource itself (R4 criteria, as Medplum sends it), and bundles of the Subscriptions R5 Backport IG and of R5,
whose first entry is a ``Parameters`` (R4) or a ``SubscriptionStatus`` (R4B, R5). Nothing else in a notification is used: the patients
are read again from the EMR.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters.fhir.decode import NotReadable, decode_in_part

MISSING, WRONG = "signature_missing", "signature_wrong"
SIGNATURES = ("x-signature", "x-hub-signature", "x-hub-signature-256")
"""Headers with the HMAC-SHA256 of the body in hex: Medplum's, and those of WebSub, which athenahealth uses."""

HANDSHAKE, HEARTBEAT, EVENT = "handshake", "heartbeat", "event-notification"
RESOURCE, IGNORED = "resource", "ignored"
BUNDLES = ("history", "subscription-notification")
ABOUT_PATIENTS = ("Patient", "Consent", "Flag")
# The server is not compared: a patient of another server costs a request for one that we do not have.
PATIENT = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
ID, COUNT = re.compile(r"[A-Za-z0-9\-.]{1,64}"), re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PushCredentials:
    """How the EMR proves that a notification is its own. Several secrets are valid at once while one is replaced by the next.

    ``secrets`` sign the body; ``tokens`` are sent in ``header``, as ``Bearer TOKEN`` or bare. One of the two is empty.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    tokens: tuple[str, ...] = field(default=(), repr=False)
    header: str = "authorization"


class Notification(NamedTuple):
    """What a notification says. ``patients``: resource ids. ``unnamed``: something changed, and it does not say of whom.

    ``first`` and ``last`` number its events, counted since the subscription began; ``first`` is beyond ``last`` if it has none.
    ``status`` is that of the subscription. All three are empty for a bare resource, which has no ``subscription``.
    """

    kind: str
    patients: frozenset[str] = frozenset()
    unnamed: bool = False
    subscription: str = ""
    status: str = ""
    first: int | None = None
    last: int | None = None

    def after(self, known: int) -> tuple[int, bool]:
        """The number of the last event after this notification, and whether events between ``known`` and it were missed.

        A handshake begins a subscription again, so its count is taken even if it is smaller.
        """
        if self.first is None or self.last is None:
            return known, False
        return self.last if self.kind == HANDSHAKE else max(known, self.last), self.first > known + 1


def refusal(headers: Mapping[str, str], body: bytes, credentials: PushCredentials) -> str:
    """Why the request is not the EMR's; empty if it is. ``headers`` by name in lower case. Comparisons take constant time."""
    if credentials.secrets:
        given = [headers[name].strip().lower().removeprefix("sha256=") for name in SIGNATURES if headers.get(name)]
        expected = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in credentials.secrets]
    else:
        text = headers.get(credentials.header, "").strip()
        given, expected = [text[7:].strip() if text[:7].lower() == "bearer " else text] if text else [], list(credentials.tokens)
    if not given:
        return MISSING
    fits = [hmac.compare_digest(one.encode("utf-8", "replace"), other.encode()) for one in given for other in expected]
    return "" if any(fits) else WRONG


def read(body: bytes) -> Notification:
    """The notification in a body. Raises :class:`~adapters.fhir.decode.NotReadable`."""
    try:
        resource, _ = decode_in_part(body)
    except RecursionError:
        raise NotReadable("not_json", "it is nested too deeply") from None
    if resource["resourceType"] != "Bundle":
        return _of_resources(RESOURCE, [resource])
    entries = [one for one in _list(resource.get("entry")) if type(one) is dict]
    status = _dict(entries[0].get("resource")) if entries else {}
    kind = status.get("resourceType")
    if resource.get("type") not in BUNDLES or kind not in ("Parameters", "SubscriptionStatus"):
        raise NotReadable("no_subscription_status", "the Bundle does not begin with the status of a subscription")
    return _of_bundle(_from_parameters(status) if kind == "Parameters" else _from_status(status), entries[1:])


class _Status(NamedTuple):
    """The status of a subscription, however it was written. ``events``: number and references of each event in the notification."""

    kind: str
    status: str
    subscription: str
    last: int | None
    events: tuple[tuple[int | None, tuple[str, ...]], ...]


def _from_parameters(resource: Mapping[str, Any]) -> _Status:
    """The ``Parameters`` of the Backport IG in R4."""
    named = _parts(resource.get("parameter"))
    events = [_parts(one.get("part")) for one in named.get("notification-event", ())]
    return _Status(
        _value(named, "type"),
        _value(named, "status"),
        _value(named, "subscription"),
        _number(_value(named, "events-since-subscription-start")),
        tuple((_number(_value(one, "event-number")), tuple(_values(one, "focus", "additional-context"))) for one in events),
    )


def _from_status(resource: Mapping[str, Any]) -> _Status:
    """The ``SubscriptionStatus`` of R4B and R5."""
    events = [one for one in _list(resource.get("notificationEvent")) if type(one) is dict]
    return _Status(
        str(resource.get("type")),
        str(resource.get("status") or ""),
        _reference(resource.get("subscription")),
        _number(resource.get("eventsSinceSubscriptionStart")),
        tuple(
            (_number(one.get("eventNumber")), tuple(map(_reference, [one.get("focus"), *_list(one.get("additionalContext"))])))
            for one in events
        ),
    )


def _of_bundle(found: _Status, entries: list[dict[str, Any]]) -> Notification:
    if found.kind not in (HANDSHAKE, HEARTBEAT, EVENT):
        raise NotReadable("notification_unknown", "the type of the notification is not handshake, heartbeat or event-notification")
    last = found.last
    if found.kind != EVENT:
        first = None if last is None else last + 1
        return Notification(found.kind, frozenset(), False, found.subscription, found.status, first, last)
    numbers = [number for number, _ in found.events if number is not None]
    last = max(numbers, default=last)  # the count may include events that are still on their way
    first = min(numbers, default=None if last is None else last - max(len(found.events), 1) + 1)
    resources = [one for entry in entries if (one := _dict(entry.get("resource")))]
    changed = _of_resources(EVENT, resources)
    patients = changed.patients | _named([*(one for _, references in found.events for one in references), *_addresses(entries)])
    included = tuple(f"{one.get('resourceType')}/{one.get('id')}" for one in resources if one.get("id"))
    is_named = all(_named(references) or any(one.endswith(included) for one in references) for _, references in found.events)
    unnamed = changed.unnamed or not patients or not is_named
    return Notification(EVENT, patients, unnamed, found.subscription, found.status, first, last)


def _of_resources(kind: str, resources: Iterable[Mapping[str, Any]]) -> Notification:
    """The patients that some resources are about. Resources of other types are ignored."""
    relevant = [one for one in resources if one.get("resourceType") in ABOUT_PATIENTS]
    found = [_patient_of(one) for one in relevant]
    return Notification(kind if relevant or kind == EVENT else IGNORED, frozenset(filter(None, found)), not all(found))


def _patient_of(resource: Mapping[str, Any]) -> str:
    if resource["resourceType"] == "Patient":
        name = resource.get("id")
        return name if isinstance(name, str) and ID.fullmatch(name) else ""
    about = _reference(resource.get("patient")) or _reference(resource.get("subject"))  # Consent.patient became subject in R5
    return next(iter(_named([about])), "")


def _named(references: Iterable[str]) -> frozenset[str]:
    return frozenset(match[1] for one in references if (match := PATIENT.search(one)))


def _addresses(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        yield _text(entry.get("fullUrl"))
        yield _text(_dict(entry.get("request")).get("url"))


def _parts(parameters: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in _list(parameters):
        if type(one) is dict and isinstance(one.get("name"), str):
            found.setdefault(one["name"], []).append(one)
    return found


def _values(parts: Mapping[str, list[dict[str, Any]]], *names: str) -> Iterator[str]:
    """The values of parameters, of whatever type."""
    for one in (one for name in names for one in parts.get(name, ())):
        value = next((value for key, value in one.items() if key.startswith("value")), None)
        yield _reference(value) if type(value) is dict else str(value or "")


def _value(parts: Mapping[str, list[dict[str, Any]]], name: str) -> str:
    return next(_values(parts, name), "")


def _number(value: Any) -> int | None:
    """A count. R5 writes 64-bit integers as text, and R4 has none."""
    return int(str(value)) if COUNT.fullmatch(str(value)) else None


def _reference(value: Any) -> str:
    return _text(_dict(value).get("reference"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
