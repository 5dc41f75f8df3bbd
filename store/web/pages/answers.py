"""The first line of the facesheet: texts, calls, e-mail and automations, each allowed or not, with the reason. Pure.

Every answer comes from :func:`store.domain.decision.decide`, so it cannot differ from what a sender is told: a channel is asked for as a
broadcast by that channel alone, since only consent governs that; automations are asked for by every channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from store import preference as p
from store.domain import reasons as why
from store.domain.channels import EMAIL, ORDER, SMS, VOICE
from store.domain.decision import OPT_OUT_PATHS, decide
from store.domain.decision_request import SEND, Decision, DecisionRequest, Evidence, KnownPatient
from store.domain.enterprise import Enterprise
from store.domain.policies import Policy
from store.domain.sms_consent import REVIEW, OptOut, of_texts
from store.preference import MessageType, Method
from store.web.pages import labels

SUBJECTS = {SMS: "Texts", VOICE: "Calls", EMAIL: "E-mail"}
ANOTHER = "another"
"""A line or topic that no opt-out names. No real line is spelled like this: lines are numbers."""
UNREACHABLE = {
    (SMS, why.NO_ADDRESS): "no number on file",
    (SMS, why.NOT_TEXTABLE): "no mobile number on file",
    (VOICE, why.NO_ADDRESS): "no number on file",
    (EMAIL, why.NO_ADDRESS): "no address on file",
}
"""In fewer words than the code has, or clearer ones."""
NOTHING = "Nothing prevents it."
ALLOWED, BLOCKED, IMPOSSIBLE = "allowed", "blocked", "not possible"
YES, NO, WARN = "yes", "no", "warn"


REMEDIES = {
    p.PATIENT: "A STOP ends when the patient texts START to the line, from the same phone.",
    p.STAFF: "A START does not end an opt-out that was recorded here.",
    REVIEW: "A person decides about an unclear reply on the Replies page.",
}
"""What ends an opt-out from texts, by authority."""
OTHER_REMEDY = "An opt-out from calls or e-mail ends when an opt-in is recorded for the patient."
OPT_OUTS = frozenset(OPT_OUT_PATHS.values())


class Answer(NamedTuple):
    """One answer. ``state`` and ``because`` are one phrase together; ``tone`` is yes, no or warn.

    ``rules``: the reasons as sentences. ``except_for``: what is different on some lines or topics. ``remedies``: what ends a refusal, and
    whom to contact.
    """

    subject: str
    state: str
    tone: str
    because: str
    rules: tuple[str, ...]
    except_for: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    remedies: tuple[str, ...]


class Asked(NamedTuple):
    """What one answer is about: the type of message and its channels."""

    subject: str
    message_type: MessageType
    channels: tuple[str, ...]


class Answers:
    """The answers about one patient."""

    def __init__(self, known: KnownPatient, policy: Policy, enterprise: Enterprise, unread: Iterable[str], now: datetime) -> None:
        self.known = known.at_later(now) if known.at_later is not None else known
        self.policy, self.enterprise, self.unread, self.now = policy, enterprise, tuple(dict.fromkeys(unread)), now

    def all(self) -> list[Answer]:
        """Texts, calls, e-mail, automations."""
        return [*(self._channel(channel) for channel in ORDER), self._automations()]

    def _channel(self, channel: str) -> Answer:
        asked = Asked(SUBJECTS[channel], MessageType.BROADCAST, (channel,))
        decision = self._ask(asked)
        if decision.decision == SEND:
            return self._allowed(asked.subject, decision, "")
        reason = next((one.reason for one in decision.skipped if one.channel == channel), decision.reasons[0])
        if reason in why.UNREACHABLE:
            phrase = UNREACHABLE.get((channel, reason), reason.replace("_", " "))
            return Answer(asked.subject, IMPOSSIBLE, WARN, f" ({phrase})", (labels.reason(reason, refuses=False),), (), (), ())
        return self._by_line(asked, decision, self._blocked(asked.subject, decision, (reason,), self._parenthesis(reason, decision)))

    def _automations(self) -> Answer:
        asked = Asked("Automations", MessageType.AUTOMATION, ORDER)
        decision = self._ask(asked)
        if decision.decision == SEND:
            return self._allowed(asked.subject, decision, f", by {labels.CHANNELS[decision.channel or SMS]}")
        if decision.skipped:
            return self._by_line(asked, decision, self._blocked(asked.subject, decision, decision.reasons, self._preference(decision)))
        reason = decision.reasons[0]
        by = "".join(f", set {self._where(one)}" for one in decision.evidence[:1]) if reason == why.DO_NOT_CONTACT else ""
        return self._blocked(asked.subject, decision, (reason,), by or self._parenthesis(reason, decision))

    def _by_line(self, asked: Asked, decision: Decision, blocked: Answer) -> Answer:
        """The answer by line and topic, if an opt-out from one of them leaves the others open."""
        if why.SMS_OPTED_OUT not in decision.reasons:
            return blocked
        texts = of_texts(self.known.opt_outs)
        if not self._sends(asked, ANOTHER, ANOTHER):
            open_lines = sorted({line for one in texts for line in one.except_lines if self._sends(asked, line, ANOTHER)})
            return blocked._replace(except_for=tuple(f"Allowed from {labels.number(line)}." for line in open_lines))
        closed = [one for one in texts if not self._sends(asked, one.line or ANOTHER, one.topic or ANOTHER)]
        places = list(dict.fromkeys(map(_place, closed)))
        behind = tuple(one for one in blocked.evidence if one.path in OPT_OUTS)
        where = places[0] if len(places) == 1 else f"from {len(places)} lines or topics"
        detail = [f"Blocked {place}." for place in places] if len(places) > 1 else []
        because, remedies = f" ({'; '.join(dict.fromkeys(map(self._phrase, behind)))})", self._remedies(behind, is_unread=False)
        others = (*detail, f"Other {asked.subject.lower()} are allowed.")
        return blocked._replace(state=f"{BLOCKED} {where}", because=because, except_for=others, evidence=behind, remedies=remedies)

    def _sends(self, asked: Asked, line: str, topic: str) -> bool:
        return self._ask(asked, line, topic).decision == SEND

    def _ask(self, asked: Asked, line: str | None = None, topic: str | None = None) -> Decision:
        request = DecisionRequest(message_type=asked.message_type, channels=asked.channels, line=line, topic=topic)
        return decide(request, self.known, self.policy, self.now)

    def _preference(self, decision: Decision) -> str:
        method = self.known.contact.preferred_method
        if method is None:
            return " (no channel is open)"
        if method == Method.NONE:
            return " (prefers no contact)"
        phrase = labels.METHODS[method]
        return f" (prefers {phrase}, which is not possible)" if method in ORDER else f" (prefers {phrase})"

    def _allowed(self, subject: str, decision: Decision, how: str) -> Answer:
        is_unclear = why.PREFERENCE_UNREADABLE in decision.reasons
        doubts = [*(["unclear"] if is_unclear else []), *(["old data"] if decision.stale else [])]
        because = f"{how} ({', '.join(doubts)})" if doubts else how
        rules = [why.NOTES[why.PREFERENCE_UNREADABLE]] if is_unclear else [NOTHING]
        rules += ["The source has sent no data for longer than it should."] if decision.stale else []
        rules += [
            f"No {labels.CHANNELS[one.channel]}: {labels.reason(one.reason, refuses=False)}"
            for one in decision.skipped
            if one.reason != why.NO_COPY
        ]
        return Answer(
            subject,
            ALLOWED,
            WARN if doubts else YES,
            because,
            tuple(rules),
            (),
            decision.evidence,
            self._remedies((), is_unread=is_unclear),
        )

    def _blocked(self, subject: str, decision: Decision, reasons: Iterable[str], because: str) -> Answer:
        codes = (reason for reason in dict.fromkeys(reasons) if reason != why.NO_COPY)
        rules = tuple(labels.reason(code, refuses=not decision.skipped) for code in codes)
        is_unread = why.PREFERENCE_UNREADABLE in decision.reasons
        return Answer(subject, BLOCKED, NO, because, rules, (), decision.evidence, self._remedies(decision.evidence, is_unread=is_unread))

    def _remedies(self, evidence: Iterable[Evidence], *, is_unread: bool) -> tuple[str, ...]:
        behind = [*evidence]
        sources = [one.authority.removeprefix(p.EMR) for one in behind if one.authority.startswith(p.EMR)]
        by_reply = [_remedy(one) for one in behind if one.path in OPT_OUTS]
        in_emrs = [labels.change_in(name, self.enterprise) for name in sources]
        unread = [labels.check_in(name, self.enterprise) for name in self.unread] if is_unread else []
        return tuple(dict.fromkeys([*by_reply, *in_emrs, *unread]))

    def _parenthesis(self, reason: str, decision: Decision) -> str:
        if reason == why.DECEASED:
            return " (the patient has died)"
        if reason == why.SOURCE_STALE:
            return " (no recent data)"
        if reason == why.PREFERENCE_UNREADABLE:
            named = [labels.source(name, self.enterprise) for name in self.unread]
            return f" (not readable{f' in {named[0]}' if named else ''})"
        phrases = dict.fromkeys(self._phrase(one) for one in decision.evidence)
        return f" ({'; '.join(phrases)})" if phrases else ""

    def _phrase(self, one: Evidence) -> str:
        if one.path not in OPT_OUTS:
            return f"denied {self._where(one)}"
        on = f" on {labels.day(one.effective, ZoneInfo(self.enterprise.time_zone), self.now)}" if one.effective else ""
        by_patient = "STOP" if one.path == OPT_OUT_PATHS[SMS] else "opted out"
        return {p.PATIENT: by_patient, p.STAFF: "opt-out recorded here"}.get(one.authority, "unclear reply") + on

    def _where(self, one: Evidence) -> str:
        return f"in {labels.authority(one.authority, self.enterprise)}" if one.authority.startswith(p.EMR) else "here"


def _remedy(one: Evidence) -> str:
    return REMEDIES.get(one.authority, REMEDIES[REVIEW]) if one.path == OPT_OUT_PATHS[SMS] else OTHER_REMEDY


def _place(one: OptOut) -> str:
    about, line = f"about {one.topic}" if one.topic else "", f"from {labels.number(one.line)}" if one.line else ""
    return f"{about} {line}".strip()
