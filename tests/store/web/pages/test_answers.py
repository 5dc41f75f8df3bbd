"""The first line of the facesheet: each answer is that of the decision function, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from store.domain.contact import ContactPreferences
from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest, Evidence, KnownPatient
from store.domain.enterprise import Enterprise, Source
from store.domain.policies import Policy
from store.domain.sms_consent import OptOut
from store.preference import Phone
from store.web.pages.answers import Answer, Answers

NOW = datetime(2026, 11, 9, 3, 30, tzinfo=UTC)
STOPPED = datetime(2026, 11, 4, 3, 30, tzinfo=UTC)
"""In Chicago still 3 November."""
LINE, OTHER, CELL = "+12175550190", "+12175550191", "+12175550101"
MERCY = Enterprise(
    "mercy", syncs=True, time_zone="America/Chicago", sources=(Source("adt", "Mercy EMR", contact="call the registration desk, 555-0100"),)
)
PHONES, EMAILS = (Phone(CELL, "cell", "", 1, True),), ("pat@example.test",)


def of_emr(attribute: str) -> Evidence:
    return Evidence(attribute, "emr:adt", "MSG1", "ZCP-2", STOPPED)


def answers(
    opt_outs: Iterable[OptOut] = (), *, policy: Policy | None = None, stale: bool = False, by: Any = of_emr, **contact: Any
) -> list[Answer]:
    preferences = ContactPreferences(**{"phones": PHONES, "emails": EMAILS, **contact})
    known = KnownPatient("pt_1", 1, preferences, tuple(opt_outs), NOW, stale, by)
    unread = ["adt"] if preferences.unreadable else []
    return Answers(known, policy or Policy(), MERCY, unread, NOW).all()


def line_of(found: list[Answer]) -> str:
    return " · ".join(f"{one.subject}: {one.state}{one.because}" for one in found)


FREE = "Calls: allowed · E-mail: allowed"
STOP, STAFF = OptOut(LINE, CELL, at=STOPPED), OptOut(None, CELL, "all_lines", None, "staff", STOPPED)
ROWS: tuple[tuple[str, Callable[[], list[Answer]], str], ...] = (
    ("nothing known but addresses", answers, f"Texts: allowed · {FREE} · Automations: allowed, by text"),
    ("a STOP on one line", lambda: answers([STOP]),
     f"Texts: blocked from +1 217-555-0190 (STOP on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("two lines", lambda: answers([STOP, OptOut(OTHER, CELL, at=STOPPED)]),
     f"Texts: blocked from 2 lines or topics (STOP on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("every line", lambda: answers([STAFF]), f"Texts: blocked (opt-out recorded here on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("one topic", lambda: answers([OptOut(None, CELL, "topic", "billing", "staff", STOPPED)]),
     f"Texts: blocked about billing (opt-out recorded here on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("a topic on a line", lambda: answers([OptOut(LINE, CELL, "topic", "billing", "staff", STOPPED)]),
     f"Texts: blocked about billing from +1 217-555-0190 (opt-out recorded here on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("an unclear reply", lambda: answers([STOP._replace(authority="review")]),
     f"Texts: blocked from +1 217-555-0190 (unclear reply on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("of another year", lambda: answers([STAFF._replace(at=datetime(2025, 2, 1, 12, tzinfo=UTC))]),
     f"Texts: blocked (opt-out recorded here on 1 Feb 2025) · {FREE} · Automations: allowed, by call"),
    ("denied in the EMR", lambda: answers(consents={"sms": "denied", "voice": "denied", "email": "denied"}),
     "Texts: blocked (denied in Mercy EMR) · Calls: blocked (denied in Mercy EMR) · E-mail: blocked (denied in Mercy EMR)"
     " · Automations: blocked (no channel is open)"),
    ("denied and stopped", lambda: answers([STAFF], consents={"sms": "denied"}),
     f"Texts: blocked (denied in Mercy EMR; opt-out recorded here on 3 Nov) · {FREE} · Automations: allowed, by call"),
    ("Do Not Contact", lambda: answers(do_not_contact="yes"), f"Texts: allowed · {FREE} · Automations: blocked, set in Mercy EMR"),
    ("Do Not Contact of staff", lambda: answers(do_not_contact="yes", by=lambda name: Evidence(name, "staff")),
     f"Texts: allowed · {FREE} · Automations: blocked, set here"),
    ("without evidence", lambda: answers(do_not_contact="yes", by=lambda name: None), f"Texts: allowed · {FREE} · Automations: blocked"),
    ("prefers text, stopped", lambda: answers([STAFF], preferred_method="sms"),
     f"Texts: blocked (opt-out recorded here on 3 Nov) · {FREE} · Automations: blocked (prefers text, which is not possible)"),
    ("prefers text, stopped on a line", lambda: answers([STOP], preferred_method="sms"),
     f"Texts: blocked from +1 217-555-0190 (STOP on 3 Nov) · {FREE} · Automations: blocked from +1 217-555-0190 (STOP on 3 Nov)"),
    ("prefers letters", lambda: answers(preferred_method="mail"), f"Texts: allowed · {FREE} · Automations: blocked (prefers letter)"),
    ("prefers no contact", lambda: answers(preferred_method="none"),
     f"Texts: allowed · {FREE} · Automations: blocked (prefers no contact)"),
    ("dead", lambda: answers(deceased=True),
     " · ".join(f"{name}: blocked (the patient has died)" for name in ("Texts", "Calls", "E-mail", "Automations"))),
    ("no address", lambda: answers(phones=(), emails=()),
     "Texts: not possible (no number on file) · Calls: not possible (no number on file) · E-mail: not possible (no address on file)"
     " · Automations: blocked (no channel is open)"),
    ("only a landline", lambda: answers(phones=(Phone(CELL, "home"),), emails=()),
     "Texts: not possible (no mobile number on file) · Calls: allowed · E-mail: not possible (no address on file)"
     " · Automations: allowed, by call"),
    ("unreadable", lambda: answers(unreadable=("do_not_contact",)),
     f"Texts: allowed · {FREE} · Automations: blocked (not readable in Mercy EMR)"),
    ("unreadable, flagged", lambda: answers(unreadable=("do_not_contact",), policy=Policy(when_unreadable="flag")),
     f"Texts: allowed · {FREE} · Automations: allowed, by text (unclear)"),
    ("consent unreadable", lambda: answers(unreadable=("consent.sms",)),
     f"Texts: blocked (not readable in Mercy EMR) · {FREE} · Automations: blocked (not readable in Mercy EMR)"),
    ("stale", lambda: answers(stale=True),
     "Texts: allowed (old data) · Calls: allowed (old data) · E-mail: allowed (old data) · Automations: allowed, by text (old data)"),
    ("stale, refused", lambda: answers(stale=True, policy=Policy(when_stale="refuse")),
     " · ".join(f"{name}: blocked (no recent data)" for name in ("Texts", "Calls", "E-mail", "Automations"))),
)  # fmt: skip


@pytest.mark.parametrize(("ask", "line"), [pytest.param(ask, line, id=name) for name, ask, line in ROWS])
def test_the_first_line(ask: Callable[[], list[Answer]], line: str) -> None:
    assert line_of(ask()) == line


CASES: tuple[dict[str, Any], ...] = (
    {},
    *({"opt_outs": opt_outs, "preferred_method": method} for opt_outs in ((STOP,), (STAFF,)) for method in (None, "sms", "voice", "mail")),
    *({"consents": {name: "denied"}} for name in ("sms", "voice", "email", f"sms#{CELL}", f"voice#{CELL}")),
    {"do_not_contact": "yes"},
    {"deceased": True},
    {"phones": ()},
    {"emails": ()},
    {"unreadable": ("do_not_contact",)},
    {"unreadable": ("consent.email",)},
)


@pytest.mark.parametrize("policy", [Policy(), Policy(when_unreadable="flag"), Policy(when_preferred_impossible="next")])
@pytest.mark.parametrize("case", CASES)
def test_allowed_is_exactly_what_the_strictest_decision_sends(case: dict[str, Any], policy: Policy) -> None:
    """The one without line and topic, for which any opt-out counts."""
    contact = {"phones": PHONES, "emails": EMAILS, **{name: value for name, value in case.items() if name != "opt_outs"}}
    known = KnownPatient("pt_1", 1, ContactPreferences(**contact), case.get("opt_outs", ()))
    requests = [DecisionRequest(message_type="broadcast", channels=(channel,)) for channel in ("sms", "voice", "email")]
    requests.append(DecisionRequest(message_type="automation", channels=("sms", "voice", "email")))
    sent = [decide(request, known, policy, NOW).decision == "send" for request in requests]
    assert [one.state == "allowed" for one in Answers(known, policy, MERCY, ["adt"], NOW).all()] == sent


def test_the_reason_tells_what_ends_a_refusal_and_whom_to_contact() -> None:
    texts, calls, _, automations = answers([STOP], do_not_contact="yes", consents={"voice": "denied"})
    assert texts.remedies == ("A STOP ends when the patient texts START to the line, from the same phone.",)
    assert texts.except_for == ("Other texts are allowed.",)
    contact = "To change it in Mercy EMR: call the registration desk, 555-0100."
    assert calls.remedies == automations.remedies == (contact,)
    assert automations.rules == ("The patient must not be contacted by automations.",)
    assert [one.attribute for one in automations.evidence] == ["do_not_contact"]
    unread = answers(unreadable=("do_not_contact",))[3]
    assert unread.remedies == ("Check it in Mercy EMR: call the registration desk, 555-0100.",)


def test_a_line_that_was_opted_in_again_is_named() -> None:
    texts = answers([STAFF._replace(authority="patient", except_lines=(LINE,))])[0]
    assert (texts.state, texts.because) == ("blocked", " (STOP on 3 Nov)")
    assert texts.except_for == ("Allowed from +1 217-555-0190.",)


def test_an_unreadable_value_that_is_flagged_is_not_called_refused() -> None:
    automations = answers([STAFF], preferred_method="sms", unreadable=("do_not_contact",), policy=Policy(when_unreadable="flag"))[3]
    assert "Newer evidence about a preference that applies could not be read, and the policy is to flag it." in automations.rules
