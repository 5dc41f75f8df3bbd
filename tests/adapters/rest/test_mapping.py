"""A record of a JSON API becomes statements; what is not there states nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import Unmappable
from adapters.mapping.rules import MappingError
from store import times
from store.preference import Identifier, PatientMerge, PatientStatements, Phone
from tests.adapters.rest.made import RECEIVED, RECORD, mapper, payload, read, said, values

ANSWERS = {"true": "granted", "false": "denied"}


def test_it_works() -> None:
    record = {
        "chart": {"number": "MRN10001"},
        "first": "Pat",
        "last": "Example",
        "cell": "(217) 555-0101",
        "phones": [{"phone": "217-555-0102", "type": "home"}, {"phone": "217-555-0103", "deleted": "2026-01-01"}],
        "email": "pat@example.org",
        "texting": False,
        "updated_at": "2026-10-31T08:00:00",
    }
    item = said(record, {"consent.sms": {"from": "texting", "values": ANSWERS}})
    assert item.identifiers == (Identifier("GENHOSP", "MR", "MRN10001"), Identifier("clinic", "RI", "7"))
    assert item.effective.earliest == datetime(2026, 10, 31, 13, 0, tzinfo=UTC), "without an offset, in the source's time zone"
    assert (item.evidence_id, item.locator, item.problems) == ("Patient/7", "page-1#0", ())
    assert {attribute: statement.value for attribute, statement in item.statements.items()} == {
        "display_name": "Pat Example",
        "phones": (
            Phone("+12175550101", "cell", "(217) 555-0101", None, True),
            Phone("+12175550102", "home", "217-555-0102"),
        ),
        "email": ("pat@example.org",),
        "consent.sms": "denied",
    }


@pytest.mark.parametrize(
    ("written", "form", "born"),
    [
        ("1980-02-03", None, "1980-02-03"),
        ("1980-02", None, "1980-02"),
        ("1980", None, "1980"),
        ("1980-02-03 00:00:00", None, "1980-02-03"),
        ("1980-02-03T23:30:00-06:00", None, "1980-02-03"),
        ("02/03/1980", "MM/DD/YYYY", "1980-02-03"),
        ("2/3/1980", "MM/DD/YYYY", "1980-02-03"),
        ("02/03/1980", "DD/MM/YYYY", "1980-03-02"),
    ],
)
def test_a_birth_date_is_read_in_the_format_of_the_record(written: str, form: str | None, born: str) -> None:
    assert birth_date(written, form) == (born, [])


@pytest.mark.parametrize("empty", ["", None, "0000-00-00", "0000-00-00 00:00:00", "00/00/0000"])
def test_an_empty_birth_date_states_nothing(empty: str | None) -> None:
    assert birth_date(empty, "MM/DD/YYYY") == (None, [])


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("02/03/1980", None),
        ("13/13/1980", "MM/DD/YYYY"),
        ("1980-02-03", "MM/DD/YYYY"),
        ("02/03/80", "MM/DD/YYYY"),
        ("2999-01-01", None),
        ("unknown", None),
        (19800203, None),
        (True, None),
    ],
)
def test_what_is_no_birth_date_in_this_format_is_a_problem_and_is_not_guessed(written: Any, form: str | None) -> None:
    assert birth_date(written, form) == (None, ["birth_date_unusable"])


def birth_date(written: Any, form: str | None) -> tuple[str | None, list[str]]:
    """The birth date of a record in this format, and its problems."""
    (item,) = mapper(record=RECORD | {"birth_date": "born", "birth_date_format": form}).read(payload({"id": 7, "born": written}))
    assert isinstance(item, PatientStatements)
    stated = item.statements.get("birth_date")
    return stated.value if stated else None, [problem.reason for problem in item.problems]


def test_a_record_without_any_member_for_phones_states_none() -> None:
    assert values({}) == {}


@pytest.mark.parametrize("empty", [{"cell": ""}, {"cell": None}, {"phones": []}, {"phones": [{"phone": "1", "deleted": "x"}]}])
def test_an_empty_member_takes_the_phones_back(empty: dict[str, Any]) -> None:
    assert values(empty) == {"phones": None}


def test_a_number_listed_twice_is_one_phone() -> None:
    (phone,) = values({"cell": "217-555-0101", "phones": [{"phone": "(217) 555-0101", "type": "Home"}]})["phones"]
    assert phone.kind == "cell"


def test_what_cannot_be_used_is_a_problem_at_its_place() -> None:
    item = said({"cell": "ask", "phones": [{"phone": "none"}], "email": "at example"})
    assert [(one.reason, one.path) for one in item.problems] == [
        ("phone_unusable", "cell"),
        ("phone_unusable", "phones[0].phone"),
        ("email_unusable", "email"),
    ]


VIP = {"restricted": {"from": "vip", "values": {"true": "true", "false": "false"}}}


def test_a_restriction_that_cannot_be_read_takes_nothing_back() -> None:
    rules = VIP | {"consent.sms": {"from": "texting", "values": ANSWERS, "on_absent": "clear"}}
    item = said({"vip": "perhaps", "cell": "", "email": ""}, rules)
    assert (item.statements, [one.attribute for one in item.problems]) == ({}, ["restricted"])


def test_a_restricted_record_takes_nothing_back() -> None:
    rules = VIP | {"consent.sms": {"from": "texting", "values": ANSWERS, "on_absent": "clear"}}
    assert values({"vip": True, "cell": "", "email": ""}, rules) == {"restricted": True}
    assert values({"vip": False, "cell": ""}, rules) == {"restricted": False, "phones": None, "consent.sms": None}


def test_consent_at_an_entry_is_kept_for_its_number() -> None:
    rules = {"consent.sms#*": {"from": "phones.may_text", "values": ANSWERS}}
    phones = [{"phone": "217-555-0101", "may_text": True}, {"phone": "217-555-0102", "may_text": False}, {"phone": "217-555-0103"}]
    found = values({"phones": phones}, rules)
    assert (found["consent.sms#+12175550101"], found["consent.sms#+12175550102"]) == ("granted", "denied")
    assert "consent.sms#+12175550103" not in found


def test_the_lowest_order_names_the_preferred_phone() -> None:
    phones = [{"phone": "217-555-0101", "order": 2}, {"phone": "217-555-0102", "order": "1"}]
    assert values({"phones": phones})["preferred_phone"] == "+12175550102"
    assert values({"phones": phones}, {"preferred_phone": {"by": "first"}})["preferred_phone"] == "+12175550101"
    assert "preferred_phone" not in values({"phones": [one | {"order": 1} for one in phones]})


def test_a_field_names_the_preferred_phone() -> None:
    rules = {"preferred_phone": {"from": "best", "values": {"M": "cell", "H": "home"}}}
    assert values({"cell": "217-555-0101", "best": "M"}, rules)["preferred_phone"] == "+12175550101"
    assert [one.reason for one in said({"cell": "217-555-0101", "best": "H"}, rules).problems] == ["preferred_phone_unusable"]


@pytest.mark.parametrize(("text", "problems"), [("declined", []), ("klingon?", ["language_unusable"])])
def test_a_declined_language_is_no_problem_and_an_odd_one_is(text: str, problems: list[str]) -> None:
    item = said({"spoken": text}, {"language": {"from": "spoken"}})
    assert "language" not in item.statements
    assert [one.reason for one in item.problems] == problems


def test_a_record_that_became_part_of_another_names_it() -> None:
    _, merge = read({"id": 7, "merged_into": 8})
    assert isinstance(merge, PatientMerge)
    assert merge.survivor == (Identifier("clinic", "RI", "8"),)
    assert len(read({"id": 7, "merged_into": 0})) == 1
    assert len(read({"id": 7, "merged_into": None})) == 1


def test_a_time_in_the_future_is_a_problem() -> None:
    item = said({"updated_at": "2027-01-01T00:00:00Z"})
    assert item.effective.earliest == datetime(2027, 1, 1, tzinfo=UTC), "the store ends it at receipt"
    assert [one.reason for one in item.problems] == ["time_in_future"]


@pytest.mark.parametrize(
    ("text", "effective", "reasons"),
    [
        ("2026-10-31", times.Time(datetime(2026, 10, 31, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, 59, 59, 999_999, UTC)), []),
        ("2026-10-31T08:30", times.Time(datetime(2026, 10, 31, 13, 30, tzinfo=UTC), datetime(2026, 10, 31, 13, 30, 59, 999_999, UTC)), []),
        ("soon", times.unknown(RECEIVED), ["time_unreadable"]),
        ("", times.at(RECEIVED), []),
    ],
)
def test_a_time_is_as_precise_as_it_is_written(text: str, effective: times.Time, reasons: list[str]) -> None:
    item = said({"updated_at": text})
    assert (item.effective, [one.reason for one in item.problems]) == (effective, reasons)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b'{"id": "\\ud800"}', "not_json"),
        (b'{"id": "\xff"}', "not_json"),
        (b"[1]", "not_a_record"),
        (b'{"id": "a\\u0000"}', "nul_character"),
        (b"{}", "patient_id_missing"),
    ],
)
def test_bad_input_is_rejected_with_a_reason_and_kept(body: bytes, reason: str) -> None:
    (item,) = read(body, {"consent.sms": {"from": "texting", "values": ANSWERS}})
    assert isinstance(item, Unmappable)
    assert (item.reason, item.payload) == (reason, body)


def test_a_value_that_cannot_be_read_is_a_problem_of_its_attribute_and_the_rest_counts() -> None:
    rules = {"consent.sms": {"from": "texting", "values": ANSWERS}, "do_not_contact": {"from": "dnc", "values": {"Y": "yes"}}}
    item = said({"texting": "maybe", "dnc": "Y", "cell": "ask"}, rules)
    assert [(one.reason, one.path, one.attribute) for one in item.problems] == [
        ("code_unmapped", "texting", "consent.sms"),
        ("phone_unusable", "cell", "phones"),
    ]
    assert {name: one.value for name, one in item.statements.items()} == {"do_not_contact": "yes"}
    assert "maybe" not in repr(item)


def test_a_refusal_counts_beside_values_that_cannot_be_read() -> None:
    rules = {"consent.sms": {"from": ["a", "b"], "values": ANSWERS}}
    assert values({"a": "maybe", "b": False}, rules) == {"consent.sms": "denied"}
    assert values({"a": "maybe", "b": True}, rules) == {}
    assert values({"a": "maybe", "b": False}, {"consent.sms": rules["consent.sms"] | {"aggregate": "all_denied"}}) == {}


@pytest.mark.parametrize("empty", [{"cell": "ask"}, {"phones": [{"phone": "none"}]}])
def test_a_phone_that_cannot_be_read_takes_nothing_back(empty: dict[str, Any]) -> None:
    assert values(empty) == {}


def test_an_address_that_cannot_be_read_takes_nothing_back() -> None:
    assert values({"email": "at example"}) == {}


def test_what_refuses_at_a_number_that_cannot_be_read_is_not_lost() -> None:
    rules = {"consent.sms#*": {"from": "phones.may_text", "values": ANSWERS}}
    item = said({"phones": [{"phone": "ask", "may_text": False}, {"phone": "217-555-0102", "may_text": True}]}, rules)
    assert [(one.reason, one.attribute) for one in item.problems if one.attribute != "phones"] == [
        ("consent_number_unreadable", "consent.sms")
    ]
    assert item.statements["consent.sms#+12175550102"].value == "granted"
    assert [one.reason for one in said({"phones": [{"phone": "ask", "may_text": True}]}, rules).problems] == ["phone_unusable"]
    assert [one.reason for one in said({"phones": [{"may_text": False}]}, rules).problems] == ["consent_number_unreadable"]


@pytest.mark.parametrize("odd", [b"\xff", b"\\ud800", b"a\\u0000", b"\\q", b"\x01\xfe"])
def test_an_illegible_text_takes_no_refusal_with_it(odd: bytes) -> None:
    rules = {"do_not_contact": {"from": "dnc", "values": {"Y": "yes", "N": "no"}, "on_unknown": "clear"}}
    (item,) = read(b'{"id": 7, "first": "%s", "last": "Example", "dnc": "Y"}' % odd, rules)
    assert isinstance(item, PatientStatements)
    assert {name: one.value for name, one in item.statements.items()} == {"display_name": "Example", "do_not_contact": "yes"}
    assert [(one.reason, one.path, one.attribute) for one in item.problems] == [("text_unreadable", "first", "display_name")]
    (item,) = read(b'{"id": 7, "dnc": "%s"}' % odd, rules)
    assert isinstance(item, PatientStatements)
    assert item.statements == {}, "nothing is taken back by what is illegible"
    assert [one.attribute for one in item.problems] == ["do_not_contact"]


def test_explain_shows_what_is_stated_unused_and_unmapped() -> None:
    record = {"id": 7, "cell": "217-555-0101", "texting": "perhaps", "notes": "likes tea", "empty": ""}
    rule = {"consent.sms": {"from": "texting", "values": ANSWERS, "on_unknown": "no_statement"}}
    found = mapper(rule).explain(payload(record))
    assert [attribute for attribute, _, _ in found.stated] == ["phones"]
    assert found.unused == [("notes", '"likes tea"')]
    assert found.unmapped == [("texting", "perhaps")]
    assert mapper().explain(payload(b"{")).stated == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record": {}}, r"record.id is missing"),
        ({"record": RECORD | {"phones": [{"number": "a b"}]}}, "which cannot be read"),
    ],
)
def test_a_wrong_record_says_what_to_mend(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mapper(**changes)


def test_phones_need_no_rule() -> None:
    with pytest.raises(MappingError, match="needs no rule"):
        mapper({"phones": {"from": "cell"}})


def test_a_remark_at_a_number_refuses_and_a_wrong_number_is_not_listed() -> None:
    found = said({"cell": "217-555-0123 do not call", "phones": [{"phone": "217-555-0124 wrong number"}]})
    assert [one.number for one in found.statements["phones"].value] == ["+12175550123"]
    assert found.statements["consent.voice#+12175550123"].value == "denied"
    assert [one.reason for one in found.problems] == ["phone_refused", "phone_wrong"]


def test_placeholders_clear_nothing_and_several_in_one_member_are_read_each() -> None:
    assert not said({"cell": "999-999-9999", "email": "none@none.com"}).statements
    found = said({"cell": "217-555-0123/217-555-0124", "email": "a@example.org;b@example.org"}).statements
    assert [one.number for one in found["phones"].value] == ["+12175550123", "+12175550124"]
    assert found["email"].value == ("a@example.org", "b@example.org")
