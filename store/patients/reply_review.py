"""A person decides about an unclear reply: it was an opt-out, or it was not."""

from __future__ import annotations

from datetime import datetime, timedelta

from store.audit.audit_log import DECIDED_REPLY, Audit
from store.domain import sms_consent
from store.domain.consent_change import documented
from store.domain.lock import Actor, Role
from store.domain.sms_consent import OPT_IN, OPT_OUT, REVIEW, ConsentEvent, Recognised, active, add, of_reply
from store.errors import RoleRefused, ValueRefused
from store.patients.patient_batch import Author
from store.patients.replies import APPOINTMENT, DISMISSED, HANDLED, KeptReply, Replies
from store.patients.sms import SmsConsent
from store.preference import STAFF

DISMISS, HANDLE = "dismiss", "handled"
DECIDERS = (Role.ENTERPRISE, Role.STAFF, "cli")
"""The roles that may decide; ``cli`` is whoever runs the program on its machine."""
DECISIONS = {REVIEW: {OPT_OUT: OPT_OUT, DISMISS: DISMISSED}, APPOINTMENT: {HANDLE: HANDLED}}
"""The state of a reply -> a person's decision -> its next state."""


class Review:
    """One decision, inside the transaction of ``sms``."""

    def __init__(self, sms: SmsConsent, replies: Replies) -> None:
        self.sms, self.replies = sms, replies
        self.enterprise = sms.enterprise.name

    def decide(self, reply_id: str, decision: str, *, actor: Actor, reason: str, now: datetime) -> None:
        """Settles the reply. Texts stay suspended while another one from the same number to the same line waits."""
        if actor.role not in DECIDERS:
            raise RoleRefused("only enterprise users and staff can decide replies")
        reply = self.replies.open(self.sms.transaction, self.enterprise, reply_id)
        decisions = DECISIONS[reply.state]
        if decision not in decisions:
            raise ValueRefused(f"the decision about this reply must be one of: {', '.join(decisions)}")
        if reply.state == REVIEW:
            self._settle(reply, decision, str(actor), reason, now)
        self.replies.close(self.sms.transaction, reply, decisions[decision], actor=str(actor), reason=reason, now=now)
        detail = {"decision": decision, "reason": reason}
        Audit(self.sms.database).changed(
            self.sms.transaction, self.enterprise, DECIDED_REPLY, reply.id, actor=str(actor), now=now, **detail
        )

    def _settle(self, reply: KeptReply, decision: str, person: str, reason: str, now: datetime) -> None:
        """An unclear reply was an opt-out, or it was not."""
        changed, before = set[int](), active(self.sms.events_of(reply.number))
        if decision == OPT_OUT:
            event = of_reply(Recognised(OPT_OUT, reply.scope), reply.line, reply.number, reply.received)
            changed |= self.sms.record(event, add, self._who(reply), person, reason, now)
        if not self.replies.others_wait(self.sms.transaction, self.enterprise, reply):
            changed |= self._resume(reply, person, reason, now)
        by, what = Author(STAFF, now, actor=person, reason=reason), OPT_OUT if decision == OPT_OUT else OPT_IN
        event = of_reply(Recognised(what, reply.scope), reply.line, reply.number, now)
        change = documented(what, event, [reply.number], before, active(self.sms.events_of(reply.number)))
        self.sms.touch(changed, by, now, what, change)

    def _resume(self, reply: KeptReply, person: str, reason: str, now: datetime) -> set[int]:
        """Ends the suspension. Clear opt-outs of the patient or staff remain."""
        where = None if reply.scope == sms_consent.ALL_LINES else reply.line
        before = [one.at for one in self.sms.events_of(reply.number) if (one.authority, one.line) == (REVIEW, where)]
        at = max([now, *(one + timedelta(microseconds=1) for one in before)])
        opt_in = ConsentEvent(reply.number, where, REVIEW, False, at, reply.scope)
        return self.sms.record(opt_in, add, self._who(reply), person, reason, now)

    def _who(self, reply: KeptReply) -> set[int]:
        """The patients that the reply suspended: those who had the number then."""
        bound = self.sms.bindings.of_numbers([reply.number])
        return {one.patient for one in bound if any(event.authority == REVIEW for event in one.events)}
