"""Webhooks of messaging providers: verified, read by the provider's format, and committed before they are answered.

A request that its provider did not sign is answered 401 and leaves nothing but a count. If we fail, the provider gets 503 and sends again.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Any

from adapters.base import IngestResult
from adapters.providers.fetch import fetched
from adapters.providers.format import Recipe
from adapters.providers.reading import UNKNOWN_EVENT, Event, IgnoredEvent, UnusableEvent, read_content, read_item
from adapters.providers.request import BodyUnreadable, ProviderRequest, json_value
from adapters.providers.signatures import WRONG, ProviderCredentials, refusal
from adapters.providers.sns import Fetch, SnsSignatures, SnsUnreachable
from store.patients.provider_events import NOTHING, REJECTED, REPEATED, MessagingProvider, ProviderEvents
from store.preference import RecordOutcome
from store.provider_event import ProviderEvent
from store.runs.rejections import Rejected
from store.runs.runs import Rejection
from store.web.api.inbound import InboundAnswer, InboundRequest
from store.web.http.problem import RETRY_AFTER, ProblemDetails
from sync import logs
from sync.config import ConfiguredProvider
from sync.runtime import Runtime

IGNORED = "ignored"
UNSIGNED = "the request is not signed by the provider as configured: check its secret, public_url and clock"
SNS_AWAY = "Amazon SNS could not be reached to verify the message: send it again"
CONFIRMED = "confirmed"
UNKNOWN = "unknown"
"""In place of a provider that there is not."""
NOBODYS = Recipe("hmac", header=("x-twilio-signature",), signed=("url", "sorted_form"))
CHALLENGES = 'Basic realm="emr-sync", Signature realm="emr-sync"'
"""Of every provider, since the scheme would tell which provider it is. Those with a password wait for the first."""
UNUSED = {REPEATED: RecordOutcome.UNCHANGED, NOTHING: RecordOutcome.UNCHANGED, REJECTED: RecordOutcome.REJECTED}
"""The outcome of a replay that changed nothing."""


class Inbound:
    """Receives webhooks. Thread-safe."""

    def __init__(self, runtime: Runtime, fetch: Fetch = fetched) -> None:
        self.runtime, self.sns = runtime, SnsSignatures(fetch)
        self.events = ProviderEvents(runtime.preferences, runtime.journal)
        self._nobody, self._warnings = ProviderCredentials(secrets=(secrets.token_hex(32),)), logs.RareWarnings()

    def receive(self, request: InboundRequest) -> InboundAnswer:
        """Verifies, reads and commits one request. Raises :class:`ProblemDetails` 401 or 503.

        An unknown provider is answered like a wrong signature, and after the same kind of work: otherwise anybody could learn their names.
        """
        provider = self.runtime.settings.providers.get(request.name)
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = f"{provider.public_url if provider else ''}{request.target}"
        signed = ProviderRequest(url, headers, request.body, request.peer, self.runtime.clock())
        if provider is None:
            raise self._refused(UNKNOWN, refusal(signed, NOBODYS, self._nobody) or WRONG)
        try:
            self._verify(provider, signed)
            if provider.format.envelope and self.sns.confirm(signed):
                self._count(provider, [CONFIRMED])
                return InboundAnswer(200)
        except SnsUnreachable:
            self._count_refused(provider.name, "certificate_unreachable")
            raise ProblemDetails(503, "provider_unreachable", SNS_AWAY, {"Retry-After": RETRY_AFTER}) from None
        self._count(provider, self._recorded(provider, read_body(provider, signed)))
        answer = provider.format.answer
        return InboundAnswer(answer.status, answer.body.encode(), answer.media)

    def replay(self, rejection: Rejection, actor: str) -> IngestResult:
        """Reads a rejected event again, by today's configuration and with its original time."""
        provider = self.runtime.settings.providers[rejection.source]
        event = as_received(replayed(provider, rejection.payload))
        if isinstance(event, ProviderEvent) and event.at is None and not event.at_unreadable:
            event = event._replace(at=rejection.first_at)
        outcome, reason = self.events.replay(_store_side(provider), event, rejection, actor, self.runtime.clock())
        return IngestResult(UNUSED.get(outcome, RecordOutcome.APPLIED), reason)

    def _verify(self, provider: ConfiguredProvider, request: ProviderRequest) -> None:
        try:
            why = refusal(request, provider.format.verify, provider.credentials, {"sns": self.sns.check})
        except BodyUnreadable:
            why = "signature_missing"
        if why:
            raise self._refused(provider.name, why)

    def _recorded(self, provider: ConfiguredProvider, events: Iterable[Event]) -> list[str]:
        found = list(events)
        usable = [one for one in map(as_received, found) if one is not None]
        done = self.events.record(_store_side(provider), usable, self.runtime.clock())
        self.runtime.metrics.left_out.add(provider.name, number=done.left_out)
        return [*done.outcomes, *[IGNORED] * (len(found) - len(usable))]

    def _count(self, provider: ConfiguredProvider, outcomes: Iterable[str]) -> None:
        for outcome, number in Counter(outcomes).items():
            self.runtime.metrics.provider_events.add(provider.name, outcome, number=number)

    def _refused(self, provider: str, reason: str) -> ProblemDetails:
        """Counts a refused request. Returns its answer, which is the same for all of them."""
        self._count_refused(provider, reason)
        return ProblemDetails(401, "signature_refused", UNSIGNED, {"www-authenticate": CHALLENGES})

    def _count_refused(self, provider: str, reason: str) -> None:
        """A name that we do not know has no metric of its own: anybody could create any number."""
        self.runtime.metrics.provider_refused.add(provider, reason)
        self._warnings.warn("webhooks refused", provider=provider, reason=reason)


def read_body(provider: ConfiguredProvider, request: ProviderRequest) -> list[Event]:
    """The events of a body. One that cannot be read at all is an unusable event."""
    try:
        content = request.content(provider.format.body)
    except BodyUnreadable as error:
        return [UnusableEvent(error.reason, str(error), "", request.body)]
    return list(read_content(provider.format, content, request.body))


def replayed(provider: ConfiguredProvider, payload: bytes) -> Event:
    """The event of a kept item; a body that could not be read as a whole stays unusable."""
    try:
        item: Any = json_value(payload)
    except BodyUnreadable as error:
        return UnusableEvent(error.reason, str(error), "", payload)
    found = read_item(provider.format, item)
    return found._replace(payload=payload) if isinstance(found, ProviderEvent | UnusableEvent) else found


def as_received(event: Event) -> ProviderEvent | Rejected | None:
    """The event as the store takes it; ``None`` if it is not about consent."""
    if isinstance(event, IgnoredEvent):
        return None
    if isinstance(event, UnusableEvent):
        return Rejected(event.reason, event.detail, event.path, "", event.payload, nameless=event.reason == UNKNOWN_EVENT)
    return event


def _store_side(provider: ConfiguredProvider) -> MessagingProvider:
    return MessagingProvider(provider.name, provider.enterprise, provider.group, provider.line_of)
