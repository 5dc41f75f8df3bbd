"""Sends webhooks to senders: what changed, signed, in order per patient, until the endpoint accepts it (Standard Webhooks).

2xx is success. 410 disables the endpoint; so does a message that was not accepted for more than three days. Nothing is lost or skipped.
Everything else, a redirect too, is tried again. A person enables an endpoint with ``emr-sync webhooks enable``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from store.domain.webhook import GONE, signed_headers, wait_after
from store.patients.webhook_outbox import Claimed, Outbox
from sync import logs
from sync.config.settings import ConfiguredWebhook
from sync.housekeeping import Chore
from sync.metrics import Metrics
from sync.runtime import Runtime
from sync.webhook_post import LONGEST, PostResult, post

EVERY = 1.0
LEASE = timedelta(seconds=60)
DELIVERED, FAILED, DISABLED = "delivered", "failed", "disabled"
GONE_REASON, EXHAUSTED = "the endpoint answered 410", "a message was not accepted for more than three days"
Post = Callable[..., PostResult]


class WebhookSender:
    """Sends to one endpoint. Several processes may have one for the same endpoint."""

    def __init__(
        self,
        outbox: Outbox,
        webhook: ConfiguredWebhook,
        clock: Callable[[], datetime],
        metrics: Metrics,
        stopped: Callable[[], bool] = lambda: False,
        post: Post = post,
    ) -> None:
        self.outbox, self.webhook, self.clock, self.metrics, self.stopped, self.post = outbox, webhook, clock, metrics, stopped, post
        self.log: Any = logs.logger()

    def run(self) -> int:
        """Sends what is due and returns the number of messages that were accepted."""
        accepted = 0
        self.outbox.drop_others()
        while not self.stopped():
            self.outbox.fill(self.clock())
            begun = self.clock()
            claimed = self.outbox.claim(begun, LEASE)
            if not claimed:
                return accepted
            sent = 0
            while sent < len(claimed) and not self._must_end(begun):
                outcome = self._send(claimed[sent])
                self.metrics.webhooks.add(self.webhook.name, outcome)
                accepted, sent = accepted + (outcome == DELIVERED), sent + 1
                if outcome == DISABLED:
                    break
            self.outbox.release(claimed[sent:], self.clock())
        return accepted

    def _must_end(self, begun: datetime) -> bool:
        """Whether the service stops, or the lease could be over before the next message is sent."""
        return self.stopped() or self.clock() - begun > LEASE - timedelta(seconds=LONGEST)

    def _send(self, one: Claimed) -> str:
        now, webhook = self.clock(), self.webhook
        headers = signed_headers(one.message, webhook.secrets, now)
        result = self.post(webhook.url, headers, one.message.body, now, private=webhook.private, ca=webhook.ca)
        if 200 <= result.status < 300:
            self.outbox.accepted(one.seq)
            return DELIVERED
        wait = wait_after(one.attempts, random.random(), result.retry_after)
        if result.status == GONE or wait is None:
            reason = GONE_REASON if result.status == GONE else EXHAUSTED
            self.outbox.disable(reason, self.clock())
            self.log.error("a webhook endpoint was disabled; emr-sync webhooks enable it", endpoint=webhook.name, why=reason)
            return DISABLED
        self.outbox.retry(one, self.clock() + wait)
        self.log.warning(
            "a webhook was not accepted", endpoint=webhook.name, status=result.status, why=result.failure, attempts=one.attempts
        )
        return FAILED


def webhooks_sent(runtime: Runtime, webhook: ConfiguredWebhook) -> dict[str, Chore]:
    """The chore of one endpoint."""
    outbox = Outbox(runtime.preferences, webhook.name, webhook.enterprise)
    return {"webhooks sent": WebhookSender(outbox, webhook, runtime.clock, runtime.metrics, runtime.engine.stop.is_set).run}
