"""The meaning of a reply and its effect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store.domain.contact import ContactPreferences
from store.domain.reply_recognition import meaning_of
from store.domain.sms_consent import (
    NO_CONFIRMATION,
    OPT_IN_CONFIRMED,
    OPT_OUT_CONFIRMED,
    STILL_OPTED_OUT,
    ConsentEvent,
    OptOut,
    active,
    add,
    blocks,
    by_staff,
    display,
    of_reply,
    outcome,
)
from tests.spec.replies import OPT_OUT_WORDS, REPLIES
from tests.spec.situation import CELL, CELL_PHONE, HOME, HOME_PHONE, LINE, OTHER_LINE

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("body", "kind", "scope"), REPLIES)
def test_classification_of_replies(body: str, kind: str | None, scope: str | None) -> None:
    assert meaning_of(body) == (kind, scope)


def test_opt_in_keywords_are_configurable() -> None:
    assert meaning_of("subscribe", {"Subscribe"}).kind == "opt_in"
    assert meaning_of("YES", {"Subscribe"}).kind is None


def test_opt_out_keywords_can_be_added() -> None:
    assert meaning_of("No", opt_out_words=["NO"]).kind == "opt_out"
    assert meaning_of("no, see you then", opt_out_words=["NO"]).kind == "opt_out"
    assert meaning_of("there is no parking", opt_out_words=["NO"]).kind is None, "too short to count inside a longer text"
    assert meaning_of("genug", opt_out_words=["Genug", ""]).kind == "opt_out"
    assert meaning_of("das ist genug fuer heute", opt_out_words=["Genug"]).kind == "review"
    assert meaning_of("YES", opt_out_words=["YES"]).kind == "opt_out", "an opt-out wins"


def test_start_and_stop_all_at_the_same_instant_are_a_stop() -> None:
    replies = [of_reply(meaning_of(body), LINE, CELL, AT) for body in ("START", "STOPALL")]
    for words in (replies, replies[::-1]):
        assert blocks(active(add((words[0],), words[1]))[0], LINE, None)


def test_an_opt_out_keyword_cannot_be_an_opt_in_keyword() -> None:
    assert meaning_of("STOP", {"STOP"}).kind == "opt_out"


def after(*texts: tuple[str, str], number: str = CELL) -> tuple[OptOut, ...]:
    """The opt-outs in force after the patient has sent these texts to these lines, in order."""
    words: tuple[ConsentEvent, ...] = ()
    for minute, (body, line) in enumerate(texts):
        words = add(words, of_reply(meaning_of(body), line, number, AT + timedelta(minutes=minute)))
    return active(words)


def test_start_revokes_the_patients_own_stop() -> None:
    assert after(("STOP", LINE), ("START", LINE)) == ()


@pytest.mark.parametrize("word", OPT_OUT_WORDS)
def test_start_permits_texts_again_after_any_opt_out_keyword(word: str) -> None:
    assert not any(blocks(one, LINE, None) for one in after((word, LINE), ("START", LINE)))


def test_start_on_another_line_does_not_lift_the_stop() -> None:
    assert after(("STOP", LINE), ("START", OTHER_LINE)) == (OptOut(LINE, CELL, at=AT),)


def test_start_does_not_lift_an_opt_out_recorded_by_staff() -> None:
    by_clinic = ConsentEvent(CELL, LINE, "staff", True, AT)
    words = add((by_clinic,), of_reply(meaning_of("START"), LINE, CELL, AT + timedelta(minutes=1)))
    assert active(words) == (OptOut(LINE, CELL, authority="staff", at=AT),)


def test_a_start_that_arrives_late_does_not_lift_a_newer_stop() -> None:
    stop, start = of_reply(meaning_of("STOP"), LINE, CELL, AT), of_reply(meaning_of("START"), LINE, CELL, AT - timedelta(minutes=1))
    assert active(add((stop,), start)) == (OptOut(LINE, CELL, at=AT),)


def test_a_stop_that_arrives_late_does_not_undo_a_newer_start() -> None:
    start, stop = of_reply(meaning_of("START"), LINE, CELL, AT), of_reply(meaning_of("STOP"), LINE, CELL, AT - timedelta(minutes=1))
    assert active(add((start,), stop)) == ()


def test_at_the_same_instant_an_opt_out_wins() -> None:
    stop, start = of_reply(meaning_of("STOP"), LINE, CELL, AT), of_reply(meaning_of("START"), LINE, CELL, AT)
    assert active(add((stop,), start)) == active(add((start,), stop)) == (OptOut(LINE, CELL, at=AT),)


def test_start_on_one_line_is_an_exception_to_stop_all() -> None:
    (kept,) = after(("STOP ALL", LINE), ("START", LINE))
    assert not blocks(kept, LINE, None)
    assert blocks(kept, OTHER_LINE, None)
    assert blocks(kept, None, None)


def test_stop_ends_the_exception() -> None:
    opt_outs = after(("STOP ALL", LINE), ("START", LINE), ("STOP", LINE))
    assert any(blocks(one, LINE, None) for one in opt_outs)


def test_a_repeated_stop_all_ends_every_exception() -> None:
    (kept,) = after(("STOP ALL", LINE), ("START", LINE), ("STOP ALL", OTHER_LINE))
    assert blocks(kept, LINE, None)
    assert not kept.except_lines


def test_a_repeated_stop_only_gets_a_newer_time() -> None:
    (once,), (twice,) = after(("STOP", LINE)), after(("STOP", LINE), ("quit", LINE))
    assert once._replace(at=None) == twice._replace(at=None)
    assert outcome(meaning_of("quit"), (once,), (twice,), LINE).confirmation == NO_CONFIRMATION


def test_a_stop_is_confirmed_once_and_a_repeated_stop_is_not() -> None:
    stop, stopped = meaning_of("STOP"), (OptOut(LINE, CELL),)
    assert outcome(stop, (), stopped, LINE, patients=2)[:4] == ("opt_out", "line", OPT_OUT_CONFIRMED, 2)
    assert outcome(stop, stopped, stopped, LINE).confirmation == NO_CONFIRMATION


def test_start_is_confirmed_only_if_texts_resume() -> None:
    start, stopped = meaning_of("START"), (OptOut(LINE, CELL),)
    by_clinic = OptOut(LINE, CELL, authority="staff")
    assert outcome(start, stopped, (), LINE).confirmation == OPT_IN_CONFIRMED
    assert outcome(start, (*stopped, by_clinic), (by_clinic,), LINE).confirmation == STILL_OPTED_OUT
    assert outcome(start, (), (), LINE).confirmation == NO_CONFIRMATION


def test_an_unrecognized_reply_gets_no_confirmation() -> None:
    assert outcome(meaning_of("see you at noon"), (), (), LINE) == (None, None, NO_CONFIRMATION, 0, ())


def test_staff_opt_out_covers_every_number_on_one_line_or_all() -> None:
    assert [(one.line, one.number, one.scope) for one in by_staff((CELL, HOME), LINE, AT)] == [(LINE, CELL, "line"), (LINE, HOME, "line")]
    assert by_staff((CELL,), None, AT) == (OptOut(None, CELL, "all_lines", None, "staff", AT),)


@pytest.mark.parametrize(
    ("consents", "opt_outs", "words"),
    [
        ({}, (), "Opted In"),
        ({"sms": "granted"}, (), "Opted In"),
        ({}, (OptOut(LINE, CELL),), "Opted Out of 1 number"),
        ({}, (OptOut(LINE, CELL), OptOut(OTHER_LINE, CELL)), "Opted Out of 1 number"),
        ({}, (OptOut(LINE, CELL), OptOut(LINE, HOME)), "Opted Out of 2 numbers"),
        ({}, (OptOut(LINE, CELL, "topic", "recall"),), "Opted In"),
        ({"sms": "denied"}, (), "Opted Out of 2 numbers"),
        ({f"sms#{CELL}": "denied"}, (), "Opted Out of 1 number"),
    ],
)
def test_sms_consent_summary_on_the_facesheet(consents: dict[str, str], opt_outs: tuple[OptOut, ...], words: str) -> None:
    assert display(ContactPreferences(phones=(CELL_PHONE, HOME_PHONE), consents=consents), opt_outs) == words
