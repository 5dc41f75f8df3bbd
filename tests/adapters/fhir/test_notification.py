"""Notifications of FHIR Subscriptions: who sent them, and which patients they name."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fhir.decode import NotReadable
from adapters.fhir.notification import MISSING, WRONG, Notification, PushCredentials, read, refusal

URL = "https://ehr.example/fhir/r4"
SIGNED, BEARER = PushCredentials(("the older secret", "the secret")), PushCredentials(tokens=("the token",))
OWN_HEADER = PushCredentials(tokens=("the token",), header="x-emr-token")


def part(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"name": name, f"value{kind}": {"reference": value} if kind == "Reference" else value}


def r4(kind: str, count: Any = "3", events: list[list[dict[str, Any]]] | None = None) -> dict[str, Any]:
    """The status of the Backport IG in R4."""
    parameters = [part("subscription", "Reference", f"{URL}/Subscription/7"), part("status", "Code", "active"), part("type", "Code", kind)]
    parameters += [] if count is None else [part("events-since-subscription-start", "String", count)]
    found = [{"name": "notification-event", "part": parts} for parts in events or []]
    return {"resourceType": "Parameters", "parameter": [*parameters, *found]}


def r5(kind: str, count: Any = "3", events: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The status of R4B and R5."""
    found = {"resourceType": "SubscriptionStatus", "status": "active", "type": kind, "subscription": {"reference": f"{URL}/Subscription/7"}}
    return found | ({} if count is None else {"eventsSinceSubscriptionStart": count}) | ({"notificationEvent": events} if events else {})


def bundle(status: dict[str, Any], *entries: dict[str, Any], kind: str = "history") -> dict[str, Any]:
    first = {"fullUrl": "urn:uuid:1", "resource": status, "request": {"method": "GET", "url": "Subscription/7/$status"}}
    return {"resourceType": "Bundle", "type": kind, "entry": [first, *entries]}


def event(number: Any, focus: str | None = None, *context: str) -> dict[str, Any]:
    found: dict[str, Any] = {"eventNumber": number, **({"focus": {"reference": focus}} if focus else {})}
    return found | ({"additionalContext": [{"reference": one} for one in context]} if context else {})


def entry(resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": f"{URL}/{resource['resourceType']}/{resource['id']}", "resource": resource}


CONSENT = {"resourceType": "Consent", "id": "c1", "patient": {"reference": "Patient/p1"}}
P1, P2 = {"resourceType": "Patient", "id": "p1"}, {"resourceType": "Patient", "id": "p2"}
R5_BUNDLE = "subscription-notification"
NAMES: list[tuple[dict[str, Any], str, set[str], bool]] = [
    (P1, "resource", {"p1"}, False),
    ({"resourceType": "Patient"}, "resource", set(), True),
    ({"resourceType": "Patient", "id": "p 1"}, "resource", set(), True),
    (CONSENT, "resource", {"p1"}, False),
    ({"resourceType": "Consent", "subject": {"reference": f"{URL}/Patient/p1/_history/2"}}, "resource", {"p1"}, False),
    ({"resourceType": "Consent", "patient": {"identifier": {"value": "MRN1"}}}, "resource", set(), True),
    ({"resourceType": "Flag", "subject": {"reference": "Patient/p2"}}, "resource", {"p2"}, False),
    ({"resourceType": "Flag", "subject": {"reference": "Group/p2"}}, "resource", set(), True),
    ({"resourceType": "Encounter", "subject": {"reference": "Patient/p2"}}, "ignored", set(), False),
    (bundle(r4("handshake", "0")), "handshake", set(), False),
    (bundle(r5("heartbeat"), kind=R5_BUNDLE), "heartbeat", set(), False),
    (
        bundle(r4("event-notification", "3", [[part("event-number", "String", "3"), part("focus", "Reference", "Patient/p1")]])),
        "event-notification", {"p1"}, False,
    ),
    (bundle(r4("event-notification", "3", [[part("event-number", "String", "3")]])), "event-notification", set(), True),
    (bundle(r4("event-notification", "3", []), entry(P1), entry(P2)), "event-notification", {"p1", "p2"}, False),
    (bundle(r5("event-notification", "3", [event(3, f"{URL}/Patient/p1")])), "event-notification", {"p1"}, False),
    (bundle(r5("event-notification", "3", [event("3", "Consent/c1")]), kind=R5_BUNDLE), "event-notification", set(), True),
    (bundle(r5("event-notification", "3", [event("3", "Consent/c1", "Patient/p1")])), "event-notification", {"p1"}, False),
    (bundle(r5("event-notification", "3", [event("3", "Consent/c1")]), entry(CONSENT)), "event-notification", {"p1"}, False),
    (
        bundle(r5("event-notification", "3", [event("2", "Consent/c9"), event("3", "Patient/p2")]), entry(P2)),
        "event-notification", {"p2"}, True,
    ),
    (
        bundle(r5("event-notification", "3", [event("3")]), {"request": {"method": "PUT", "url": "Patient/p1"}}),
        "event-notification", {"p1"}, True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "patients", "unnamed"), NAMES)
def test_a_notification_names_its_patients_or_says_that_it_does_not(
    body: dict[str, Any], kind: str, patients: set[str], unnamed: bool
) -> None:
    found = read(json.dumps(body).encode())
    assert (found.kind, found.patients, found.unnamed) == (kind, patients, unnamed)


NUMBERS: list[tuple[dict[str, Any], tuple[int | None, int | None]]] = [
    (r4("handshake", "0"), (1, 0)),
    (r4("heartbeat", "5"), (6, 5)),
    (r5("heartbeat", 5), (6, 5)),
    (r5("heartbeat", None), (None, None)),
    (r5("event-notification", "5", [event("4", "Patient/p1"), event("5", "Patient/p2")]), (4, 5)),
    (r5("event-notification", "9", [event("5", "Patient/p2")]), (5, 5)),
    (r4("event-notification", "5", [[part("focus", "Reference", "Patient/p1")], [part("focus", "Reference", "Patient/p2")]]), (4, 5)),
    (r5("event-notification", None, [event("7", "Patient/p1")]), (7, 7)),
    (r5("event-notification", "many", [event("-1", "Patient/p1")]), (None, None)),
    (r5("heartbeat", "9" * 30), (None, None)),
]


@pytest.mark.parametrize(("status", "numbers"), NUMBERS)
def test_events_are_numbered(status: dict[str, Any], numbers: tuple[int | None, int | None]) -> None:
    found = read(json.dumps(bundle(status)).encode())
    assert (found.first, found.last) == numbers
    assert found.subscription == f"{URL}/Subscription/7"


AFTER = [
    ("event-notification", 4, 4, 3, (4, False)),
    ("event-notification", 5, 5, 3, (5, True)),
    ("event-notification", 2, 2, 3, (3, False)),
    ("event-notification", 2, 6, 3, (6, False)),
    ("heartbeat", 4, 3, 3, (3, False)),
    ("heartbeat", 6, 5, 3, (5, True)),
    ("handshake", 1, 0, 3, (0, False)),
    ("handshake", 8, 7, 3, (7, True)),
    ("resource", None, None, 3, (3, False)),
]


@pytest.mark.parametrize(("kind", "first", "last", "known", "after"), AFTER)
def test_a_gap_is_an_event_between_the_last_known_and_the_first_new(
    kind: str, first: int | None, last: int | None, known: int, after: tuple[int, bool]
) -> None:
    assert Notification(kind, first=first, last=last).after(known) == after


UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "not_json"),
    (b"[" * 100_000, "not_json"),
    (b"7", "not_fhir"),
    (b"{}", "not_fhir"),
    (json.dumps({"resourceType": "Bundle", "type": "history"}).encode(), "no_subscription_status"),
    (json.dumps({"resourceType": "Bundle", "type": "history", "entry": {"a": 1}}).encode(), "no_subscription_status"),
    (json.dumps(bundle(P1)).encode(), "no_subscription_status"),
    (json.dumps(bundle(r5("heartbeat"), kind="transaction")).encode(), "no_subscription_status"),
    (json.dumps(bundle(r5("query-status"))).encode(), "notification_unknown"),
    (json.dumps(bundle({"resourceType": "Parameters", "parameter": [7, {"name": 7}]})).encode(), "notification_unknown"),
]


