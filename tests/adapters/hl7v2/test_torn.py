"""Lines that are no segments: never dropped in silence, and what refuses in them is applied."""

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


def said(body: bytes) -> PatientStatements:
    return stated(body, mapping=SITE)


def test_a_refusal_behind_a_carriage_return_inside_of_a_segment_is_applied_and_reported() -> None:
    found = said(adt("A08", "ZCP|1\r|DNC"))
    assert found.statements["do_not_contact"] == Statement("yes", "ZCP-2")
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, "")]


def test_a_permission_behind_it_is_not_trusted_and_its_attribute_counts_as_unreadable() -> None:
    found = said(adt("A08", "ZCP|1\r|OK"))
    assert "do_not_contact" not in found.statements
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, ""), (LINE, "do_not_contact")]


@pytest.mark.parametrize("at", range(1, len("ZCP|1|DNC|T")))
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_wherever_a_segment_is_cut_its_refusal_counts(at: int, end: str) -> None:
    segment = "ZCP|1|DNC|T"
    body = adt("A08", segment[:at] + "\r" + segment[at:]).replace(b"\r", end.encode())
    assert said(body).statements["do_not_contact"].value == "yes"


@pytest.mark.parametrize("at", range(1, len("PID|1||MRN10001^^^GENHOSP^MR||DOE^JAN||19700101|||||||||||||||||||||||Y")))
def test_wherever_pid_is_cut_the_right_patient_is_known_to_have_died_or_the_message_is_refused(at: int) -> None:
    segment = "PID|1||MRN10001^^^GENHOSP^MR||DOE^JAN||19700101|||||||||||||||||||||||Y"
    body = adt("A08", "ZCP|1|DNC").decode().split("\r")
    body[2] = segment[:at] + "\r" + segment[at:]
    for item in items("\r".join(body).encode(), mapping=SITE):
        assert isinstance(item, PatientStatements)
        assert item.identifiers[0].value == "MRN10001"
        assert (item.statements["deceased"].value, item.statements["do_not_contact"].value) == (True, "yes")


def test_what_both_readings_state_is_stated() -> None:
    found = said(adt("A08", "ZCP|1|OK|T", "NTE|1||a note\rthat goes on", f15="eng"))
    assert {name: one.value for name, one in found.statements.items()} == {
        "language": "en",
        "do_not_contact": "no",
        "preferred_method": "sms",
    }
    assert [one.reason for one in found.problems] == [LINE]


def test_a_segment_that_no_standard_knows_is_the_sites_own() -> None:
    found = said(adt("A08", "ZCP|1|OK|T", "QQQ|1|DNC"))
    assert (found.statements["do_not_contact"].value, found.problems) == ("no", ())


def test_a_cut_that_makes_a_refusal_look_like_a_segment_does_not_hide_it() -> None:
    found = said(adt("A08", "ZCP|1|\rDNC|T"))
    assert found.statements["do_not_contact"].value == "yes"
    assert [one.reason for one in found.problems] == [LINE]


@pytest.mark.parametrize("name", ["zcp", "Zcp", "ZcP"])
def test_segments_in_lower_case_are_read(name: str) -> None:
    body = adt("A08", f"{name}|1|DNC|T").replace(b"PID|", b"pid|").replace(b"EVN|", b"evn|")
    found = said(body)
    assert (found.statements["do_not_contact"], found.problems) == (Statement("yes", "ZCP-2"), ())


def test_a_whole_message_is_not_read_twice_for_a_blank_line() -> None:
    assert said(adt("A08", "", "  ", "ZCP|1|OK")).problems == ()


def test_garbage_behind_the_message_is_reported_and_takes_nothing_with_it() -> None:
    found = said(adt("A08", "ZCP|1|OK|T", "PV1|1", "%%EOF"))
    assert {name: one.value for name, one in found.statements.items()} == {"do_not_contact": "no", "preferred_method": "sms"}
    assert [(one.reason, one.attribute) for one in found.problems] == [(LINE, "")]


def test_another_patient_is_not_made_of_half_an_identifier() -> None:
    body = adt("A08", "ZCP|1|DNC|T", f3="MRN100\r01^^^GENHOSP^MR")
    found = stated(body, mapping=SITE)
    assert (found.identifiers[0].value, found.statements["do_not_contact"].value) == ("MRN10001", "yes")
    found = stated(body.replace(b"DNC", b"OK"), mapping=SITE)
    assert (found.statements, {one.attribute for one in found.problems}) == ({}, {"", "do_not_contact", "preferred_method"})


def test_a_merge_is_done_when_its_identifiers_are_whole_and_else_refused() -> None:
    mrg = "MRG|MRN10002^^^GENHOSP^MR"
    done: list[Item] = items(adt("A40", mrg, "ZCP|1\r|DNC"), mapping=SITE)
    assert isinstance(done[0], PatientMerge)
    assert isinstance(done[1], PatientStatements)
    assert done[1].statements["do_not_contact"].value == "yes"
    told = items(adt("A40", mrg, "a note"), mapping=SITE)
    assert [type(one) for one in told] in ([Unmappable], [Unmappable, PatientStatements])
    told = items(adt("A40", "MRG|MRN1000\r2^^^GENHOSP^MR", "ZCP|1|DNC"), mapping=SITE)
    assert isinstance(told[0], Unmappable)
    assert isinstance(told[1], PatientStatements)
    assert told[1].statements["do_not_contact"].value == "yes"


def test_a_line_that_is_no_segment_in_a_batch_concerns_its_message_only() -> None:
    one = adt("A08", "ZCP|1\r|DNC")
    two = adt("A08", "ZCP|1|OK", f3="MRN10002^^^GENHOSP^MR")
    first, second = items(b"BHS|^~\\&|A\r" + one + two + b"BTS|2\r", mapping=SITE)
    assert isinstance(first, PatientStatements)
    assert isinstance(second, PatientStatements)
    assert first.statements["do_not_contact"].value == "yes"
    assert (second.statements["do_not_contact"].value, second.problems) == ("no", ())


def test_a_permission_in_a_message_cut_in_its_header_is_not_trusted() -> None:
    body = adt("A08", "ZCP|1|OK").replace(b"|SYNC|", b"\r|SYNC|")
    assert "do_not_contact" not in statements(body, mapping=SITE)
    assert statements(body.replace(b"OK", b"DNC"), mapping=SITE)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("line", ["XQA|1||any", "a note"])
def test_a_message_that_is_unusable_either_way_says_why_and_not_only_that_a_line_is_odd(line: str) -> None:
    (found,) = items(f"MSH|^~\\&|EMR\r{line}\rXQB|1|\rXQA|2|\r".encode(), mapping=SITE)
    assert isinstance(found, Unmappable)
    assert found.reason == "message_type_missing"
    assert "a line of the message is not a segment" in found.detail
