"""Which opt-outs an EMR is told: those from the whole channel, since an EMR knows no lines, topics and categories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store.domain.channels import EMAIL, SMS
from store.domain.message_class import MARKETING, MessageClass
from store.domain.sms_consent import ALL_LINES, CATEGORY, LINE, REVIEW, TOPIC, ConsentEvent
from store.domain.write_back import refuses
from store.preference import PATIENT, STAFF

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
NUMBER, ONE, OTHER = "+12175550101", "+12175550190", "+12175550191"


def stop(line: str | None, scope: str, *, authority: str = PATIENT, topic: str | None = None, category: str | None = None) -> ConsentEvent:
    return ConsentEvent(NUMBER, line, authority, True, AT, scope, topic, in_reply_to=MessageClass(category=category))


def start(line: str) -> ConsentEvent:
    return ConsentEvent(NUMBER, line, PATIENT, False, AT + timedelta(minutes=1))


WRITTEN: list[tuple[str, list[ConsentEvent], bool]] = [
    ("from all lines", [stop(None, ALL_LINES)], True),
    ("from all lines, by staff", [stop(None, ALL_LINES, authority=STAFF)], True),
    ("from one line", [stop(ONE, LINE)], False),
    ("from two lines", [stop(ONE, LINE), stop(OTHER, LINE)], False),
    ("from all lines, but one was opened again", [stop(None, ALL_LINES), start(ONE)], False),
    (
        "from all lines by the patient, of whom one was opened, and by staff",
        [stop(None, ALL_LINES), start(ONE), stop(None, ALL_LINES, authority=STAFF)],
        True,
    ),
    ("from a topic", [stop(None, TOPIC, topic="recall")], False),
    ("from marketing", [stop(None, CATEGORY, category=MARKETING)], False),
    ("perhaps, and waiting for review", [stop(None, ALL_LINES, authority=REVIEW)], False),
]


@pytest.mark.parametrize(("events", "is_written"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
def test_an_opt_out_is_written_if_it_is_from_the_whole_channel(events: list[ConsentEvent], is_written: bool) -> None:
    assert refuses(tuple(events), SMS) is is_written
    assert not refuses(tuple(events), EMAIL)
