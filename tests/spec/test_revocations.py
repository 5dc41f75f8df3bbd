"""How far a STOP reaches, and what ends it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from store.domain.message_class import INFORMATIONAL, MARKETING, UNKNOWN, MessageClass
from store.domain.policies import Policy
from store.domain.reply_recognition import may_cancel_appointment, meaning_of, read_reply
from store.domain.revocation import reach_in_force, scoped
from store.domain.sms_consent import (
    NO_CONFIRMATION,
    OPT_OUT_CONFIRMED,
    ConsentEvent,
    Events,
    OptOut,
    active,
    add_reply,
    blocks,
    of_reply,
    outcome,
)
from tests.spec.revocations import APPOINTMENTS, MESSAGES, OF_MESSAGES, REVOCATIONS, Revocation
from tests.spec.situation import CELL, LINE, OTHER_LINE

AT = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
ANY_MARKETING = MessageClass(category=MARKETING)


def event(body: str, reach: str, answered: MessageClass = UNKNOWN, line: str = LINE, minute: int = 0) -> ConsentEvent:
    return of_reply(scoped(meaning_of(body), answered, reach), line, CELL, AT + timedelta(minutes=minute), answered)


def after(*events: ConsentEvent) -> tuple[OptOut, ...]:
    known: Events = ()
    for one in events:
        known = add_reply(known, one)
    return active(known)


def closed(opt_outs: tuple[OptOut, ...], line: str) -> tuple[str, ...]:
    return tuple(
        name
        for name in MESSAGES
        for topic, category in [OF_MESSAGES[name]]
        if any(blocks(one, line, topic, "sms", category) for one in opt_outs)
    )


@pytest.mark.parametrize("case", REVOCATIONS)
def test_what_a_stop_ends(case: Revocation) -> None:
    opt_outs = after(event(case.body, case.scope, case.answered))
    assert (closed(opt_outs, LINE), closed(opt_outs, OTHER_LINE)) == (case.own, case.others)
    assert any(blocks(one, None, None) for one in opt_outs), "a message of which nothing is stated is never sent"


@pytest.mark.parametrize("case", [one for one in REVOCATIONS if one.body == "STOP"])
def test_start_ends_it_for_its_line_whatever_it_answered(case: Revocation) -> None:
    stop = event("STOP", case.scope, case.answered)
    for start in (event("START", case.scope, line=LINE, minute=1), event("START", "all", ANY_MARKETING, LINE, 1)):
        assert closed(after(stop, start), LINE) == ()
    late = after(stop, event("START", case.scope, minute=-1))
    assert (closed(late, LINE), closed(late, OTHER_LINE)) == (case.own, case.others)


def test_start_on_another_line_reopens_marketing_there() -> None:
    opt_outs = after(event("STOP", "line", ANY_MARKETING), event("START", "line", line=OTHER_LINE, minute=1))
    assert (closed(opt_outs, LINE), closed(opt_outs, OTHER_LINE)) == (MESSAGES, ())


@pytest.mark.parametrize("minutes", [(0, 1), (1, 0)])
def test_a_repeated_stop_never_narrows_one_in_reply_to_marketing(minutes: tuple[int, int]) -> None:
    marketing, other = event("STOP", "line", ANY_MARKETING, minute=minutes[0]), event("STOP", "line", minute=minutes[1])
    assert closed(after(marketing, other), OTHER_LINE) == closed(after(marketing), OTHER_LINE)


@pytest.mark.parametrize("narrow", [ANY_MARKETING, MessageClass(category=INFORMATIONAL), MessageClass("manual", "recall", INFORMATIONAL)])
def test_a_narrower_stop_never_narrows_a_wider_one(narrow: MessageClass) -> None:
    for events in (
        [event("STOP", "all"), event("STOP", "category", narrow, minute=1)],
        [event("STOP", "category", narrow), event("STOP", "all")],
    ):
        assert closed(after(*events), OTHER_LINE) == MESSAGES


def test_each_category_is_confirmed_once() -> None:
    marketing = after(event("STOP", "category", ANY_MARKETING))
    both = after(event("STOP", "category", ANY_MARKETING), event("STOP", "category", MessageClass(category=INFORMATIONAL), minute=1))
    assert outcome(meaning_of("STOP"), (), marketing, LINE).confirmation == OPT_OUT_CONFIRMED
    assert outcome(meaning_of("STOP"), marketing, both, LINE).confirmation == OPT_OUT_CONFIRMED
    assert outcome(meaning_of("STOP"), both, both, LINE).confirmation == NO_CONFIRMATION


@pytest.mark.parametrize(
    ("first", "until", "at", "reach"),
    [
        (None, None, AT, "line"),
        (date(2026, 12, 1), None, AT, "line"),
        (date(2026, 12, 2), None, AT, "all"),
        (None, date(2026, 12, 2), AT, "line"),
        (None, date(2026, 12, 1), AT, "all"),
        (date(2026, 12, 1), None, datetime(2026, 12, 1, 5, 59, tzinfo=UTC), "all"),
        (date(2026, 12, 1), None, datetime(2026, 12, 1, 6, 0, tzinfo=UTC), "line"),
    ],
)
def test_outside_its_days_the_policy_is_all(first: date | None, until: date | None, at: datetime, reach: str) -> None:
    policy = Policy(revocation_scope="line", revocation_scope_from=first, revocation_scope_until=until)
    assert reach_in_force(policy, at, "America/Chicago") == reach


def test_without_a_policy_a_stop_ends_all_texts() -> None:
    assert reach_in_force(Policy(), AT, "UTC") == "all"


@pytest.mark.parametrize(("body", "answered", "flagged"), APPOINTMENTS)
def test_a_bare_cancel_opts_out_and_may_also_cancel_an_appointment(body: str, answered: MessageClass, flagged: bool) -> None:
    reply = read_reply(body)
    assert reply.kind == "opt_out"
    assert (may_cancel_appointment(reply) and answered.category != MARKETING) is flagged
