"""``POST /v1/decisions`` and ``/v1/decisions/batch``: decisions, in the order of the requests.

This is the hot path of the API, so it does not use :mod:`store.web.api.endpoint`: bodies are decoded directly into the values that
:func:`store.domain.decision.decide` takes, and its decisions are encoded directly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Receive

from store.audit.audit_log import Audit
from store.audit.receipts import Receipts
from store.db import outage
from store.db.kept_connection import KeptConnection
from store.db.second_cache import SecondCache
from store.domain import reasons as why
from store.domain.decision import decide, refused
from store.domain.decision_request import DO_NOT_SEND, Decision, KnownPatient, identified
from store.domain.lock import Role
from store.domain.phone_numbers import Numbering
from store.domain.policies import Policy
from store.errors import IdentifierAmbiguous, StoreError, ValueRefused
from store.patients.preferences import Preferences
from store.users.api_keys import ApiKey
from store.users.unknown_alarm import Alarm
from store.web.api.batch_limits import NDJSON, BatchSlots, check_commas, check_count, check_length
from store.web.api.batch_trace import BatchCounts
from store.web.api.endpoint import JSON, encode
from store.web.api.wire import AskIn, BareAskIn, InvalidAsk, read
from store.web.http.answer import Headers, first
from store.web.http.auth import Callers, caller
from store.web.http.body import plain, within
from store.web.http.border import ESCAPED_NUL
from store.web.http.decision_counts import DecisionCounts
from store.web.http.lanes import Lanes
from store.web.http.ndjson import TOO_LONG, ReadAhead, lines
from store.web.http.problem import ProblemDetails
from store.web.http.request_batching import RequestBatcher
from store.web.http.spans import AskSpan
from store.web.http.streaming import StreamedResponse, received
from store.web.http.unknown_patients import LookUps

ADDRESS = "/v1/decisions"
SENDERS = frozenset({Role.SENDER})
AT_ONCE = 250  # requests read from the store together: their data fits into the processor's cache
decode_ask = msgspec.json.Decoder(AskIn).decode
decode_asks = msgspec.json.Decoder(list[AskIn]).decode
LONGEST_SECONDS = 120.0  # for the body of an array


class PendingAsk(NamedTuple):
    """A request with the API key that made it, and its span where it is traced."""

    key: ApiKey
    ask: AskIn
    span: AskSpan | None = None

    @property
    def enterprise(self) -> str:
        """The enterprise of the key."""
        return self.key.enterprise


class Decisions:
    """Decides requests from the store."""

    def __init__(
        self,
        store: Preferences,
        callers: Callers,
        clock: Callable[[], datetime],
        lanes: Lanes,
        look_ups: LookUps | None = None,
        counts: DecisionCounts | None = None,
    ) -> None:
        self.store, self.callers, self.clock, self.lanes = store, callers, clock, lanes
        self.look_ups, self.counts = look_ups or LookUps(Alarm(), clock), counts or DecisionCounts()
        self.audit, self.slots = Audit(store.database), BatchSlots()
        self.policies = SecondCache[str, Policy](lambda enterprise: store.settings.get(enterprise).policy)
        self.receipts = Receipts(store.database)
        self.kept = KeptConnection(store.database)
        self.batcher: RequestBatcher[PendingAsk, bytes] = RequestBatcher(self.answer_questions, outage.fails_all, self.kept.close)

    def handlers(self) -> list[HTTPRouteHandler]:
        """The routes of both addresses."""

        async def one(request: Request[Any, Any, Any]) -> ASGIResponse:
            return ASGIResponse(body=await self.answer(request.scope["headers"], request.receive), media_type=JSON)

        async def many(request: Request[Any, Any, Any]) -> ASGIResponse:
            key = await caller(request.headers, self.callers, SENDERS)
            if request.content_type[0] == NDJSON:
                self.slots.begin(key.id)
                return StreamedResponse(partial(self.stream, key), NDJSON, on_end=partial(self.slots.end, key.id))
            with self.slots.slot(key.id):
                body = await whole_body(request)
                return ASGIResponse(body=await self.lanes.batches.run(self.answer_array, key, body), media_type=JSON)

        return [
            HTTPRouteHandler(ADDRESS, http_method="POST", status_code=200)(one),
            HTTPRouteHandler("/v1/decisions/batch", http_method="POST", status_code=200, request_max_body_size=None)(many),
        ]

    async def answer(self, headers: Headers, receive: Receive, span: AskSpan | None = None) -> bytes:
        """The decision on one request as JSON. Raises :class:`ProblemDetails` and errors of the store."""
        key = await caller({"authorization": first(headers, b"authorization")}, self.callers, SENDERS)
        ask = self.checked(key.enterprise, read_ask(await plain(headers, receive)))
        return await self.batcher.ask(PendingAsk(key, ask, span))

    def answer_questions(self, questions: Sequence[PendingAsk]) -> list[bytes]:
        """The decisions as JSON, in order. The requests may be of several enterprises."""
        answers: list[bytes] = [b""] * len(questions)
        for enterprise in {question.enterprise for question in questions}:
            indexes = [index for index, question in enumerate(questions) if question.enterprise == enterprise]
            group = [questions[index] for index in indexes]
            decisions = self.decide_all(enterprise, [one.ask for one in group], [one.key for one in group], self.kept)
            for index, decision in zip(indexes, decisions, strict=True):
                answers[index] = encode(decision)
                if (span := questions[index].span) is not None:
                    span.decided(decision)
                self.look_ups.count(questions[index].key, 1, why.PATIENT_UNKNOWN in decision.reasons)
        return answers

    def decide_all(
        self, enterprise: str, asks: Sequence[AskIn], keys: Sequence[ApiKey | None], kept: KeptConnection | None = None
    ) -> list[Decision]:
        """The decisions on valid requests, in order, from one read of the store. ``keys``, who asks, are for the receipts."""
        now = self.clock()
        policy = self.policies.get(enterprise)
        known = self.store.known(enterprise, [ask.patient.ref() for ask in asks], now, kept)
        decisions = _decided(asks, known, policy, now)
        if policy.decision_receipts:
            actors = ["" if key is None else str(key.actor) for key in keys]
            self.receipts.keep(enterprise, asks, known, decisions, actors, now)
        self.counts.decided(decisions)
        return decisions

    def told(self, enterprise: str, ask: AskIn) -> Decision:
        """What a sender would be told on a checked request, for a person who asks. It leaves no receipt, since nothing is sent on it."""
        now = self.clock()
        known = self.store.known(enterprise, [ask.patient.ref()], now)
        return _decided([ask], known, self.policies.get(enterprise), now)[0]

    def checked(self, enterprise: str, ask: AskIn) -> AskIn:
        """The request with its line normalized as in stored opt-outs. Raises :class:`ValueRefused` for an invalid line or phone."""
        return _checked(ask, self.store.numbering(enterprise))

    def answer_array(self, key: ApiKey, body: bytes) -> bytes:
        """A JSON array of requests -> a JSON array of decisions."""
        check_count(body)
        decisions, counts = self.decide_mixed(key.enterprise, read_array(body), key), BatchCounts(key, self.look_ups)
        counts.add(decisions)
        counts.note(self.audit, self.clock())
        return encode(decisions)

    def answer_lines(self, key: ApiKey, group: Sequence[bytes], counts: BatchCounts) -> bytes:
        """Lines of NDJSON -> the same number of lines."""
        items = [TOO_LONG_ANSWER if line is TOO_LONG else read_item(line) for line in group]
        decisions = self.decide_mixed(key.enterprise, items, key)
        counts.add(decisions)
        return b"".join(encode(decision) + b"\n" for decision in decisions)

    def decide_mixed(self, enterprise: str, items: Sequence[AskIn | InvalidAsk], key: ApiKey | None = None) -> list[Decision]:
        """The decisions on items, in order, some of which may be invalid."""
        decisions: list[Decision] = []
        for start in range(0, len(items), AT_ONCE):
            numbering = self.store.numbering(enterprise)
            group = _all_checked(items[start : start + AT_ONCE], numbering)
            asks = [item for item in group if isinstance(item, AskIn)]
            decided = self.decide_all(enterprise, asks, [key] * len(asks))
            decisions += decided if len(asks) == len(group) else self._with_invalid(group, decided)
        return decisions

    def _with_invalid(self, group: Sequence[AskIn | InvalidAsk], decided: Sequence[Decision]) -> list[Decision]:
        """The answers to a group, some of whose items are invalid."""
        remaining = iter(decided)
        self.counts.decided(item for item in group if isinstance(item, InvalidAsk))
        return [item if isinstance(item, InvalidAsk) else next(remaining) for item in group]

    async def stream(self, key: ApiKey, receive: Receive) -> AsyncGenerator[bytes, None]:
        """Answers lines as they arrive, in groups, so that memory does not grow with the number of requests."""
        counts = BatchCounts(key, self.look_ups)
        try:
            async for group in ReadAhead(lines(received(receive), AT_ONCE), AT_ONCE):
                yield await self.lanes.batches.run(self.answer_lines, key, group, counts)
        finally:
            await self.lanes.batches.run(counts.note, self.audit, self.clock())


def _checked(ask: AskIn, numbering: Numbering) -> AskIn:
    if ask.appointment is not None and ask.appointment.preferred_phone:
        numbering.check(ask.appointment.preferred_phone)
    line = None if ask.line is None else numbering.line(ask.line)
    return ask if line == ask.line else msgspec.structs.replace(ask, line=line)


def _all_checked(items: Sequence[AskIn | InvalidAsk], numbering: Numbering) -> list[AskIn | InvalidAsk]:
    """The items of a group, checked. Most name the same line, spelled the same way: it is read once."""
    good: set[str | None] = {None}
    checked: list[AskIn | InvalidAsk] = []
    for item in items:
        if isinstance(item, AskIn) and (item.appointment is not None or item.line not in good):
            found = _checked_or_invalid(item, numbering)
            if found is item:
                good.add(item.line)
            checked.append(found)
        else:
            checked.append(item)
    return checked


def _checked_or_invalid(ask: AskIn, numbering: Numbering) -> AskIn | InvalidAsk:
    try:
        return _checked(ask, numbering)
    except ValueRefused as error:
        return invalid(str(error))


def read_ask(body: bytes) -> AskIn:
    """The request in a body, in either shape. Raises :class:`ProblemDetails` 400 or 422."""
    try:
        ask = decode_ask(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_bare(body) or read(body, AskIn)
    return ask if ESCAPED_NUL not in body else read(body, AskIn)


def _read_bare(body: bytes) -> AskIn | None:
    """The request of a body that has the patient's identifier in it; ``None`` for any other body."""
    try:
        return read(body, BareAskIn).whole()
    except (ProblemDetails, ValueError):
        return None