@pytest.mark.parametrize(("body", "reason"), UNREADABLE)
def test_what_is_no_notification_has_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(NotReadable) as error:
        read(body)
    assert error.value.reason == reason


def digest(secret: str, body: bytes = b"body") -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


PROOFS: list[tuple[PushCredentials, dict[str, str], str]] = [
    (SIGNED, {"x-signature": digest("the secret")}, ""),
    (SIGNED, {"x-signature": digest("the older secret").upper()}, ""),
    (SIGNED, {"x-hub-signature": f"sha256={digest('the secret')}"}, ""),
    (SIGNED, {"x-hub-signature-256": f"sha256={digest('the secret')}"}, ""),
    (SIGNED, {"x-signature": digest("another secret")}, WRONG),
    (SIGNED, {"x-signature": digest("the secret", b"another body")}, WRONG),
    (SIGNED, {"x-signature": "\udcff"}, WRONG),
    (SIGNED, {"x-signature": ""}, MISSING),
    (SIGNED, {"authorization": "Bearer the secret"}, MISSING),
    (BEARER, {"authorization": "Bearer the token"}, ""),
    (BEARER, {"authorization": "bearer  the token "}, ""),
    (BEARER, {"authorization": "the token"}, ""),
    (BEARER, {"authorization": "Bearer the tokens"}, WRONG),
    (BEARER, {"authorization": ""}, MISSING),
    (BEARER, {"x-emr-token": "the token"}, MISSING),
    (OWN_HEADER, {"x-emr-token": "the token"}, ""),
]


@pytest.mark.parametrize(("credentials", "headers", "why"), PROOFS)
def test_only_the_emr_is_believed(credentials: PushCredentials, headers: dict[str, str], why: str) -> None:
    assert refusal(headers, b"body", credentials) == why


NAMED = (
    "resourceType",
    "type",
    "entry",
    "resource",
    "request",
    "parameter",
    "part",
    "name",
    "notificationEvent",
    "focus",
    "reference",
    "id",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["Patient/p1", "history", "SubscriptionStatus"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMED), inner, max_size=5),
    max_leaves=20,
)


@given(JSON, st.sampled_from(["Parameters", "SubscriptionStatus", "Patient"]), st.sampled_from(["heartbeat", "event-notification", "x"]))
def test_any_json_is_a_notification_or_has_a_reason(odd: Any, kind: str, what: str) -> None:
    own = odd if isinstance(odd, dict) else {"notificationEvent": odd, "parameter": odd}
    for body in (odd, bundle({**own, "resourceType": kind, "type": what}), {**bundle(r5("event-notification")), "entry": odd}):
        try:
            found = read(json.dumps(body).encode())
        except NotReadable:
            continue
        assert all(name and "/" not in name for name in found.patients)
