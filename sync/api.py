"""What the API needs from sync: start a run, replay a rejection, report the state of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from store.audit.audit_log import ASKED_FOR_RESYNC, VIEWED_PAYLOAD, Audit
from store.db.second_cache import SecondCache
from store.domain.lock import Role
from store.errors import ValueRefused
from store.runs.runs import Run, RunKind
from store.users.sessions import Sessions
from store.users.throttle import Throttle
from store.users.users import Users
from store.web.api.health import Health, OfService, Readiness, nobody_else
from store.web.app import create_app, create_monitoring
from store.web.http.decision_counts import DecisionCounts
from store.web.http.problem import ProblemDetails
from store.web.http.unknown_patients import LookUps, UnknownPatients, no_notification
from store.web.http.work import SyncWork, UnmappedCode
from store.web.pages.provider import Provider
from store.web.pages.site import Access
from sync import logs, memory
from sync.api_report import ApiCounts
from sync.config.settings import SafeguardRule
from sync.describe import described
from sync.inbound import Inbound
from sync.mapping_fix import fix
from sync.measuring import measured
from sync.proposing import allows
from sync.push import Push
from sync.questions import Shared
from sync.queue import Job, Queue
from sync.replays import Replays, replay_one
from sync.runtime import Runtime, UsageError
from sync.unmapped import unmapped_codes


class OnRequest:
    """Work that an operator requests over HTTP."""

    def __init__(self, runtime: Runtime, queue: Queue) -> None:
        self.runtime, self.queue, self.log = runtime, queue, logs.logger()
        self.audit = Audit(runtime.database)

    def resync(self, source: str, by: str) -> Run:
        """Queues a run and returns it. Raises ``RunActive``, or ``ValueRefused`` for a source that cannot be read."""
        try:
            run = self.queue.request(Job(source, RunKind.RESYNC))
        except UsageError as reason:
            raise ValueRefused(str(reason)) from reason
        self.log.info("resync requested", source=source, run=run.id, by=by)
        self.audit.note(run.enterprise, ASKED_FOR_RESYNC, run.id, actor=f"{Role.OPERATOR}:{by}", now=self.runtime.clock(), source=source)
        return run

    def replay_many(self, numbers: Sequence[str], by: str) -> list[dict[str, Any]]:
        """Replays a selection now."""
        try:
            done = Replays(self.runtime).replay_all(numbers, f"{Role.OPERATOR}:{by}")
        except UsageError as reason:
            raise ValueRefused(str(reason)) from reason
        self.log.info("rejections replayed", rejections=len(done), by=by)
        return done

    def preview(self, numbers: Sequence[str]) -> Mapping[str, Any]:
        """What replaying a selection would change."""
        try:
            return Replays(self.runtime).preview(numbers).as_dict()
        except UsageError as reason:
            raise ValueRefused(str(reason)) from reason

    def codes(self, source: str, by: str) -> Sequence[UnmappedCode]:
        """A source's codes that are missing in its mapping. Payloads are decrypted for that, which the audit log records."""
        feed = self.runtime.feed(source)
        actor, now = f"{Role.OPERATOR}:{by}", self.runtime.clock()
        self.audit.note(feed.enterprise, VIEWED_PAYLOAD, "", actor=actor, now=now, source=source, what="unmapped codes")
        return unmapped_codes(self.runtime, source)

    def fix(self, source: str, reason: str, attribute: str, codes: Sequence[str]) -> str:
        """The rule of a source's mapping that ends a cause of rejections; empty for a messaging provider, which has none."""
        found = self.runtime.settings.feeds.get(source)
        return fix(source, found.settings.mapping, reason, attribute, codes) if found is not None else ""

    def permits(self, enterprise: str, patients: int, more: int) -> bool:
        """Whether settings that make ``more`` of the enterprise's patients contactable take effect without another person."""
        return allows(self.runtime.settings.safeguards.get(enterprise, SafeguardRule()))(patients, more)

    def endpoints(self) -> Mapping[str, str]:
        """The webhook endpoints of senders, each with its enterprise."""
        return {name: one.enterprise for name, one in self.runtime.settings.webhooks.items()}

    def replay(self, rejection_id: str, by: str) -> Mapping[str, Any]:
        """Replays a rejection now."""
        rejection = self.runtime.journal.rejection(rejection_id)
        try:
            answer = replay_one(self.runtime, rejection, f"{Role.OPERATOR}:{by}")
        except UsageError as reason:
            raise ValueRefused(str(reason)) from reason
        self.log.info("rejection replayed", source=rejection.source, rejection=rejection_id, outcome=answer.outcome, by=by)
        return {"outcome": answer.outcome, "reason": answer.reason, "detail": answer.detail}


