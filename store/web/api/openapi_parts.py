"""What the OpenAPI document derives from each endpoint: its operation id, tag, the errors it may answer, and examples."""

from __future__ import annotations

import re
from typing import Any

from store.domain import reasons as why
from store.web.api.endpoint import Endpoint

PARAMETER = re.compile(r"\{(\w+):\w+\}")
STATUSES = {
    "400": "the body is not JSON in UTF-8",
    "401": "no valid key",
    "403": "the key's role does not allow this",
    "404": "nothing with this id in the caller's enterprise",
    "408": "the body arrived too slowly",
    "409": "the state does not allow this; `code` says why",
    "410": "the feed cannot continue from there",
    "412": "changed since If-Match",
    "413": "the body is too large",
    "422": "a value cannot be used; `detail` names it",
    "423": "the EMR masters this value",
    "429": "too many requests; wait as long as Retry-After says",
    "503": "the database is unavailable: nothing may be sent; Retry-After says when to ask again",
}
PATIENT = {"authority": "GENHOSP", "value": "MRN10001"}
ASK = {"patient": PATIENT, "message_type": "broadcast", "channels": ["sms", "voice"], "line": "+12175550100"}
EXAMPLES: dict[str, Any] = {
    "/v1/decisions": ASK,
    "/v1/decisions/batch": [ASK],
    "/v1/patients/lookup": {"patient": PATIENT},
    "/v1/sms-replies": {
        "line": "+12175550100",
        "from": "+12175550101",
        "body": "STOP",
        "in_reply_to": {"message_type": "campaign", "category": "marketing"},
    },
    "/v1/opt-outs": {
        "channel": "voice",
        "address": "+12175550101",
        "how": "key_press",
        "in_reply_to": {"message_type": "automation", "category": "informational"},
    },
    "/v1/patients/by-phone": {"phone": "+12175550101"},
}
"""An example of each body that senders write."""


MAY_CONFLICT = ("/lookup", "/links", "/resync", "/approve", "/reject", "/replay", "/decide", "/by-phone", "/done", "/undo")
"""The ends of paths whose call may be one that the state does not allow."""


def operation_id(row: Endpoint) -> str:
    """A name for code that is generated from the document: ``post_decisions_batch``, ``get_patients_by_patient_id``."""
    path = PARAMETER.sub(r"by_\1", row.path.removeprefix("/v1/"))
    return f"{row.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', path.lower())}"


def tag(row: Endpoint) -> str:
    """The part of the API that an endpoint belongs to: the first part of its path."""
    return row.path.removeprefix("/v1/").partition("/")[0]


def errors(row: Endpoint) -> dict[str, str]:
    """The error statuses of an endpoint, each with its meaning."""
    found = {"401", "403", "422", "503"}
    found |= {"400", "408", "413"} if row.takes is not None else set()
    found |= {"404"} if PARAMETER.search(row.path) or row.path.endswith("/lookup") else set()
    found |= {"409", "412", "423"} if row.method in ("PUT", "POST") and row.path.startswith("/v1/patients/{") else set()
    found |= {"409"} if row.path.endswith(MAY_CONFLICT) else set()
    found |= {"410"} if row.path == "/v1/changes" else set()
    found |= {"429"} if row.path.startswith("/v1/decisions") else set()
    return {status: STATUSES[status] for status in sorted(found)}


def with_reasons(components: dict[str, Any]) -> dict[str, Any]:
    """The schemas, with the codes that a decision's reasons may be."""
    reasons, skips = sorted({*why.REFUSALS, *why.SKIPS, *why.NOTES}), sorted(why.SKIPS)
    for name in ("Decision", "InvalidAsk"):
        components[name]["properties"]["reasons"]["items"] = {"type": "string", "enum": reasons}
    components["Skipped"]["properties"]["reason"] = {"type": "string", "enum": skips}
    return components
