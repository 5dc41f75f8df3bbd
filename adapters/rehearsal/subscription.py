"""Subscriptions of the rehearsal EMR: notifies a URL of changed patients, in the shapes that real servers use.

``resource``: the changed resource itself, as Medplum sends it. ``r4`` and ``r4b``: the Subscriptions R5 Backport IG. ``r5``: FHIR R5.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from adapters.rehearsal import resource
from adapters.rehearsal.chart import Chart

RESOURCE, R4, R4B, R5 = "resource", "r4", "r4b", "r5"
EMPTY, ID_ONLY, FULL = "empty", "id-only", "full-resource"
NAME = "Subscription/rehearsal"
TIMEOUT = 10.0


class Subscription:
    """One subscription to changes of Patients. ``answers`` are the status codes of the receiver.

    ``secret`` signs each body (HMAC-SHA256 in hex, ``X-Signature``); ``token`` is sent as ``Authorization: Bearer``. ``payload`` is what a
    bundle holds. While ``cut`` is true, changes happen and are counted, but nothing is sent.
    """

    def __init__(
        self, chart: Chart, url: str, base_url: str, *, shape: str = R4, payload: str = ID_ONLY, secret: str = "", token: str = ""
    ) -> None:
        self.chart, self.url, self.base_url = chart, urlsplit(url), base_url
        self.shape, self.payload, self.secret, self.token = shape, payload, secret, token
        self.events, self.cut = 0, False
        self.answers: list[int] = []

    def handshake(self) -> None:
        """The first notification of a bundle subscription."""
        self.send(self.bundle("handshake", ()))

    def heartbeat(self) -> None:
        """Tells that the subscription is alive, and how many events there were."""
        self.send(self.bundle("heartbeat", ()))

    def notify(self, indexes: Iterable[int]) -> None:
        """Notifies of changed patients: one request for each resource, or one bundle for all."""
        changed = list(indexes)
        self.events += len(changed)
        if self.cut:
            return
        if self.shape == RESOURCE:
            for index in changed:
                self.send(resource.patient(self.chart.entry(index)))
        else:
            self.send(self.bundle("event-notification", changed))

    def bundle(self, kind: str, indexes: Sequence[int]) -> dict[str, Any]:
        """A notification; the events are the last ones of the subscription."""
        first = self.events - len(indexes) + 1
        events = [(first + place, f"Patient/{resource.resource_id(index)}") for place, index in enumerate(indexes)]
        status = self._parameters(kind, events) if self.shape == R4 else self._status(kind, events)
        entries = [{"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": status, "request": self._asked("$status")}]
        for index in indexes if self.payload != EMPTY else ():
            name = f"Patient/{resource.resource_id(index)}"
            full = {"resource": resource.patient(self.chart.entry(index))} if self.payload == FULL else {}
            entries.append({"fullUrl": f"{self.base_url}/{name}", "request": {"method": "PUT", "url": name}, **full})
        return {"resourceType": "Bundle", "type": "subscription-notification" if self.shape == R5 else "history", "entry": entries}

    def send(self, body: Any) -> None:
        """Sends a body, signed. Its answer is in ``answers``."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/fhir+json"}
        if self.secret:
            headers["X-Signature"] = hmac.new(self.secret.encode(), data, hashlib.sha256).hexdigest()
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = HTTPConnection(self.url.hostname or "", self.url.port or 80, timeout=TIMEOUT)
        try:
            connection.request("POST", self.url.path, data, headers)
            self.answers.append(connection.getresponse().status)
        finally:
            connection.close()

    def _parameters(self, kind: str, events: Sequence[tuple[int, str]]) -> dict[str, Any]:
        """The status as the Backport IG has it in R4, which knows no ``SubscriptionStatus``."""
        parameters: list[dict[str, Any]] = [
            {"name": "subscription", "valueReference": {"reference": f"{self.base_url}/{NAME}"}},
            {"name": "status", "valueCode": "requested" if kind == "handshake" else "active"},
            {"name": "type", "valueCode": kind},
            {"name": "events-since-subscription-start", "valueString": str(self.events)},
        ]
        for number, focus in events:
            parts: list[dict[str, Any]] = [{"name": "event-number", "valueString": str(number)}]
            if self.payload != EMPTY:
                parts.append({"name": "focus", "valueReference": {"reference": focus}})
            parameters.append({"name": "notification-event", "part": parts})
        return {"resourceType": "Parameters", "parameter": parameters}

    def _status(self, kind: str, events: Sequence[tuple[int, str]]) -> dict[str, Any]:
        def focus(name: str) -> dict[str, Any]:
            return {} if self.payload == EMPTY else {"focus": {"reference": name}}

        found = {
            "resourceType": "SubscriptionStatus",
            "status": "requested" if kind == "handshake" else "active",
            "type": kind,
            "eventsSinceSubscriptionStart": str(self.events),
            "subscription": {"reference": f"{self.base_url}/{NAME}"},
            "notificationEvent": [{"eventNumber": str(number), **focus(name)} for number, name in events],
        }
        return {key: value for key, value in found.items() if value != []}

    @staticmethod
    def _asked(operation: str) -> dict[str, str]:
        return {"method": "GET", "url": f"{NAME}/{operation}"}
