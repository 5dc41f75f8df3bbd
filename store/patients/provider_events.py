"""Records what messaging providers report: replies to texts, and refusals to send to somebody who opted out.

A provider's opinion of a text only adds opt-outs. A refusal to send is evidence of an opt-out that we may have missed. What cannot be
used becomes a rejection, with its reason and its content; nothing of it permits contact. All events of a request are one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import REPLAYED, Audit
from store.db.tables_records import ProviderMessageRow
from store.domain import sms_consent
from store.domain.policies import LINE_ONLY
from store.domain.reply_recognition import RecognizedReply, hinted
from store.domain.revocation import reach_in_force
from store.domain.sms_consent import ALL_LINES, OPT_IN, OPT_OUT, SMS
from store.patients.address_opt_outs import PROVIDER_REFUSAL, AskedOptOut, event_of
from store.patients.preferences import Preferences, ReceivedReply
from store.patients.sms import opted_out_at
from store.provider_event import REFUSAL, START, STOP, ProviderEvent
from store.runs.rejections import Rejected, Rejection
from store.runs.runs import Journal

SEEN = "SELECT 1 FROM provider_messages WHERE enterprise = ? AND message = ?"
COLUMNS = ("enterprise", "message", "recorded")

PLAIN = re.compile(r"\+?[\d\s().-]+", re.ASCII)
"""A number and nothing else: ``whatsapp:+1…`` may opt out, but it opts nobody in to texts."""
NOTHING, REPEATED, REJECTED = "nothing", "repeated", "rejected"
OUTCOMES = (OPT_OUT, OPT_IN, sms_consent.REVIEW, REFUSAL, NOTHING, REPEATED, REJECTED)
"""What became of an event: a kind of reply, a refusal to send, nothing of the kind, one recorded before, or a rejection."""

NUMBER = "number_unreadable", "the patient's number is not a phone number, or may be read as two"
LINE = "line_unreadable", "the line is not a phone number or a short code, so an opt-out counts for all lines: add it to line_of"
TIME = "time_unreadable", "an opt-in needs a time that can be read"
MESSAGE_ID = "message_id_missing", "an opt-in needs an id, so that a repeat can be recognized"
WORD = "opt_in_not_recognised", "the provider treated this text as an opt-in: if it is one, add its word to opt_in_words and replay"


@dataclass(frozen=True, slots=True)
class MessagingProvider:
    """A messaging provider of an enterprise. ``group``: the lines that it treats as one, so that a STOP to one is a STOP to all.

    ``line_of``: lines by what the provider calls them.
    """

    name: str
    enterprise: str
    group: tuple[str, ...] = ()
    line_of: Mapping[str, str] = field(default_factory=dict)


class RecordedEvents(NamedTuple):
    """What became of each event, one of :data:`OUTCOMES`, and how many rejections were beyond the hour's room."""

    outcomes: tuple[str, ...] = ()
    left_out: int = 0


class _Done(NamedTuple):
    """What became of one event, and what of it was rejected."""

    outcome: str
    rejected: tuple[Rejected, ...] = ()