def api_counts(runtime: Runtime, *, is_first: bool) -> ApiCounts:
    """Counters for the API of a process. The log of unknown patients is that of the first one, which hears of all look-ups."""
    log = logs.logger()

    def notify(found: UnknownPatients) -> None:
        log.warning("an API key asks about many unknown patients", key=found.key, asked=found.asked, unknown=found.unknown)

    return ApiCounts(LookUps(runtime.settings.unknown, runtime.clock, notify if is_first else no_notification), DecisionCounts())


def share(runtime: Runtime, queue: Queue, counts: ApiCounts) -> Shared:
    """What the first process of the API has for all of them."""
    health = Health(
        runtime.preferences,
        None,
        runtime.clock,
        intake=runtime.intake_health.failing,
        unknown=counts.look_ups.ringing,
        failures=runtime.failures,
    )
    throttle = Throttle()
    return Shared(scraped(runtime, queue, counts), partial(health.kept.get, None), throttle.admit, throttle.accept)


def scraped(runtime: Runtime, queue: Queue, counts: ApiCounts | None = None) -> Callable[[], bytes]:
    """The text of all metrics, read once a second at most. One caller after the other, so that no counter goes back."""
    kept, lock = SecondCache[None, bytes](lambda _: runtime.metrics.text(measured(runtime, queue, counts))), threading.Lock()

    def text() -> bytes:
        with lock:
            return kept.get(None)

    return text


def asked_readiness(shared: Shared) -> OfService:
    """The readiness that the first process tells; ``None`` if it does not answer."""

    def ask() -> Readiness | None:
        try:
            return shared.readiness()
        except ProblemDetails:
            return None

    return ask


def build_api(runtime: Runtime, queue: Queue, counts: ApiCounts, shared: Shared, of_service: OfService = nobody_else) -> Any:
    """The ASGI application over a runtime. ``shared``: what it has together with the other processes of the API."""
    on_request = OnRequest(runtime, queue)
    sessions = Sessions(runtime.database, idle=runtime.settings.session_idle, longest=runtime.settings.session_longest)
    openid = runtime.settings.openid
    work = SyncWork(
        on_request.resync,
        on_request.replay,
        runtime.expire,
        on_request.replay_many,
        on_request.preview,
        on_request.codes,
        on_request.fix,
        on_request.permits,
        on_request.endpoints,
    )
    return create_app(
        runtime.preferences,
        runtime.journal,
        runtime.keys,
        work=work,
        metrics=shared.metrics,
        clock=runtime.clock,
        closing=runtime.engine.stop.is_set,
        intake=runtime.intake_health.failing,
        failures=runtime.failures,
        out_of_memory=lambda: runtime.memory.add(memory.FAILED),
        look_ups=counts.look_ups,
        counts=counts.decisions,
        begin_span=runtime.tracing.asked if runtime.tracing else None,
        public_url=runtime.settings.public_url,
        receive=Inbound(runtime).receive if runtime.settings.providers else None,
        push=Push(runtime).receive,
        access=Access(
            Users(runtime.database),
            runtime.keys,
            sessions,
            lambda source: described(runtime.feed(source)),
            Provider(openid) if openid else None,
            shared,
        ),
        of_service=of_service,
    )


def build_monitoring(runtime: Runtime, queue: Queue) -> Any:
    """The ASGI application of a process's own address for metrics (``serve --metrics``)."""
    return create_monitoring(
        runtime.preferences,
        runtime.keys,
        scraped(runtime, queue),
        runtime.clock,
        intake=runtime.intake_health.failing,
        failures=runtime.failures,
    )
