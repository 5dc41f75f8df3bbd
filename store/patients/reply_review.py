"""A person decides about an unclear reply: it was an opt-out, or it was not."""

from __future__ import annotations

from datetime import datetime, timedelta

from store.audit.audit_log import DECIDED_REPLY, Audit
from store.domain import sms_consent
from store.domain.lock import Actor, Role
from store.domain.sms_consent import OPT_IN, OPT_OUT, REVIEW, Recognised, Word, heard, replied
from store.errors import RoleRefused, ValueRefused
from store.patients.patient_batch import Author
from store.patients.replies import DISMISSED, KeptReply, Replies
from store.patients.sms import SmsConsent
from store.preference import STAFF

DISMISS = "dismiss"
DECIDERS = (Role.ENTERPRISE, Role.STAFF, "cli")
"""Also whoever runs the program on its machine."""
DECISIONS = {OPT_OUT: OPT_OUT, DISMISS: DISMISSED}
"""What a person may say -> the state of the reply then."""


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
        if decision not in DECISIONS:
            raise ValueRefused(f"the decision must be one of {', '.join(DECISIONS)}")
        person, changed = str(actor), set[int]()
        if decision == OPT_OUT:
            word = replied(Recognised(OPT_OUT, reply.scope), reply.line, reply.number, reply.received)
            changed |= self.sms.hear(word, heard, self._who(reply), person, reason, now)
        if not self.replies.others_wait(self.sms.transaction, self.enterprise, reply):
            changed |= self._resume(reply, person, reason, now)
        self.replies.close(self.sms.transaction, reply, DECISIONS[decision], actor=person, reason=reason, now=now)
        by, what = Author(STAFF, now, actor=person, reason=reason), OPT_OUT if decision == OPT_OUT else OPT_IN
        self.sms.touch(changed, by, now, what)
        said = {"decision": decision, "reason": reason}
        Audit(self.sms.database).changed(self.sms.transaction, self.enterprise, DECIDED_REPLY, reply.id, actor=person, now=now, **said)

    def _resume(self, reply: KeptReply, person: str, reason: str, now: datetime) -> set[int]:
        """The suspension ends. It says nothing about what the patient or staff said clearly."""
        where = None if reply.scope == sms_consent.ALL_LINES else reply.line
        before = [one.at for one in self.sms.words_of(reply.number) if (one.authority, one.line) == (REVIEW, where)]
        at = max([now, *(one + timedelta(microseconds=1) for one in before)])
        return self.sms.hear(Word(reply.number, where, REVIEW, False, at, reply.scope), heard, self._who(reply), person, reason, now)

    def _who(self, reply: KeptReply) -> set[int]:
        """Whom the reply suspended: those who had the number then."""
        return {one.patient for one in self.sms.bindings.of_numbers([reply.number]) if any(word.authority == REVIEW for word in one.words)}
