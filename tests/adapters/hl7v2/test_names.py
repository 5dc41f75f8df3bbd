"""Segment names as senders write them. Unreadable lines that may contain statements are reported for their attribute."""

from __future__ import annotations

import pytest

from adapters.base import Item
from store.preference import PatientMerge, PatientStatements, Statement
from tests.adapters.hl7v2.messages import adt, items, refused, stated

SITE = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms", "X": "none"}},
    "language": {"from": "ZCP-5"},
    "consent.sms": {"from": "PD1-11.1", "values": {"02": "granted", "01": "denied"}},
}
LINE = "line_not_a_segment"


def read_item(*more: str) -> PatientStatements:
    return stated(adt("A08", *more), mapping=SITE)


def unread(found: PatientStatements) -> set[str]:
    return {one.attribute for one in found.problems if one.reason == LINE and one.attribute}


@pytest.mark.parametrize(
    "name", ["zcp", "Zcp", "ZcP", "zCP", "ZCP ", " ZCP", "ZCP\t", "\ufeffZCP", "\xa0ZCP", "\x00ZCP", "Z\u200bCP", "\u2028zcp", "\udc81ZCP"]
)
def test_a_segment_name_is_read_in_any_case_and_with_invisible_characters(name: str) -> None:
    body = adt("A08", "ZCP|1|DNC|T").decode().replace("ZCP", name).encode("utf-8", "surrogateescape")
    found = stated(body, mapping=SITE)
    assert found.statements["do_not_contact"] == Statement("yes", "ZCP-2")
    assert found.statements["preferred_method"] == Statement("sms", "ZCP-3")
    assert found.problems == ()


@pytest.mark.parametrize("name", ["Pid", "pID", "PID ", "\xa0PID"])
def test_any_other_segment_name_is_read_likewise(name: str) -> None:
    found = stated(adt("A08", "ZCP|1|DNC").replace(b"PID|", f"{name}|".encode()), mapping=SITE)
    assert (found.statements["do_not_contact"].value, found.problems) == ("yes", ())


@pytest.mark.parametrize("line", ["ZCP|1|DNC", "zcp|1|DNC", "Zcp|1|DNC", " ZCP|1|DNC", "\ufeffZCP|1|DNC", "pd1|1||||||||||01"])
def test_a_segment_after_a_single_line_feed_is_read_in_any_case(line: str) -> None:
    found = read_item(f"NTE|1||hello\n{line}")
    assert [name for name, one in found.statements.items() if one.value in ("yes", "denied")] in (["do_not_contact"], ["consent.sms"])


@pytest.mark.parametrize("text", ["MSH|x", "MSH|", "yes|no", "and so on"])
def test_a_line_feed_in_a_note_does_not_end_it_or_start_a_message(text: str) -> None:
    found = read_item(f"NTE|1||a\n{text}", "ZCP|1|DNC")
    assert (found.statements["do_not_contact"].value, found.problems) == ("yes", ())


@pytest.mark.parametrize(
    "line", ['"ZCP|1|DNC"', "ZCP1|1|DNC", "ZCP^1^DNC", "\xefZCP|1|DNC", "#ZCP|1|DNC", "xzcp|1|DNC", "a note ZCP|1|DNC"]
)
@pytest.mark.parametrize("before", [(), ("ZCP|1|OK|T",)])
def test_a_line_that_may_be_a_mapped_segment_leaves_its_attributes_unread(line: str, before: tuple[str, ...]) -> None:
    found = read_item(*before, "PV1|1", line)
    assert found.statements.get("do_not_contact", Statement("yes", "")).value == "yes"
    assert unread(found) | set(found.statements) == {"do_not_contact", "preferred_method"}


def test_a_refusal_in_a_message_with_such_a_line_counts() -> None:
    found = read_item("ZCP|1|DNC|T", "PV1|1", "ZCP1|2|OK|X")
    assert (found.statements["do_not_contact"].value, unread(found)) == ("yes", {"preferred_method"})


@pytest.mark.parametrize("line", ["rapd1 test", "a note that goes on", "ZZZ1|DNC", "something about ZCP"])
def test_an_unrelated_line_leaves_nothing_else_unread(line: str) -> None:
    found = read_item("ZCP|1|OK|T", "PV1|1", line)
    assert unread(found) == set()
    assert {name: one.value for name, one in found.statements.items()} == {"do_not_contact": "no", "preferred_method": "sms"}


@pytest.mark.parametrize("event", ["A40", "A24", "A23", "A17"])
def test_in_events_about_something_else_too(event: str) -> None:
    mrg = ["MRG|MRN10002^^^GENHOSP^MR"] if event == "A40" else []
    found: list[Item] = items(adt(event, *mrg, "PV1|1", "ZCP1|1|DNC"), mapping=SITE)
    (item,) = (one for one in found if isinstance(one, PatientStatements))
    assert unread(item) == {"do_not_contact", "preferred_method"}
    assert any(isinstance(one, PatientMerge) for one in found) == (event == "A40")


@pytest.mark.parametrize(
    "name", ["2CP", "7CP", "ZC\u0420", "Z\udc81P", "CP", "ZC", "ZCPP", "XCP", "\uff3a\uff23\uff30", "Z-CP", "\u017dCP", "QZCP"]
)
@pytest.mark.parametrize("before", [(), ("ZCP|1|OK|T",)])
def test_a_segment_name_with_one_wrong_letter_leaves_its_attributes_unread(name: str, before: tuple[str, ...]) -> None:
    body = adt("A08", *before, "PV1|1", "XXX|1|DNC|T").decode().replace("XXX", name).encode("utf-8", "surrogateescape")
    found = stated(body, mapping=SITE)
    assert unread(found) == {"do_not_contact", "preferred_method"}
    assert not {"do_not_contact", "preferred_method"} & set(found.statements)


@pytest.mark.parametrize("name", ["ZC0", "ZCQ", "Z0C"])
def test_similar_z_segments_are_distinguished_only_if_rules_read_both(name: str) -> None:
    rules = {"do_not_contact": {"from": "ZCO-2", "values": {"DNC": "yes", "OK": "no"}}}
    found = stated(adt("A08", f"{name}|1|DNC"), mapping=rules)
    assert unread(found) == ({"do_not_contact"} if name == "ZC0" else set())
    both = {**rules, "consent.sms": {"from": "ZC0-2", "values": {"DNC": "denied"}}}
    assert unread(stated(adt("A08", "ZC0|1|DNC"), mapping=both)) == set()


@pytest.mark.parametrize("name", ["PDl", "PDI", "RD1", "PD", "PD!"])
def test_a_misspelled_standard_segment_may_protect_the_record(name: str) -> None:
    found = read_item(f"{name}||||||||||01||Y", 'ZCP|1|""')
    assert unread(found) == {"consent.sms", "restricted"}
    assert "do_not_contact" not in found.statements


@pytest.mark.parametrize("name", ["PDA", "PDC", "ZPC", "ZGP", "OBX", "NTE"])
def test_a_segment_of_another_name_leaves_nothing_unread(name: str) -> None:
    assert read_item(f"{name}|1|DNC").problems == ()


@pytest.mark.parametrize("name", ["P1D", "PlD", "P\udc81D", "PD", "\u0420ID", "PID1"])
def test_a_misspelled_pid_is_not_dropped_silently(name: str) -> None:
    body = adt("A08", "ZCP|1|DNC").decode().replace("PID|", f"{name}|").encode("utf-8", "surrogateescape")
    assert refused(body, mapping=SITE).reason == "patient_segment_missing"
