"""Lines that are not segments are never dropped silently, and refusals in them are applied."""

from __future__ import annotations

import pytest

from adapters.base import Item, Unmappable
from store.preference import PatientMerge, PatientStatements, Statement
from tests.adapters.hl7v2.messages import adt, items, stated, statements

SITE = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms", "X": "none"}},
}
LINE = "line_not_a_segment"


def read_item(body: bytes) -> PatientStatements:
    return stated(body, mapping=SITE)


def test_a_refusal_after_a_carriage_return_in_a_segment_is_applied_and_reported() -> None:
    found = read_item(adt("A08", "ZCP|1\r|DNC"))
    assert found.statements["do_not_contact"] == Statement("yes", "ZCP-2")
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, "")]


def test_a_permission_after_it_is_not_trusted_and_its_attribute_is_unreadable() -> None:
    found = read_item(adt("A08", "ZCP|1\r|OK"))
    assert "do_not_contact" not in found.statements
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, ""), (LINE, "do_not_contact")]


@pytest.mark.parametrize("at", range(1, len("ZCP|1|DNC|T")))
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_refusal_counts_wherever_its_segment_is_split(at: int, end: str) -> None:
    segment = "ZCP|1|DNC|T"
    body = adt("A08", segment[:at] + "\r" + segment[at:]).replace(b"\r", end.encode())
    assert read_item(body).statements["do_not_contact"].value == "yes"


@pytest.mark.parametrize("at", range(1, len("PID|1||MRN10001^^^GENHOSP^MR||DOE^JAN||19700101|||||||||||||||||||||||Y")))
def test_a_split_pid_gives_the_right_patient_or_is_rejected(at: int) -> None:
    segment = "PID|1||MRN10001^^^GENHOSP^MR||DOE^JAN||19700101|||||||||||||||||||||||Y"
    body = adt("A08", "ZCP|1|DNC").decode().split("\r")
    body[2] = segment[:at] + "\r" + segment[at:]
    for item in items("\r".join(body).encode(), mapping=SITE):
        assert isinstance(item, PatientStatements)
        assert item.identifiers[0].value == "MRN10001"
        assert (item.statements["deceased"].value, item.statements["do_not_contact"].value) == (True, "yes")


def test_statements_of_both_readings_are_stated() -> None:
    found = read_item(adt("A08", "ZCP|1|OK|T", "NTE|1||a note\rthat goes on", f15="eng"))
    assert {name: one.value for name, one in found.statements.items()} == {
        "language": "en",
        "do_not_contact": "no",
        "preferred_method": "sms",
    }
    assert [one.reason for one in found.problems] == [LINE]


def test_a_non_standard_segment_is_local_to_the_site() -> None:
    found = read_item(adt("A08", "ZCP|1|OK|T", "QQQ|1|DNC"))
    assert (found.statements["do_not_contact"].value, found.problems) == ("no", ())


def test_a_refusal_that_looks_like_a_segment_is_not_hidden() -> None:
    found = read_item(adt("A08", "ZCP|1|\rDNC|T"))
    assert found.statements["do_not_contact"].value == "yes"
    assert [one.reason for one in found.problems] == [LINE]


@pytest.mark.parametrize("name", ["zcp", "Zcp", "ZcP"])
def test_segments_in_lower_case_are_read(name: str) -> None:
    body = adt("A08", f"{name}|1|DNC|T").replace(b"PID|", b"pid|").replace(b"EVN|", b"evn|")
    found = read_item(body)
    assert (found.statements["do_not_contact"], found.problems) == (Statement("yes", "ZCP-2"), ())


def test_a_blank_line_does_not_cause_a_second_reading() -> None:
    assert read_item(adt("A08", "", "  ", "ZCP|1|OK")).problems == ()


def test_garbage_after_the_message_is_reported_and_affects_nothing() -> None:
    found = read_item(adt("A08", "ZCP|1|OK|T", "PV1|1", "%%EOF"))
    assert {name: one.value for name, one in found.statements.items()} == {"do_not_contact": "no", "preferred_method": "sms"}
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, "")]


def test_a_split_identifier_does_not_create_a_patient() -> None:
    body = adt("A08", "ZCP|1|DNC|T", f3="MRN100\r01^^^GENHOSP^MR")
    found = stated(body, mapping=SITE)
    assert (found.identifiers[0].value, found.statements["do_not_contact"].value) == ("MRN10001", "yes")
    found = stated(body.replace(b"DNC", b"OK"), mapping=SITE)
    assert (found.statements, {one.attribute for one in found.problems}) == ({}, {"", "do_not_contact", "preferred_method"})


def test_a_merge_is_applied_only_if_its_identifiers_are_complete() -> None:
    mrg = "MRG|MRN10002^^^GENHOSP^MR"
    done: list[Item] = items(adt("A40", mrg, "ZCP|1\r|DNC"), mapping=SITE)
    assert isinstance(done[0], PatientMerge)
    assert isinstance(done[1], PatientStatements)
    assert done[1].statements["do_not_contact"].value == "yes"
    found = items(adt("A40", mrg, "a note"), mapping=SITE)
    assert [type(one) for one in found] in ([Unmappable], [Unmappable, PatientStatements])
    found = items(adt("A40", "MRG|MRN1000\r2^^^GENHOSP^MR", "ZCP|1|DNC"), mapping=SITE)
    assert isinstance(found[0], Unmappable)
    assert isinstance(found[1], PatientStatements)
    assert found[1].statements["do_not_contact"].value == "yes"


def test_a_line_that_is_not_a_segment_affects_only_its_message() -> None:
    one = adt("A08", "ZCP|1\r|DNC")
    two = adt("A08", "ZCP|1|OK", f3="MRN10002^^^GENHOSP^MR")
    first, second = items(b"BHS|^~\\&|A\r" + one + two + b"BTS|2\r", mapping=SITE)
    assert isinstance(first, PatientStatements)
    assert isinstance(second, PatientStatements)
    assert first.statements["do_not_contact"].value == "yes"
    assert (second.statements["do_not_contact"].value, second.problems) == ("no", ())


def test_a_permission_in_a_message_with_a_split_header_is_not_trusted() -> None:
    body = adt("A08", "ZCP|1|OK").replace(b"|SYNC|", b"\r|SYNC|")
    assert "do_not_contact" not in statements(body, mapping=SITE)
    assert statements(body.replace(b"OK", b"DNC"), mapping=SITE)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("line", ["XQA|1||any", "a note"])
def test_a_message_unusable_in_both_readings_gives_its_reason(line: str) -> None:
    (found,) = items(f"MSH|^~\\&|EMR\r{line}\rXQB|1|\rXQA|2|\r".encode(), mapping=SITE)
    assert isinstance(found, Unmappable)
    assert found.reason == "message_type_missing"
    assert "a line of the message is not a segment" in found.detail
