"""Numbers, addresses and languages as EMRs send them, over MLLP to a decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.hl7v2.reader import read
from store.domain.decision import Decision, DecisionRequest, decide
from store.domain.patient import Patient, PatientRef
from store.domain.policies import Policy
from store.errors import StoreError
from tests.adapters.hl7v2.messages import adt
from tests.functional.test_identity import DNC, Feed, running

CELL, OTHER = "+12175550123", "+12175550124"


@pytest.fixture
def feed(tmp_path: Path, database_url: str) -> Iterator[Feed]:
    with running(tmp_path, database_url) as found:
        yield found


def sent(feed: Feed, *segments: str, code: str = "AA", problem: str = "", event: str = "A08", **fields: str) -> Patient:
    """What is known of the patient once the message is acknowledged with that code and problem."""
    acknowledged, told = feed.send(*segments, event=event, minute=feed.sent, **fields)
    assert (acknowledged, told.split(":")[0].split(" ")[0] if problem else told) == (code, problem), told
    found = feed.find("MRN10001")
    assert found is not None
    return found


def asked(feed: Feed, *channels: str, at: datetime | None = None) -> Decision:
    now = datetime.now(UTC)
    (known,) = feed.service.runtime.preferences.known("hospital", [PatientRef(authority="GENHOSP", type="MR", value="MRN10001")], at or now)
    assert not isinstance(known, StoreError)
    return decide(DecisionRequest(message_type="broadcast", channels=channels), known, Policy(), at or now)


def test_a_cell_by_the_codes_that_are_sent_is_texted_and_a_fax_is_not_called(feed: Feed) -> None:
    sent(feed, f13="2175550123^P^M~2175550199^PRN^FAX")
    assert asked(feed, "sms").address == CELL
    assert asked(feed, "voice").address == CELL


def test_an_opt_out_from_a_fax_of_the_patient_closes_the_line_to_texts_at_the_cell(feed: Feed) -> None:
    sent(feed, f13="2175550123^P^M~2175550199^PRN^FAX")
    now = datetime.now(UTC)
    answer = feed.service.runtime.preferences.record_reply("hospital", "+12175550190", "+12175550199", "STOP", now, now)
    assert answer.patients == 1
    assert asked(feed, "sms").decision == "do_not_send"


def test_what_cannot_be_used_leaves_what_stands(feed: Feed) -> None:
    sent(feed, f13="2175550123^PRS^CP")
    for field in ("see notes^PRN^CP", "9999999999^PRN^CP", "^PRN^CP^^1^217^3125550123"):
        acknowledged, _ = feed.send(minute=feed.sent, f13=field)
        assert acknowledged == "AA"
        assert asked(feed, "sms").address == CELL


def test_a_remark_that_refuses_calls_is_obeyed_and_the_number_is_texted(feed: Feed) -> None:
    feed.send(f13="2175550123^PRS^CP^^^^^^DO NOT CALL")
    assert asked(feed, "voice").decision == "do_not_send"
    assert asked(feed, "voice", "sms").address == CELL


def test_a_wrong_number_is_not_used_any_more(feed: Feed) -> None:
    sent(feed, f13="2175550123^PRS^CP")
    feed.send(minute=1, f13="2175550123^PRS^CP^^^^^^wrong number~2175550124^PRN^PH")
    assert asked(feed, "sms").decision == "do_not_send"
    assert asked(feed, "voice").address == OTHER


def test_an_address_to_come_is_written_to_from_its_day_on(feed: Feed) -> None:
    end, begin = (f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d}" for days in (29, 30))
    sent(feed, f13=f"^NET^Internet^old@example.org^^^^^^^^^20200101^{end}~^NET^Internet^new@example.org^^^^^^^^^{begin}")
    then = datetime.now(UTC) + timedelta(days=40)
    assert asked(feed, "email").address == "old@example.org"
    assert asked(feed, "email", at=then).address == "new@example.org"
    sent(feed, f13="^NET^Internet^third@example.org")
    assert asked(feed, "email", at=then).address == "third@example.org"


@pytest.mark.parametrize(("field", "tag"), [("CRE^Haitian Creole", "ht"), ("SPN", "es"), ("ASL^American Sign Language", "ase")])
def test_a_language_by_table_and_by_the_text_beside_its_code(feed: Feed, field: str, tag: str) -> None:
    assert sent(feed, f13="2175550123", f15=field).contact.language == tag


@pytest.mark.parametrize(("event", "mrg"), [("A43", "NTE|1"), ("A43", "MRG|MRN2^^^GENHOSP^MR"), ("A35", "MRG|MRN2^^^GENHOSP^MR||ACC1")])
def test_a_refusal_beside_a_rejected_move_or_account_merge_counts(feed: Feed, event: str, mrg: str) -> None:
    sent(feed, "ZCP|1|OK")
    acknowledged, _ = feed.send(mrg, DNC, event=event, minute=1)
    assert acknowledged == "AE"
    assert feed.dnc("MRN10001") == "yes"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_text_of_two_bytes_a_letter_without_a_mark_is_read(feed: Feed, codec: str) -> None:
    reply = read(feed.connection.send(adt("A08", DNC).decode().encode(codec)))
    assert reply.field("MSA", 1) == "AA"
    assert feed.dnc("MRN10001") == "yes"
