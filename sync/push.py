"""Notifications of EMRs (FHIR Subscriptions): verified, then noted as reads. They change nothing themselves (``sync.push_reader`` reads).

A request that the EMR did not sign is answered 401 before anything in it is read, and leaves nothing but a count.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from adapters.fhir import notification
from adapters.fhir.decode import NotReadable
from adapters.fhir.notification import HANDSHAKE, IGNORED, Notification, PushCredentials
from store.runs.pushed_reads import EVERYTHING, PushedReads
from store.web.api.inbound import InboundAnswer, InboundRequest
from store.web.http.problem import ProblemDetails
from sync import logs
from sync.config import ConfiguredSource
from sync.runtime import Runtime

SETTLE = timedelta(seconds=0.3)
"""How long a read waits, so that one edit which the EMR reports resource by resource is read once."""
UNSIGNED = "the request is not signed as configured: check the secret or token in 'push' of the source, and in the subscription"
UNKNOWN = "unknown"
"""In place of a source that has no ``push``, or that there is not."""
UNREADABLE, MISSED = "unreadable", "missed"
STOPPED = ("error", "off")


class Push:
    """Receives notifications. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.reads, self._warnings = runtime, PushedReads(runtime.database), logs.RareWarnings()
        self._nobody = PushCredentials(secrets=(secrets.token_hex(32),))

    def receive(self, request: InboundRequest) -> InboundAnswer:
        """Verifies a notification and notes what is to be read. Raises :class:`ProblemDetails` 401 or 400.

        A source that there is not, or that has no ``push``, is answered like a wrong signature and after the same work: otherwise anybody
        could learn the names of sources.
        """
        feed = self.runtime.settings.feeds.get(request.name)
        push = feed.push if feed is not None and feed.push is not None else self._nobody
        headers = {name.lower(): value for name, value in request.headers.items()}
        why = notification.refusal(headers, request.body, push)
        if feed is None or feed.push is None or why:
            self._refused(feed if feed is not None and feed.push is not None else None, why or notification.WRONG)
            raise ProblemDetails(401, "signature_refused", UNSIGNED, {"www-authenticate": 'Signature realm="emr-sync"'})
        try:
            found = notification.read(request.body)
        except NotReadable as error:
            self.runtime.metrics.pushed.add(feed.name, UNREADABLE)
            raise ProblemDetails(400, error.reason, f"the notification cannot be used: {error}") from None
        return InboundAnswer(202 if self._note(feed, found) else 200)

    def _refused(self, feed: ConfiguredSource | None, why: str) -> None:
        """Counts it. What is called by a name that we do not know has no metric of its own: anybody could create any number."""
        name = feed.name if feed else UNKNOWN
        self.runtime.metrics.push_refused.add(name, why)
        self._warnings.warn("notifications refused", source=name, reason=why)

    def _note(self, feed: ConfiguredSource, found: Notification) -> bool:
        """Notes what is to be read. Returns whether anything is."""
        patients = found.patients | ({EVERYTHING} if found.unnamed else frozenset())
        now = self.runtime.clock()
        after = found.after if found.last is not None else None
        missed = self.reads.add(feed.name, feed.enterprise, patients, now + SETTLE, found.subscription, after, now=now)
        self.runtime.metrics.pushed.add(feed.name, found.kind)
        if missed:
            self.runtime.metrics.pushed.add(feed.name, MISSED)
        if found.status in STOPPED and found.kind != HANDSHAKE:
            self._warnings.warn("the EMR stopped a subscription; activate it again", source=feed.name, status=found.status)
        return found.kind != IGNORED and bool(patients or missed)
