"""The client. A timeout, a refused connection, an error status, a body that does not fit the question: each is "do not send".

::

    client = SenderClient("https://contact.example:8080", key)
    decision = client.decide(Ask(Who("MRN10001", authority="GENHOSP"), "automation", ["sms", "voice"], line="+12175550100"))
    if decision.may_send:
        deliver(decision.channel, decision.address, decision.language)
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from emr_sync_client.connection import FAILURES, Connection
from emr_sync_client.model import Ask, Decision, checked, refusal, request

TIMEOUT_SECONDS = 2.0
IN_ONE_REQUEST = 5_000
IN_ONE_GROUP = 100
"""Questions of a stream that are sent before their answers are read."""


class ChangePage(NamedTuple):
    """A page of the feed of changes. ``patients`` changed; ``is_restarted``: the feed cannot continue, so nothing kept can be trusted."""

    patients: tuple[str, ...] = ()
    after: int = 0
    epoch: str = ""
    rules: str = ""
    is_restarted: bool = False


class SenderClient:
    """Asks the service. Thread-safe: each thread has its own connection. Decisions never raise for failures of service or network.

    ``base_url`` starts with http or https (``ValueError`` otherwise); ``timeout`` is in seconds and applies to each wait. ``context``: to
    trust a certificate of your own.
    """

    def __init__(self, base_url: str, key: str, *, timeout: float = TIMEOUT_SECONDS, context: ssl.SSLContext | None = None) -> None:
        self._connection = Connection(base_url, key, timeout, context)

    def decide(self, ask: Ask) -> Decision:
        """Whether this message may be sent, on which channel and to which address. In any doubt the decision is not to send."""
        try:
            reply = self._connection.call("POST", "/v1/decisions", request(ask))
            return checked(ask, reply.value) if reply.status == 200 else refusal()
        except FAILURES:
            self.close()
            return refusal()

    def decide_many(self, asks: Iterable[Ask]) -> Iterator[tuple[Ask, Decision]]:
        """Yields each question with its decision, in order, however many. If a request fails, its own questions have no answer."""
        remaining = iter(asks)
        while group := list(islice(remaining, IN_ONE_REQUEST)):
            yield from zip(group, self._group(group), strict=True)

    def decide_stream(self, asks: Iterable[Ask]) -> Iterator[tuple[Ask, Decision]]:
        """The same in one request without an end (NDJSON): decisions come while ``asks`` goes on.

        If the stream breaks, the questions without an answer, and all that follow, have the decision not to send.
        """
        remaining, waiting = iter(asks), list[Ask]()

        def groups() -> Iterator[list[Any]]:
            while group := list(islice(remaining, IN_ONE_GROUP)):
                waiting[:] = group
                yield [request(ask) for ask in group]

        answers = self._connection.stream("/v1/decisions/batch", groups())
        while (found := self._next(answers)) is not None:
            group = list(waiting)
            waiting.clear()
            yield from ((ask, _one(ask, answer)) for ask, answer in zip(group, found, strict=True))
        yield from ((ask, refusal()) for ask in chain(list(waiting), remaining))

    @staticmethod
    def _next(answers: Iterator[list[Any]]) -> list[Any] | None:
        """The answers to the next group; ``None`` at the end, or if the stream broke."""
        try:
            return next(answers, None)
        except FAILURES:
            return None

    def report_reply(
        self, line: str, sender: str, body: str, received_at: datetime | None = None, **in_reply_to: str
    ) -> dict[str, Any] | None:
        """Passes on a reply to a text. ``in_reply_to``: ``message_type``, ``topic`` and ``category`` of the message it answered.

        Returns what was recognised; ``None`` if the service did not take it: keep the reply, and report it again until it does.
        """
        fields = {"received_at": received_at.isoformat() if received_at else None, "in_reply_to": in_reply_to or None}
        value = {"line": line, "from": sender, "body": body} | {name: one for name, one in fields.items() if one is not None}
        try:
            reply = self._connection.call("POST", "/v1/sms-replies", value)
            return reply.value if reply.status == 200 and isinstance(reply.value, dict) else None
        except FAILURES:
            self.close()
            return None

    def changes(self, after: int = 0, epoch: str = "", *, limit: int = 1_000, wait: int = 0) -> ChangePage | None:
        """The next changed patients; ``None`` if the service gave no answer. ``wait``: seconds to wait for a change, up to 30."""
        query = urlencode({"after": after, "limit": limit, "wait": wait} | ({"epoch": epoch} if epoch else {}))
        try:
            reply = self._connection.call("GET", f"/v1/changes?{query}", wait=wait)
            return ChangePage(is_restarted=True) if reply.status == 410 else _page(reply.value)
        except FAILURES:
            self.close()
            return None

    def close(self) -> None:
        """Closes this thread's connection; the next request opens another."""
        self._connection.close()

    def close_all(self) -> None:
        """Closes the connections of all threads, which must have ended."""
        self._connection.close_all()

    def _group(self, group: Sequence[Ask]) -> list[Decision]:
        try:
            reply = self._connection.call("POST", "/v1/decisions/batch", [request(ask) for ask in group])
            if reply.status != 200 or not isinstance(reply.value, list):
                return [refusal()] * len(group)
            return [_one(ask, answer) for ask, answer in zip(group, reply.value, strict=True)]
        except FAILURES:
            self.close()
            return [refusal()] * len(group)


def _one(ask: Ask, answer: Any) -> Decision:
    try:
        return checked(ask, answer)
    except ValueError:
        return refusal()


def _page(value: Any) -> ChangePage | None:
    """A page as it was read; ``None`` if it lacks anything."""
    try:
        after, epoch, rules = value["next"], value["epoch"], value["rules"]
        patients = tuple(one["patient"] for one in value["changes"])
    except (KeyError, TypeError):
        return None
    is_sound = isinstance(after, int) and all(isinstance(one, str) for one in (epoch, rules, *patients))
    return ChangePage(patients, after, epoch, rules) if is_sound else None
