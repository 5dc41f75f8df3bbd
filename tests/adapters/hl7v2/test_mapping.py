"""Mapping of HL7 v2 messages to statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Filtered, Payload, Unmappable
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.mapping.rules import MappingError
from store import times
from store.preference import Identifier, PatientMerge, PatientStatements, Phone, Statement
from tests.adapters.hl7v2.messages import RECEIVED, adt, items, refused, segment, settings, stated, statements

SITE = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms", "P": "voice", "E": "email", "L": "mail"}},
    "consent.sms": {"from": "PD1-11.1", "values": {"02": "granted", "03": "granted", "01": "denied"}},
}


def test_it_works() -> None:
    item = stated(
        adt(
            "A08",
            segment("PD1", f11="02^Reminder^HL70215", f12="N"),
            "ZCP|1|DNC|T",
            f5="Example^Pat^Q^^^^L",
            f13="(217)555-0123^PRN^PH~^PRS^CP^^1^217^5550124~^NET^Internet^pat@example.org",
            f14="(217)555-0125",
            f15="eng^English^ISO6392",
            f30="N",
            f33="20261101082900",
        ),
        mapping=SITE,
    )
    assert item.identifiers == (Identifier("GENHOSP", "MR", "MRN10001"),)
    assert item.evidence_id == "MSG00001"
    assert item.locator == "test#1"
    assert item.effective.earliest == datetime(2026, 11, 1, 14, 30, tzinfo=UTC), "MSH-7"
    assert item.problems == ()
    assert item.statements == {
        "phones#PID-13": Statement(
            (
                Phone("+12175550123", "home", "(217)555-0123"),
                Phone("+12175550124", "cell", "+1 217 5550124", None, True),
            ),
            "PID-13",
        ),
        "email#PID-13": Statement(("pat@example.org",), "PID-13"),
        "phones#PID-14": Statement((Phone("+12175550125", "work", "(217)555-0125"),), "PID-14"),
        "email#PID-14": Statement(None, "PID-14"),
        "language": Statement("en", "PID-15"),
        "deceased": Statement(False, "PID-30"),
        "display_name": Statement("Pat Q Example", "PID-5"),
        "restricted": Statement(False, "PD1-12"),
        "do_not_contact": Statement("yes", "ZCP-2"),
        "preferred_method": Statement("sms", "ZCP-3"),
        "consent.sms": Statement("granted", "PD1-11.1"),
    }


@pytest.mark.parametrize("event", ["A01", "A02", "A03", "A04", "A05", "A08", "A14", "A28", "A31"])
def test_an_update_states_patient_data(event: str) -> None:
    assert isinstance(items(adt(event))[0], PatientStatements)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ADT^A24", "records_linked"),
        ("ADT^A45", "visit_move"),
        ("ADT^A35", "account_merge"),
        ("ORU^R01", "message_type_not_used"),
        ("VXU^V04^VXU_V04", "message_type_not_used"),
        ("ACK^A08^ACK", "acknowledgement"),
        ("ACK", "acknowledgement"),
    ],
)
def test_irrelevant_messages_are_filtered_with_a_reason(kind: str, reason: str) -> None:
    body = adt(header=f"MSH|^~\\&|A|B|C|D|20261101083000||{kind}|M1|P|2.5")
    assert items(body) == [Filtered(reason, "test#1")]


def test_the_event_of_an_old_message_is_taken_from_evn() -> None:
    assert isinstance(items(adt("A04", header="MSH|^~\\&|A|B|C|D|20261101083000||ADT|M1|P|2.1"))[0], PatientStatements)


@pytest.mark.parametrize(
    ("body", "reason", "path"),
    [
        (b"hello", "not_hl7", ""),
        (b"", "not_hl7", ""),
        (b"MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.5\r", "patient_segment_missing", "PID"),
        (b"MSH|^~\\&|A|B|C|D|2026|||1|P|2.5\rPID|||1\r", "message_type_missing", "MSH-9"),
        (b"MSH|^~\\&|A|B|C|D|2026||ADT|1|P|2.5\rPID|||1\r", "event_missing", "MSH-9.2"),
        (adt("A08", "PID|||2"), "several_patients", "PID"),
        (adt(f3=""), "patient_id_missing", "PID-3"),
        (adt(f3='""'), "patient_id_missing", "PID-3"),
        (adt(f3="1^^^OTHER^MR"), "patient_id_missing", "PID-3"),
        (adt(f3="1^^^GENHOSP^PI"), "patient_id_missing", "PID-3"),
        (adt(f3="1^^^GENHOSP^AN"), "patient_id_missing", "PID-3"),
    ],
)
def test_unusable_messages_are_rejected_with_a_reason_and_kept(body: bytes, reason: str, path: str) -> None:
    item = refused(body)
    assert (item.reason, item.path, item.payload, item.locator) == (reason, path, body, "test#1")
    assert item.detail
    assert "MRN10001" not in item.detail


def test_a_message_without_a_control_id_is_identified_by_its_content() -> None:
    header = "MSH|^~\\&|A|B|C|D|20261101083000||ADT^A08||P|2.5"
    first, second = (stated(adt(header=header, f13=phone)).evidence_id for phone in ("(217)555-0123", "(217)555-0124"))
    assert first.startswith("sha256:")
    assert first != second


def test_a_batch_in_one_payload_is_read_message_by_message() -> None:
    found = items(b"BHS|^~\\&|A\r" + adt() + adt("A24") + b"BTS|2\r")
    assert [type(one) for one in found] == [PatientStatements, Filtered]
    assert [one.locator for one in found] == ["test#1.1", "test#1.2"]


def test_an_empty_batch_is_filtered() -> None:
    assert items(b"FHS|^~\\&|A\rBHS|^~\\&|A\rBTS|0\rFTS|1\r") == [Filtered("batch_empty", "test#1")]


# Phones and e-mail: absent, deleted, restricted


def test_an_empty_field_states_nothing() -> None:
    assert statements(adt()) == {}


def test_a_deleted_field_clears_its_slots_only() -> None:
    found = statements(adt(f13='""', f14="(217)555-0125"))
    assert found["phones#PID-13"] == Statement(None, "PID-13")
    assert found["email#PID-13"] == Statement(None, "PID-13")
    assert found["phones#PID-14"].value


def test_a_list_without_an_address_clears_the_addresses() -> None:
    found = statements(adt(f13="(217)555-0123^PRN^PH"))
    assert found["email#PID-13"] == Statement(None, "PID-13")


@pytest.mark.parametrize("field", ["^PRN^PH", "~", "~^PRN^PH~", '^""^PH'])
def test_codes_without_a_number_state_nothing(field: str) -> None:
    assert statements(adt(f13=field)) == {}


def test_a_number_deleted_inside_its_components_is_cleared() -> None:
    assert statements(adt(f13='^PRN^PH^""'))["phones#PID-13"] == Statement(None, "PID-13")


@pytest.mark.parametrize("field", ["", '""', '^PRN^PH^""'])
def test_a_protected_record_without_phones_states_no_phones(field: str) -> None:
    item = stated(adt("A08", segment("PD1", f12="Y"), f13=field))
    assert item.restricted
    assert item.statements == {"restricted": Statement(True, "PD1-12")}


def test_a_protected_record_can_refuse() -> None:
    item = stated(adt("A08", segment("PD1", f12="Y"), "ZCP|1|DNC"), mapping=SITE)
    assert item.restricted
    assert item.statements["do_not_contact"].value == "yes"


def test_an_unusable_phone_is_a_problem_and_the_rest_is_kept() -> None:
    item = stated(adt(f13="1-800-Dentist^PRN^PH~(217)555-0123^PRN^PH~^NET^Internet^nowhere"))
    assert [phone.number for phone in item.statements["phones#PID-13"].value] == ["+12175550123"]
    assert [(one.reason, one.path) for one in item.problems] == [("phone_unusable", "PID-13[1]"), ("email_unusable", "PID-13[3]")]
    assert "800" not in "".join(one.detail for one in item.problems)


def test_the_lowest_preference_order_names_the_preferred_phone() -> None:
    ranked = "^PRN^PH^^1^217^5550123^^^^^^^^^^^3~^PRS^CP^^1^217^5550124^^^^^^^^^^^1"
    found = statements(adt(f40=ranked))
    assert found["preferred_phone"] == Statement("+12175550124", "PID-40[2].18")


def test_two_phones_with_the_top_order_leave_the_preference_open() -> None:
    ranked = "^PRN^PH^^1^217^5550123^^^^^^^^^^^1~^PRS^CP^^1^217^5550124^^^^^^^^^^^1"
    assert "preferred_phone" not in statements(adt(f40=ranked))


def test_the_order_of_phones_alone_is_not_a_preference() -> None:
    assert "preferred_phone" not in statements(adt(f13="(217)555-0123^PRN^PH~(217)555-0124^PRS^CP"))


# Language, death, name, protection


@pytest.mark.parametrize(
    ("field", "value"),
    [("spa", "es"), ("^Spanish", "es"), ("99^Spanish^LOCAL", "es"), ("X1^^LOCAL^vie^^ISO639", "vi"), ('""', None)],
)
def test_language_is_read_from_its_code_or_its_text(field: str, value: str | None) -> None:
    assert statements(adt(f15=field))["language"] == Statement(value, "PID-15")


def test_a_language_that_a_rule_reads_is_no_problem_of_the_standard_field() -> None:
    mapping = {"language": {"from": "PID-15", "values": {"17": "ksw"}}}
    found = stated(adt(f15="17"), mapping=mapping)
    assert (found.statements["language"], found.problems) == (Statement("ksw", "PID-15"), ())
    assert [one.reason for one in stated(adt(f15="18"), mapping=mapping).problems] == ["language_unusable", "code_unmapped"]


def test_a_declined_language_states_nothing_and_an_unknown_code_is_a_problem() -> None:
    assert stated(adt(f15="UNK^Declined")).problems == ()
    assert [one.reason for one in stated(adt(f15="17")).problems] == ["language_unusable"]


@pytest.mark.parametrize(
    ("when", "indicator", "expected"),
    [
        ("20260401", "", Statement(True, "PID-29")),
        ("20260401", "N", Statement(True, "PID-29")),
        ("", "Y", Statement(True, "PID-30")),
        ("", "N", Statement(False, "PID-30")),
        ("00000000", "N", Statement(False, "PID-30")),
        ("00000000", "", None),
        ('""', "N", Statement(False, "PID-30")),
        ('""', "", Statement(None, "PID-29")),
        ("", '""', Statement(None, "PID-30")),
        ("", "U", None),
        ("", "", None),
    ],
)
def test_death_is_a_date_or_an_indicator(when: str, indicator: str, expected: Statement | None) -> None:
    assert statements(adt(f29=when, f30=indicator)).get("deceased") == expected


def test_an_invalid_date_of_death_is_a_problem() -> None:
    assert [one.reason for one in stated(adt(f29="soon")).problems] == ["death_unusable"]


def test_the_legal_name_is_read_unless_names_are_not_kept() -> None:
    body = adt(f5="Nick^Pat^^^^^N~O\\T\\Example&van^Pat^Q^Jr^^^L")
    assert statements(body)["display_name"] == Statement("Pat Q O&Example Jr", "PID-5")
    assert statements(body, keep_names=False) == {}
    assert statements(adt(f5='""'))["display_name"] == Statement(None, "PID-5")


# Time of the statement


def times_of(pid_33: str = "", evn_2: str = "", msh_7: str = "", **changes: Any) -> PatientStatements:
    header = f"MSH|^~\\&|A|B|C|D|{msh_7}||ADT^A08|M1|P|2.5"
    return stated("\r".join([header, f"EVN|A08|{evn_2}", segment("PID", f3="1^^^GENHOSP^MR", f33=pid_33)]).encode(), **changes)


def span(start: datetime, width: timedelta) -> times.Time:
    return times.Time(start, start + width - times.STEP)


SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3600, 86_400))


@pytest.mark.parametrize(
    ("pid_33", "evn_2", "msh_7", "expected"),
    [
        ("20251101082900", "20261101082800", "20261101082700", span(datetime(2026, 11, 1, 14, 28, tzinfo=UTC), SECOND)),
        ("", "20261101082800", "20261101082700", span(datetime(2026, 11, 1, 14, 28, tzinfo=UTC), SECOND)),
        ("", "", "20261101082700", span(datetime(2026, 11, 1, 14, 27, tzinfo=UTC), SECOND)),
        ("", '""', "202607010827", span(datetime(2026, 7, 1, 13, 27, tzinfo=UTC), MINUTE)),
        ("", "", "2026110108", span(datetime(2026, 11, 1, 14, 0, tzinfo=UTC), HOUR)),
        ("", "", "20261101", span(datetime(2026, 11, 1, 5, 0, tzinfo=UTC), DAY + HOUR)),
        ("", "", "20260601", span(datetime(2026, 6, 1, 5, 0, tzinfo=UTC), DAY)),
        ("", "", "202606", span(datetime(2026, 6, 1, 5, 0, tzinfo=UTC), 30 * DAY)),
        ("", "", "2025", span(datetime(2025, 1, 1, 6, 0, tzinfo=UTC), 365 * DAY)),
        ("", "", "20261101082700.125-0500", span(datetime(2026, 11, 1, 13, 27, 0, 125_000, tzinfo=UTC), timedelta(milliseconds=1))),
        ("", "", "20261101082700+0000^S", span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND)),
        ("", "20261101082700", "20261101082700+0000", span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND)),
        ("", "20261101002700-0800", "20261101082700+0000", span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND)),
        ("", "", "2026-11-01T08:27:00Z", span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND)),
        ("", "20261101013000", "", span(datetime(2026, 11, 1, 6, 30, tzinfo=UTC), HOUR + SECOND)),
        ("20261101082900", "", "", times.unknown(RECEIVED)),
        ("", "", "", times.unknown(RECEIVED)),
    ],
)
def test_the_time_is_evn_2_otherwise_msh_7_with_its_precision(pid_33: str, evn_2: str, msh_7: str, expected: times.Time) -> None:
    item = times_of(pid_33, evn_2, msh_7)
    assert (item.effective, item.problems) == (expected, ())


@pytest.mark.parametrize("offset", ["+0000", "+00:00", "+00", "Z", "z", " Z", "-0000"])
@pytest.mark.parametrize("sent", ["20261101090000", "2026110109", "20261101090000.5", "2026-11-01T09:00:00", "2026-11-01 09:00"])
def test_a_time_without_an_offset_uses_the_offset_of_msh_7(sent: str, offset: str) -> None:
    item = times_of("", "20261101082700", sent + offset)
    assert (item.effective, item.problems) == (span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND), ())


@pytest.mark.parametrize(
    "sent", ["20261101090000+2500", "20261101090000+2400", "20261101090000-9999", "20261101090000+0060", "20261101090000+1500",
             "2026-11-01T09:00:00+00:60", "2026-11-01T09:00:00+25:00", "20261301090000", "yesterday", "2026-11-01T09:00:00 CST"],
)  # fmt: skip
def test_an_unreadable_msh_7_leaves_the_offset_of_other_times_open(sent: str) -> None:
    item = times_of("", "20261101082700", sent)
    assert item.effective == times.Time(
        datetime(2026, 10, 31, 18, 27, tzinfo=UTC), datetime(2026, 11, 1, 20, 27, tzinfo=UTC) + SECOND - times.STEP
    )
    assert [(one.reason, one.path) for one in item.problems] == [("time_unreadable", "MSH-7")]
    item = times_of("", "20261101082700-0500", sent)
    assert item.effective == span(datetime(2026, 11, 1, 13, 27, tzinfo=UTC), SECOND)
    assert [(one.reason, one.path) for one in item.problems] == [("time_unreadable", "MSH-7")]


@pytest.mark.parametrize("text", ["20261101082700Z", "20261101082700+00:00", "20261101082700+00"])
def test_offsets_are_read_in_every_form(text: str) -> None:
    assert times_of("", text, "20261101082700").effective == span(datetime(2026, 11, 1, 8, 27, tzinfo=UTC), SECOND)


@pytest.mark.parametrize(("updated", "problems"), [("yesterday", ["PID-33"]), ("", []), ("00000000000000", []), ('""', [])])
def test_an_unreadable_last_update_changes_nothing_and_is_reported(updated: str, problems: list[str]) -> None:
    item = times_of(updated, "20261101082800", "20261101082700")
    assert (item.effective, item.version) == (span(datetime(2026, 11, 1, 14, 28, tzinfo=UTC), SECOND), 0)
    assert [one.path for one in item.problems if one.reason == "time_unreadable"] == problems


@pytest.mark.parametrize(
    ("evn_2", "msh_7", "until"),
    [
        ("", "yesterday", RECEIVED),
        ("20260601110000000", "", RECEIVED),
        ("20261399999999", "20261101082700", datetime(2026, 11, 1, 14, 27, 0, 999_999, UTC)),
    ],
)
def test_an_unreadable_time_is_a_problem_and_is_bounded_by_msh_7(evn_2: str, msh_7: str, until: datetime) -> None:
    item = times_of("", evn_2, msh_7)
    assert item.effective == times.unknown(until)
    assert [one.reason for one in item.problems] == ["time_unreadable"]


@pytest.mark.parametrize(
    ("pid_33", "version"), [("20261101082900", 1793543340), ("202611010829", 0), ("20261101", 0), ("yesterday", 0), ("", 0)]
)
def test_the_last_update_of_the_record_only_breaks_ties(pid_33: str, version: int) -> None:
    assert times_of(pid_33, "20261101082800").version == version


def test_a_source_may_take_its_times_from_elsewhere() -> None:
    item = times_of("20251101082900", "20261101082800", "20261101082700", options={"time_from": ["PID-33", "MSH-7"]})
    assert item.effective.earliest == datetime(2025, 11, 1, 13, 29, tzinfo=UTC)
    item = times_of("", "20261101082800", "20261101082700", options={"time_from": ["PID-33", "MSH-7"]})
    assert item.effective.earliest == datetime(2026, 11, 1, 14, 27, tzinfo=UTC)


def test_without_a_time_a_file_is_bounded_by_its_modification_time() -> None:
    written = datetime(2026, 10, 1, tzinfo=UTC)
    body = adt(header="MSH|^~\\&|A|B|C|D|||ADT^A08|M1|P|2.5")
    found = Hl7Mapper(settings()).read(Payload(b"BHS|^~\\&|A\r" + body + body, "x", RECEIVED, written))
    assert [item.effective for item in found if isinstance(item, PatientStatements)] == [times.unknown(written)] * 2


def test_a_time_in_the_future_is_a_problem() -> None:
    item = times_of("", "20261101093000")
    assert [one.reason for one in item.problems] == ["time_in_future"]
    assert times_of("", "20261101091000").problems == (), "clocks differ by minutes"


# The site's own rules


def test_absent_codes_state_nothing_and_deleted_ones_clear() -> None:
    assert statements(adt("A08", "ZCP|1||"), mapping=SITE) == {}
    assert statements(adt("A08", 'ZCP|1|""'), mapping=SITE) == {"do_not_contact": Statement(None, "ZCP-2")}


def test_an_unmapped_code_is_a_problem_of_its_attribute_and_is_not_quoted() -> None:
    record = stated(adt("A08", "ZCP|1|MAYBE"), mapping=SITE)
    (item,) = record.problems
    assert "do_not_contact" not in record.statements
    assert (item.reason, item.path, item.attribute) == ("code_unmapped", "ZCP-2", "do_not_contact")
    assert "MAYBE" not in item.detail
    assert "do_not_contact" in item.detail


def test_a_refusal_in_a_second_repetition_counts() -> None:
    found = statements(adt("A08", "ZCP|1|OK~DNC"), mapping=SITE)
    assert found["do_not_contact"] == Statement("yes", "ZCP-2[2]")


def test_a_rule_of_the_site_replaces_the_standard_reading() -> None:
    rules = {"language": {"from": "ZCP-4"}, "deceased": {"from": "ZCP-5", "values": {"D": "yes", "L": "no"}}}
    said = statements(adt("A08", "ZCP|1|DNC||spa|L", f15="eng", f30="Y"), mapping=SITE | rules)
    assert said == {
        "do_not_contact": Statement("yes", "ZCP-2"),
        "language": Statement("es", "ZCP-4"),
        "deceased": Statement(False, "ZCP-5"),
    }


def test_phones_and_addresses_from_the_site_replace_all_standard_slots() -> None:
    rules = {"phones": {"from": "ZCP-6[*]"}, "email": {"from": "ZCP-7"}}
    item = stated(adt("A08", "ZCP|1|||||217-555-0101~x~217-555-0102|pat@example.org", f13="(217)555-0199"), mapping=rules)
    assert [phone.number for phone in item.statements["phones"].value] == ["+12175550101", "+12175550102"]
    assert item.statements["email"] == Statement(("pat@example.org",), "ZCP-7")
    assert set(item.statements) == {"phones", "email"}
    assert [(one.reason, one.path) for one in item.problems] == [("phone_unusable", "ZCP-6[2]")]


def test_a_slot_of_the_site_is_added_to_the_standard_ones() -> None:
    found = statements(adt("A08", "ZCP|1|||||217-555-0101", f13="(217)555-0199"), mapping={"phones#cell": {"from": "ZCP-6"}})
    assert found["phones#cell"].value == (Phone("+12175550101", "cell", "217-555-0101", None, True),)
    assert found["phones#PID-13"].value


def test_a_preferred_phone_may_be_a_kind() -> None:
    rules = {"preferred_phone": {"from": "ZCP-8", "values": {"C": "cell", "H": "home"}}}
    phones = "(217)555-0123^PRN^PH~(217)555-0124^PRS^CP"
    body = adt("A08", segment("ZCP", f8="C"), f13=phones)
    assert statements(body, mapping=rules)["preferred_phone"] == Statement("+12175550124", "ZCP-8")
    item = stated(adt("A08", segment("ZCP", f8="C"), f13="(217)555-0123^PRN^PH"), mapping=rules)
    assert [one.reason for one in item.problems] == ["preferred_phone_unusable"]


def test_absence_may_be_made_to_reject() -> None:
    rules = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes"}, "on_absent": "reject"}}
    assert [(one.reason, one.attribute) for one in stated(adt(), mapping=rules).problems] == [("value_absent", "do_not_contact")]


@pytest.mark.parametrize(
    ("segment", "fields", "attribute", "expected"),
    [
        ("", {"f30": "Y"}, "deceased", True),
        ("ZPD||", {"f30": "Y"}, "deceased", True),
        ("ZPD||??", {"f30": "Y"}, "deceased", True),
        ("ZPD||SILENT", {"f30": "Y"}, "deceased", True),
        ("ZPD||ALIVE", {"f30": "Y"}, "deceased", False),
        ("", {"f30": "N"}, "deceased", None),
        ("PD1||||||||||||Y", {}, "restricted", True),
        ("ZPD||ALIVE\rPD1||||||||||||Y", {}, "restricted", False),
    ],
)
def test_a_refusal_in_a_standard_field_counts_unless_the_rule_states_something_else(
    segment: str, fields: dict[str, str], attribute: str, expected: object
) -> None:
    rule = {"from": "ZPD-2", "values": {"DEAD": "true", "ALIVE": "false", "SILENT": "no_statement"}, "on_absent": "no_statement"}
    found = statements(adt("A08", *([segment] if segment else []), **fields), mapping={attribute: rule})
    assert (found[attribute].value if attribute in found else None) == expected


def test_an_invalid_rule_is_named_when_the_mapper_is_built() -> None:
    with pytest.raises(MappingError, match="ZCP2"):
        Hl7Mapper(settings(mapping={"do_not_contact": {"from": "ZCP2"}}))
    with pytest.raises(ValueError, match="charset"):
        Hl7Mapper(settings(options={"charset": "klingon"}))


# Explain


def test_explain_shows_stated_unused_and_unmapped_values() -> None:
    rules = {**SITE, "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes"}, "on_unknown": "no_statement"}}
    body = adt("A08", "ZCP|1|HM|T|extra", f7="19700101", f15="eng", f13="(217)555-0123")
    explained = Hl7Mapper(settings(mapping=rules)).explain(Payload(body, "x", RECEIVED))
    assert ("identifier", "GENHOSP|MR|MRN10001", "PID-3") in explained.stated
    assert ("preferred_method", "sms", "ZCP-3") in explained.stated
    assert explained.unused == [("ZCP-1", "1"), ("ZCP-4", "extra")]
    assert explained.unmapped == [("ZCP-2", "HM")]


@pytest.mark.parametrize(
    ("fields", "segment", "path", "unused"),
    [
        ({"f13": "(217)555-0123^PRN^PH^^1^217^5550123^99^^^x"}, "", "", [("PID-13.8", "99"), ("PID-13.11", "x")]),
        ({"f13": "2175550123^PRN^PH^^^^^99~2175550124^PRN^PH^^^^^98"}, "", "", [("PID-13.8", "99~98")]),
        ({"f13": "2175550123^PRN^PH^^^^^99"}, "", "PID-13.8", []),
        ({"f13": "2175550123^PRN^PH^^^^^99~2175550124^PRN^PH^^^^^98"}, "", "PID-13[2].8", [("PID-13[1].8", "99")]),
        ({"f3": "MRN10001^7^M10^GENHOSP^MR^FAC"}, "", "", [("PID-3.2", "7"), ("PID-3.3", "M10"), ("PID-3.6", "FAC")]),
        ({"f5": "EVERYWOMAN^EVE^E^JR^DR^PHD^L"}, "", "", [("PID-5.5", "DR"), ("PID-5.6", "PHD")]),
        ({"f15": "en^English^ISO639~es^Spanish"}, "", "", [("PID-15[2]", "es^Spanish")]),
        ({"f30": "N^No^HL70136"}, "", "", [("PID-30.3", "HL70136")]),
        ({"f29": "", "f33": "20261101^D"}, "", "", [("PID-33.2", "D")]),
        ({}, "ZCP||DNC^Do not contact^LOCAL", "ZCP-2", [("ZCP-2.2", "Do not contact"), ("ZCP-2.3", "LOCAL")]),
        ({}, "ZCP||^Do not contact", "ZCP-2", []),
        ({}, "ZCP||DNC^Do not contact^x^^^^^^^^^y", ["ZCP-2.1", "ZCP-2.12"], [("ZCP-2.2", "Do not contact"), ("ZCP-2.3", "x")]),
        ({}, "ZCP||A&B^C", "ZCP-2.1.2", [("ZCP-2.2", "C")]),
        ({}, "NK1|||||5550001\rNK1|||||5550002^x", "NK1[2]-5", [("NK1[1]-5", "5550001"), ("NK1[2]-5.2", "x")]),
        ({}, f"ZCP||DNC^{'x' * 200}", "ZCP-2", [("ZCP-2.2", "x" * 119 + "…")]),
    ],
)
def test_explain_lists_components_that_nothing_reads(
    fields: dict[str, str], segment: str, path: str | list[str], unused: list[tuple[str, str]]
) -> None:
    mapping = {"do_not_contact": {"from": path, "values": {"DNC": "yes"}}} if path else {}
    explained = Hl7Mapper(settings(mapping=mapping)).explain(Payload(adt("A08", *([segment] if segment else []), **fields), "x", RECEIVED))
    assert explained.unused == unused


def test_explain_of_what_cannot_be_read_is_the_refusal() -> None:
    explained = Hl7Mapper(settings()).explain(Payload(b"hello", "x", RECEIVED))
    assert [type(one) for one in explained.items] == [Unmappable]
    assert not explained.stated


def test_explain_of_a_merge_names_both_sides() -> None:
    body = adt("A40", "MRG|MRN2^^^GENHOSP^MR")
    explained = Hl7Mapper(settings()).explain(Payload(body, "x", RECEIVED))
    assert [type(one) for one in explained.items] == [PatientMerge]
    assert ("merged", "GENHOSP|MR|MRN2", "MRG-1") in explained.stated


def test_a_protected_record_clears_no_refusal() -> None:
    assert "do_not_contact" not in statements(adt("A08", segment("PD1", f12="Y"), 'ZCP|1|""'), mapping=SITE)


@pytest.mark.parametrize("kind", ["adt^a08", "ADT_A08"])
def test_a_message_type_in_another_spelling_is_read(kind: str) -> None:
    body = adt("A08", "ZCP|1|DNC").replace(b"ADT^A08", kind.encode())
    assert statements(body, mapping=SITE)["do_not_contact"].value == "yes"


def test_an_unmapped_code_affects_only_its_attribute() -> None:
    item = stated(adt("A08", "ZCP|1|DNC|FAX"), mapping=SITE)
    assert item.statements["do_not_contact"].value == "yes"
    assert "preferred_method" not in item.statements
    assert [(one.reason, one.path, one.attribute) for one in item.problems] == [("code_unmapped", "ZCP-3", "preferred_method")]


def test_a_denial_at_an_unreadable_number_is_a_problem_of_the_consent() -> None:
    rule = {"consent.sms#*": {"from": "PID-13.9", "values": {"NO": "denied", "YES": "granted"}}}
    item = stated(adt("A08", f13="call her^PRN^CP^^^^^^NO~(217)555-0123^PRN^CP^^^^^^YES"), mapping=rule)
    assert "consent.sms" in {one.attribute for one in item.problems}
