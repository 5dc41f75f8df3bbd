"""Notifications of EMRs (FHIR Subscriptions): verified, then noted as reads. They change nothing themselves (``sync.push_reader`` reads).

A request that the EMR did not sign is answered 401 before anything in it is read, and leaves nothing but a count.
"""

from __future__ import annotations

from datetime import timedelta

from adapters.fhir import notification
from adapters.fhir.decode import NotReadable
from adapters.fhir.notification import HANDSHAKE, IGNORED, Notification
from store.runs.pushed_reads import EVERYTHING, PushedReads
from store.web.api.inbound import InboundAnswer, InboundRequest
from store.web.http.problem import ProblemDetails
from sync import logs
from sync.config import ConfiguredSource
from sync.runtime import Runtime

SETTLE = timedelta(seconds=0.3)
"""How long a read waits, so that one edit which the EMR reports resource by resource is read once."""
UNSIGNED = "the request is not signed as configured: check the secret or token in 'push' of the source, and in the subscription"
UNREADABLE, MISSED = "unreadable", "missed"
STOPPED = ("error", "off")


class Push:
    """Receives notifications. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.reads, self._warnings = runtime, PushedReads(runtime.database), logs.RareWarnings()

    def receive(self, request: InboundRequest) -> InboundAnswer:
        """Verifies a notification and notes what is to be read. Raises :class:`ProblemDetails` 404, 401 or 400."""
        feed = self.runtime.settings.feeds.get(request.name)
        if feed is None or feed.push is None:
            raise ProblemDetails(404, "not_found", "no such source, or it has no 'push'")
        headers = {name.lower(): value for name, value in request.headers.items()}
        if why := notification.refusal(headers, request.body, feed.push):
            self.runtime.metrics.push_refused.add(feed.name, why)
            self._warnings.warn("notifications refused", source=feed.name, reason=why)
            raise ProblemDetails(401, "signature_refused", UNSIGNED, {"www-authenticate": 'Signature realm="emr-sync"'})
        try:
            found = notification.read(request.body)
        except NotReadable as error:
            self.runtime.metrics.pushed.add(feed.name, UNREADABLE)
            raise ProblemDetails(400, error.reason, f"the notification cannot be used: {error}") from None
        return InboundAnswer(202 if self._note(feed, found) else 200)

    def _note(self, feed: ConfiguredSource, found: Notification) -> bool:
        """Notes what is to be read. Returns whether anything is."""
        patients = found.patients | ({EVERYTHING} if found.unnamed else frozenset())
        due, missed = self.runtime.clock() + SETTLE, False
        if patients or found.last is not None:
            missed = self.reads.add(feed.name, feed.enterprise, patients, due, found.subscription, found.after)
        self.runtime.metrics.pushed.add(feed.name, found.kind)
        if missed:
            self.runtime.metrics.pushed.add(feed.name, MISSED)
        if found.status in STOPPED and found.kind != HANDSHAKE:
            self._warnings.warn("the EMR stopped a subscription; activate it again", source=feed.name, status=found.status)
        return found.kind != IGNORED and bool(patients or missed)
