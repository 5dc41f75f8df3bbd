"""What other systems write to the rehearsal EMR: a patient's denial of texts, in the Patient or as a Consent.

Each answers like a real server: a version that is not the current one is 412, another change than the denial is 422, and a Consent with an
identifier that exists is not created again. ``refusals`` are status codes that the next requests get instead; 0 accepts the request and
closes the connection without an answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from adapters.rehearsal import resource
from adapters.rehearsal.bulk_pages import RehearsalReply
from adapters.rehearsal.chart import Chart
from adapters.rehearsal.dialect import TEXTING_OK

ALLOWED = ("meta", "extension")


@dataclass(slots=True)
class Written:
    """Everything that was written. ``requests`` counts all attempts, also those that were refused."""

    chart: Chart
    consents: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    requests: int = 0

    def put_patient(self, name: str, body: bytes, if_match: str) -> RehearsalReply:
        """Changes a Patient: only to deny texts, and only in its current version."""
        self.requests += 1
        index, sent = resource.index_of(name), _json(body)
        if index is None or index >= self.chart.population.size or self.chart.is_removed(index):
            return _refused(404, "not-found", "no such patient")
        entry = self.chart.entry(index)
        if if_match != f'W/"{entry.version}"':
            return _refused(412, "conflict", "this is not the current version")
        current = resource.patient(entry)
        if any(sent.get(key) != current.get(key) for key in {*sent, *current} - set(ALLOWED)):
            return _refused(422, "business-rule", "only the extension may be changed")
        if {"url": TEXTING_OK, "valueBoolean": False} not in sent.get("extension", []):
            return _refused(422, "business-rule", "only a denial of texts may be written")
        self.chart.deny_texts(index)
        changed = self.chart.entry(index)
        return RehearsalReply(200, resource.patient(changed), (("ETag", f'W/"{changed.version}"'),))

    def post_consent(self, body: bytes, if_none_exist: str) -> RehearsalReply:
        """Creates a Consent, unless one with the identifier in ``If-None-Exist`` exists."""
        self.requests += 1
        sent = _json(body)
        known = next((one for one in self.consents if if_none_exist and _search_text(one) == if_none_exist), None)
        if known is not None:
            return RehearsalReply(200, known)
        if sent.get("resourceType") != "Consent" or sent.get("provision", {}).get("type") != "deny":
            return _refused(422, "business-rule", "only Consents that deny are accepted")
        stamp = {"versionId": "1", "lastUpdated": resource.instant(self.chart.clock())}
        self.consents.append({**sent, "id": f"rc-{len(self.consents)}", "meta": stamp})
        return RehearsalReply(201, self.consents[-1])

    def search(self, parameters: dict[str, str]) -> RehearsalReply:
        """The Consents of a patient, with an identifier, or all of them: ``_lastUpdated`` is ignored, which a client must bear."""
        patient, identifier = parameters.get("patient", ""), parameters.get("identifier", "")
        found = [one for one in self.consents if not patient or one["patient"]["reference"].endswith(f"/{patient}")]
        found = [one for one in found if not identifier or _search_text(one) == f"identifier={identifier}"]
        entries = [{"resource": one, "search": {"mode": "match"}} for one in found]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return RehearsalReply(200, bundle | ({"entry": entries} if entries else {}))


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _search_text(one: dict[str, Any]) -> str:
    identifier = one["identifier"][0]
    return f"identifier={identifier['system']}|{identifier['value']}"


def _refused(status: int, code: str, text: str) -> RehearsalReply:
    return RehearsalReply(status, resource.outcome(code, text))