class ProviderEvents:
    """Records events of providers."""

    def __init__(self, store: Preferences, journal: Journal) -> None:
        self.store, self.journal, self.database = store, journal, store.database

    def record(self, provider: MessagingProvider, events: Sequence[ProviderEvent | Rejected], now: datetime) -> RecordedEvents:
        """Records events in order, all or none."""
        if not events:
            return RecordedEvents()
        with self.database.write(provider.enterprise) as transaction:
            done = [self._one(transaction, provider, event, now) for event in events]
            rows = [row for one in done for row in one.rejected]
            kept = self.journal.reject(transaction, rows, source=provider.name, enterprise=provider.enterprise, run_id=None, now=now)
        return RecordedEvents(tuple(one.outcome for one in done), kept.left_out)

    def replay(
        self, provider: MessagingProvider, event: ProviderEvent | Rejected | None, rejection: Rejection, actor: str, now: datetime
    ) -> tuple[str, str]:
        """Records a rejected event again; ``None`` if it turned out to be none. It is resolved unless it is rejected as a whole.

        Returns its outcome and the reason.
        """
        with self.database.write(provider.enterprise) as transaction:
            done = self._one(transaction, provider, event, now) if event is not None else _Done(NOTHING)
            reason = done.rejected[0].reason if done.rejected else ""
            if done.outcome != REJECTED:
                self.journal.resolve(transaction, rejection.id)
            detail = {"outcome": done.outcome, "reason": reason}
            Audit(self.database).changed(transaction, provider.enterprise, REPLAYED, rejection.id, actor=actor, now=now, **detail)
        return done.outcome, reason

    def _one(self, transaction: Connection, provider: MessagingProvider, event: ProviderEvent | Rejected, now: datetime) -> _Done:
        if isinstance(event, Rejected):
            return _Done(REJECTED, (event,))
        if event.key and self.database.select(transaction, SEEN, [provider.enterprise, event.key]):
            return _Done(REPEATED)
        recorded = self._refusal if event.kind == REFUSAL else self._reply
        done = recorded(transaction, provider, event, now)
        if event.key and done.outcome not in (NOTHING, REJECTED):
            self.database.insert(transaction, ProviderMessageRow, COLUMNS, [(provider.enterprise, event.key, now)])
        return done

    def _reply(self, transaction: Connection, provider: MessagingProvider, event: ProviderEvent, now: datetime) -> _Done:
        own = self.store.read_reply(provider.enterprise, event.text)
        reply = hinted(own, OPT_OUT if event.hint == STOP else None)
        if reply.kind is None:
            return _rejected(event, WORD) if event.hint == START else _Done(NOTHING)
        numbers = self._numbers(provider, event)
        if not numbers or (reply.kind == OPT_IN and (len(numbers) > 1 or PLAIN.fullmatch(event.patient) is None)):
            return _rejected(event, NUMBER)
        lines = self._lines(provider, event.line)
        if reply.kind == OPT_IN:
            received = ReceivedReply(lines[0] if lines else "", numbers, event.text, event.at)
            return self._opt_in(transaction, provider, event, reply, received, now)
        rejected = () if lines else (_row(event, LINE, "field"),)
        for line in lines or ("",):
            received = ReceivedReply(line, numbers, event.text, event.at)
            as_wide = reply if lines else reply._replace(scope=ALL_LINES)
            self.store.record_reply_within(transaction, provider.enterprise, as_wide, received, now)
        return _Done(str(reply.kind), rejected)

    def _opt_in(
        self,
        transaction: Connection,
        provider: MessagingProvider,
        event: ProviderEvent,
        reply: RecognizedReply,
        received: ReceivedReply,
        now: datetime,
    ) -> _Done:
        """Records an opt-in, to the one line that it was sent to. It must leave no doubt."""
        doubts = ((not received.line, LINE), (event.at_unreadable, TIME), (not event.key, MESSAGE_ID))
        if why := next((why for is_so, why in doubts if is_so), None):
            return _rejected(event, why)
        self.store.record_reply_within(transaction, provider.enterprise, reply, received, now)
        return _Done(OPT_IN)

    def _refusal(self, transaction: Connection, provider: MessagingProvider, event: ProviderEvent, now: datetime) -> _Done:
        numbers, lines = self._numbers(provider, event), self._lines(provider, event.line)
        if not numbers:
            return _rejected(event, NUMBER)
        consent, how = self.store.consent(transaction, provider.enterprise), f"{PROVIDER_REFUSAL}:{event.code}"
        rules = self.store.enterprises[provider.enterprise]
        for number in numbers:
            at = opted_out_at(event.at, now, consent.events_of(number))
            is_of_line = reach_in_force(rules.policy, at, rules.time_zone) == LINE_ONLY  # nobody knows what the opt-out answered
            for line in (lines if is_of_line else ()) or (None,):
                asked = AskedOptOut(SMS, number, how, line)
                consent.opt_out(event_of(asked, number, line, at), how, f"provider:{provider.name}", now)
        return _Done(REFUSAL, () if lines else (_row(event, LINE, "field"),))

    def _numbers(self, provider: MessagingProvider, event: ProviderEvent) -> tuple[str, ...]:
        """Each number that the patient may have. One with its country code but without the plus is no number of our own country."""
        numbering = self.store.numbering(provider.enterprise)
        in_full = numbering.candidates(f"+{event.patient}") if event.international and event.patient[:1].isdigit() else ()
        return in_full or numbering.candidates(event.patient)

    def _lines(self, provider: MessagingProvider, text: str) -> tuple[str, ...]:
        """The line that an event is about, and those of its group; empty if it cannot be read."""
        line = self.store.numbering(provider.enterprise).spelled(provider.line_of.get(text, text))
        return () if line is None else tuple(dict.fromkeys((line, *provider.group)))


def _rejected(event: ProviderEvent, why: tuple[str, str]) -> _Done:
    return _Done(REJECTED, (_row(event, why, "record"),))


def _row(event: ProviderEvent, why: tuple[str, str], scope: str) -> Rejected:
    return Rejected(*why, path="", locator="", payload=event.payload, scope=scope)
