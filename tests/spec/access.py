"""Who may call what: every API call by kind of key, every page by role. A route that is missing here fails the tests.

Keys and sessions belong to one enterprise. Data of another enterprise is not found (404), or unknown if the response is a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from store.domain.lock import Grant, Role
from store.users.api_keys import KEY_ROLES

GRANTED = f"sender with {Grant.PATIENTS}"
KEYS = ("sender", GRANTED, *(str(role) for role in KEY_ROLES if role != Role.SENDER))
"""The kinds of keys: the roles, and a sender's key with a grant."""
ROLES = ("enterprise", "manager", "staff", "operator", "auditor", "administrator")
"""The roles of people."""
EVERYBODY, PEOPLE = frozenset(ROLES), frozenset({"enterprise", "manager", "staff"})
SENDERS, LOOKERS = frozenset({"sender", GRANTED}), PEOPLE | {"auditor"}
RECORDERS, REPORTED = frozenset({"enterprise", "staff"}), frozenset({"enterprise", "manager", "auditor"})
OPERATOR, AUDITOR, ENTERPRISE = frozenset({"operator"}), frozenset({"auditor"}), frozenset({"enterprise"})
ADMINISTRATOR = frozenset({"administrator"})


class Call(NamedTuple):
    """An API call: the kinds of keys that may make it, and the status for their own data, with sync and without.

    ``foreign`` is the status for data of another enterprise, ``None`` if the call names no data. ``but``: roles with another status in
    the enterprise that does not sync. Every other key gets 403. Without a key the status is 401.
    """

    keys: frozenset[str]
    syncs: int = 200
    local: int = 200
    foreign: int | None = None
    but: Mapping[str, int] = {}


_PATIENT = "/v1/patients/{patient_id:str}"
CALLS: Mapping[tuple[str, str], Call] = {
    ("POST", "/v1/decisions"): Call(SENDERS, foreign=200),
    ("POST", "/v1/decisions/batch"): Call(SENDERS, foreign=200),
    ("GET", "/v1/changes"): Call(SENDERS),
    ("POST", "/v1/sms-replies"): Call(SENDERS),
    ("POST", "/v1/opt-outs"): Call(SENDERS | RECORDERS),
    ("POST", "/v1/opt-outs/links"): Call(SENDERS, 409, 409),
    ("POST", "/v1/patients/lookup"): Call(LOOKERS | {GRANTED}, foreign=404),
    ("POST", "/v1/patients/by-phone"): Call(LOOKERS),
    ("GET", _PATIENT): Call(LOOKERS | {GRANTED}, foreign=404),
    ("GET", f"{_PATIENT}/history"): Call(LOOKERS | {GRANTED}, foreign=404),
    ("GET", f"{_PATIENT}/as-of"): Call(LOOKERS, foreign=404),
    ("GET", f"{_PATIENT}/receipts"): Call(AUDITOR, foreign=404),
    ("PUT", f"{_PATIENT}/do-not-contact"): Call(PEOPLE, 423, 200, 404, {"manager": 403, "staff": 403}),
    ("PUT", f"{_PATIENT}/preferred-phone"): Call(RECORDERS, foreign=404),
    ("POST", f"{_PATIENT}/sms-consent"): Call(RECORDERS, foreign=404),
    ("POST", f"{_PATIENT}/opt-ins"): Call(RECORDERS, 409, 409, 409),
    ("GET", "/v1/decisions/{decision_id:str}"): Call(LOOKERS, foreign=404),
    ("GET", "/v1/audit"): Call(AUDITOR, foreign=200),
    ("GET", "/v1/sms-consent/report"): Call(REPORTED),
    ("GET", "/v1/replies"): Call(LOOKERS),
    ("POST", "/v1/replies/{reply_id:str}/decide"): Call(RECORDERS, foreign=404),
    ("GET", "/v1/worklist"): Call(LOOKERS),
    ("POST", "/v1/worklist/done"): Call(RECORDERS, 409, 409, 409),
    ("POST", "/v1/worklist/undo"): Call(RECORDERS, 409, 409, 409),
    ("GET", "/v1/settings"): Call(ENTERPRISE),
    ("PUT", "/v1/settings"): Call(ENTERPRISE),
    ("GET", "/v1/sources"): Call(OPERATOR),
    ("POST", "/v1/sources/{source:str}/resync"): Call(OPERATOR, 202, 409, 404),
    ("GET", "/v1/runs"): Call(OPERATOR),
    ("GET", "/v1/runs/{run_id:str}"): Call(OPERATOR, foreign=404),
    ("POST", "/v1/runs/{run_id:str}/approve"): Call(OPERATOR, 200, 409, 404),
    ("POST", "/v1/runs/{run_id:str}/reject"): Call(OPERATOR, 200, 409, 404),
    ("GET", "/v1/rejections"): Call(OPERATOR),
    ("POST", "/v1/rejections/{rejection_id:str}/replay"): Call(OPERATOR, foreign=404),
    ("POST", "/v1/rejections/replay"): Call(OPERATOR, foreign=404),
    ("POST", "/v1/rejections/replay/preview"): Call(OPERATOR, foreign=404),
}
"""Without ``public_url`` there are no links, and by default nobody opts a patient in: 409. In the enterprise that does not sync, a run
holds nothing and its source has a run in progress: 409.
"""

