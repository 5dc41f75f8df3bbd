"""Which opt-outs an EMR is told of: those from everything on a channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store.domain.message_class import INFORMATIONAL, MARKETING, MessageClass
from store.domain.sms_consent import ALL_LINES, CATEGORY, LINE, REVIEW, TOPIC, ConsentEvent
from store.domain.write_back import refuses
from store.preference import PATIENT, STAFF

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NUMBER, FIRST, SECOND = "+12175550133", "+12175550190", "+12175550191"
STOP = ConsentEvent(NUMBER, None, PATIENT, True, NOON, ALL_LINES)
START = ConsentEvent(NUMBER, FIRST, PATIENT, False, NOON + timedelta(hours=1))
AGAIN = STOP._replace(at=NOON + timedelta(hours=2))


@pytest.mark.parametrize(
    ("events", "channel", "expected"),
    [
        pytest.param([STOP], "sms", True, id="a STOP to all lines"),
        pytest.param([STOP], "voice", False, id="of another channel"),
        pytest.param([STOP._replace(authority=STAFF)], "sms", True, id="recorded by staff"),
        pytest.param([STOP._replace(authority=REVIEW)], "sms", False, id="an unclear reply"),
        pytest.param([STOP._replace(line=FIRST, scope=LINE)], "sms", False, id="from one line"),
        pytest.param([STOP._replace(scope=TOPIC, topic="recall")], "sms", False, id="from one topic"),
        pytest.param(
            [STOP._replace(scope=CATEGORY, in_reply_to=MessageClass(category=MARKETING))], "sms", False, id="from the category marketing"
        ),
        pytest.param(
            [STOP._replace(scope=CATEGORY, in_reply_to=MessageClass(category=INFORMATIONAL))], "sms", False, id="from informational texts"
        ),
        pytest.param([STOP, START], "sms", False, id="START to a line since"),
        pytest.param([STOP, START, STOP._replace(authority=STAFF)], "sms", True, id="staff's remains after START"),
        pytest.param([START, AGAIN], "sms", True, id="STOP again after START"),
    ],
)
def test_an_emr_is_told_of_an_opt_out_from_everything(events: list[ConsentEvent], channel: str, *, expected: bool) -> None:
    assert refuses(events, channel) is expected