def read_array(body: bytes) -> Sequence[AskIn | InvalidAsk]:
    """The items of an array. An invalid item gets its own answer; only a body that is not an array raises :class:`ProblemDetails`."""
    try:
        asks = decode_asks(body)
        return asks if ESCAPED_NUL not in body else [read_item(bytes(raw)) for raw in read(body, list[msgspec.Raw])]
    except msgspec.ValidationError:
        return [read_item(bytes(raw)) for raw in read(body, list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProblemDetails(400, "malformed_json", "the body is not valid JSON in UTF-8") from None


def read_item(line: bytes) -> AskIn | InvalidAsk:
    """One item of a batch, or the answer to an invalid one."""
    try:
        return read_ask(line)
    except ProblemDetails as problem:
        return invalid(problem.detail if problem.status == 422 else "the item is not valid JSON in UTF-8")


def invalid(detail: str) -> InvalidAsk:
    """The answer to an invalid item: do not send."""
    return InvalidAsk(DO_NOT_SEND, reasons=(why.ASK_INVALID,), detail=detail)


TOO_LONG_ANSWER = invalid("the line is too long")


async def whole_body(request: Request[Any, Any, Any]) -> bytes:
    """The body of an array, which must fit into memory. Raises :class:`ProblemDetails` 408, or 413 as soon as it is too large."""
    chunks, size, commas = [], 0, 0
    announced = request.headers.get("content-length", "")
    check_length(int(announced) if announced.isdecimal() else 0)
    async with within(LONGEST_SECONDS):
        async for chunk in request.stream():
            size += len(chunk)
            check_length(size)
            commas += chunk.count(b",")
            check_commas(commas)
            chunks.append(chunk)
    return b"".join(chunks)


def _decided(asks: Sequence[AskIn], known: Sequence[KnownPatient | StoreError], policy: Policy, now: datetime) -> list[Decision]:
    found = [
        _unanswerable(patient) if isinstance(patient, StoreError) else decide(ask, patient, policy, now)
        for ask, patient in zip(asks, known, strict=True)
    ]
    return identified(found, known)


def _unanswerable(error: StoreError) -> Decision:
    return refused(why.PATIENT_AMBIGUOUS if isinstance(error, IdentifierAmbiguous) else why.PATIENT_UNKNOWN)