PATIENT, DECISION, RUN, REJECTION, SOURCE = (
    "/patients/{patient_id:str}",
    "/decisions/{decision_id:str}",
    "/runs/{run_id:str}",
    "/rejections/{rejection_id:str}",
    "/sources/{source:str}",
)
CAUSE, USER, KEY = f"{REJECTION}/cause", "/users/{user_id:str}", "/keys/{key_id:str}"
PAGES: Mapping[tuple[str, str], frozenset[str]] = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/password"): EVERYBODY,
    ("POST", "/password"): EVERYBODY,
    ("POST", "/enterprise"): EVERYBODY,
    ("POST", "/sign-out"): EVERYBODY,
    ("GET", "/patients"): LOOKERS,
    ("POST", "/patients"): LOOKERS,
    ("GET", PATIENT): LOOKERS,
    ("POST", f"{PATIENT}/decision"): LOOKERS,
    ("POST", f"{PATIENT}/do-not-contact"): PEOPLE,
    ("POST", f"{PATIENT}/preferred-phone"): RECORDERS,
    ("POST", f"{PATIENT}/sms-consent"): RECORDERS,
    ("GET", "/decisions"): LOOKERS,
    ("POST", "/decisions"): LOOKERS,
    ("GET", DECISION): LOOKERS,
    ("GET", "/opt-outs"): REPORTED,
    ("POST", "/opt-outs"): REPORTED,
    ("POST", "/opt-outs/file"): REPORTED,
    ("GET", "/replies"): LOOKERS,
    ("POST", "/replies/{reply_id:str}"): RECORDERS,
    ("GET", "/worklist"): LOOKERS,
    ("POST", "/worklist/file"): LOOKERS,
    ("POST", "/worklist/done"): RECORDERS,
    ("POST", "/worklist/undo"): RECORDERS,
    ("GET", "/settings"): ENTERPRISE,
    ("POST", "/settings"): ENTERPRISE,
    ("GET", "/overview"): OPERATOR,
    ("GET", "/undelivered"): OPERATOR,
    ("POST", "/undelivered/webhooks/{endpoint:str}"): OPERATOR,
    ("POST", "/undelivered/write-backs/{source:str}"): OPERATOR,
    ("GET", "/sources"): OPERATOR,
    ("GET", SOURCE): OPERATOR,
    ("POST", f"{SOURCE}/resync"): OPERATOR,
    ("GET", "/runs"): OPERATOR,
    ("GET", RUN): OPERATOR,
    ("POST", f"{RUN}/approve"): OPERATOR,
    ("POST", f"{RUN}/reject"): OPERATOR,
    ("GET", "/rejections"): OPERATOR,
    ("GET", REJECTION): OPERATOR,
    ("POST", f"{REJECTION}/replay"): OPERATOR,
    ("GET", CAUSE): OPERATOR,
    ("POST", f"{CAUSE}/preview"): OPERATOR,
    ("POST", f"{CAUSE}/replay"): OPERATOR,
    ("GET", "/audit"): AUDITOR,
    ("GET", "/users"): ADMINISTRATOR,
    ("POST", "/users"): ADMINISTRATOR,
    ("POST", f"{USER}/role"): ADMINISTRATOR,
    ("POST", f"{USER}/disable"): ADMINISTRATOR,
    ("POST", f"{USER}/reset"): ADMINISTRATOR,
    ("GET", "/keys"): ADMINISTRATOR,
    ("POST", "/keys"): ADMINISTRATOR,
    ("POST", f"{KEY}/revoke"): ADMINISTRATOR,
}
"""The roles that may use a page or its form."""
OPEN = {
    *((method, "/sign-in") for method in ("GET", "POST")),
    *((method, "/unsubscribe/{token:str}") for method in ("GET", "POST")),
    *(("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/schema", "/schema/openapi.json", "/static/{digest:str}/{name:str}")),
}
"""Routes that need neither key nor session."""
