"""Undecodable text affects only the attribute that is read there, never the whole message (product section 9)."""

from __future__ import annotations

import pytest

from adapters.base import Filtered, Unmappable
from adapters.hl7v2.reader import read
from store.preference import Identifier, PatientMerge, PatientStatements
from tests.adapters.hl7v2.messages import MRN, adt, items, refused, stated

SITE = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms", "P": "voice", "N": "none"}},
    "consent.sms": {"from": "ZCP-4", "values": {"Y": "granted", "N": "denied"}},
    "language": {"from": "ZCP-5"},
    "consent.sms#*": {"from": "PID-13.9", "values": {"Y": "granted", "N": "denied"}},
}
HEADER = "MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^{event}|MSG00001|P|2.5.1||||||UNICODE UTF-8"
LOST = [("\\XFF\\", "escape"), ("\udc81\udc8d", "bytes")]
lost = pytest.mark.parametrize("lost", [text for text, _ in LOST], ids=[name for _, name in LOST])
PHONE = "^PRN^CP^^1^217^5550123"


def sent(event: str, *more: str, **pid: str) -> bytes:
    """A message in which each lone surrogate becomes a byte that is not valid UTF-8."""
    fields = [pid.get(f"f{number}", MRN if number == 3 else "") for number in range(1, 41)]
    lines = [HEADER.format(event=event), f"EVN|{event}", "|".join(["PID", *fields]), *more]
    return "\r".join(lines).encode("utf-8", "surrogateescape") + b"\r"


def read_item(*more: str, event: str = "A08", **pid: str) -> PatientStatements:
    return stated(sent(event, *more, **pid), mapping=SITE)


def problems(found: PatientStatements) -> list[tuple[str, str, str]]:
    return [(one.reason, one.path, one.attribute) for one in found.problems]


@lost
@pytest.mark.parametrize(
    ("line", "path", "attribute"),
    [
        ("ZCP|1|DNC|T{}", "ZCP-3", "preferred_method"),
        ("ZCP|1|DNC||N{}", "ZCP-4", "consent.sms"),
        ("ZCP|1|DNC|||{}", "ZCP-5", "language"),
        ("ZCP|1|DNC~{}", "ZCP-2[2]", "do_not_contact"),
        ("ZCP|1|{}~DNC", "ZCP-2[1]", "do_not_contact"),
        ("ZCP|1|DNC\rZCP|2|{}", "ZCP[2]-2", "do_not_contact"),
    ],
)
def test_a_refusal_in_the_same_message_is_stated(lost: str, line: str, path: str, attribute: str) -> None:
    found = read_item(line.format(lost))
    assert found.statements["do_not_contact"].value == "yes"
    assert problems(found) == [("undecodable", path, attribute)]


@lost
def test_the_attribute_of_illegible_text_is_unreadable_whatever_on_unknown_is(lost: str) -> None:
    mapping = {"do_not_contact": {**SITE["do_not_contact"], "on_unknown": "no_statement"}}
    found = stated(sent("A08", f"ZCP|1|{lost}"), mapping=mapping)
    assert (dict(found.statements), dict(found.codes), problems(found)) == ({}, {}, [("undecodable", "ZCP-2", "do_not_contact")])


@lost
def test_illegible_text_at_a_number_is_a_problem_of_its_consent(lost: str) -> None:
    found = read_item("ZCP|1|DNC", f13=f"{PHONE}^^N{lost}")
    assert (found.statements["do_not_contact"].value, problems(found)) == ("yes", [("undecodable", "PID-13.9", "consent.sms")])
    assert [one.number for one in found.statements["phones#PID-13"].value] == ["+12175550123"]


@lost
def test_an_illegible_number_affects_no_other_number_or_denial(lost: str) -> None:
    found = read_item("ZCP|1|DNC", f13=f"^PRN^CP^^1^217^55{lost}^^N~{PHONE}^^Y")
    assert found.statements["do_not_contact"].value == "yes"
    assert [one.number for one in found.statements["phones#PID-13"].value] == ["+12175550123"]
    assert problems(found) == [("undecodable", "PID-13[1].7", "phones"), ("consent_number_unreadable", "PID-13[1].9", "consent.sms")]


@lost
@pytest.mark.parametrize("field", ["^NET^Internet^a{}@example.org", "a{}@example.org^NET"])
def test_an_illegible_address_is_not_an_address(lost: str, field: str) -> None:
    found = read_item("ZCP|1|DNC", f14=field.format(lost))
    assert found.statements["do_not_contact"].value == "yes"
    assert "email#PID-14" not in found.statements, "what cannot be read clears nothing"
    assert [(reason, attribute) for reason, _, attribute in problems(found)] == [("undecodable", "email")]


@lost
@pytest.mark.parametrize("other", ["7{}^^^GENHOSP^AN", "7{}^^^OTHER^MR", "7^^^O{}^AN", "7{}^^^EMPI^PI", "7^^^OTHER&{}&ISO^MR"])
def test_another_illegible_identifier_is_omitted(lost: str, other: str) -> None:
    for field in (f"{MRN}~{other.format(lost)}", f"{other.format(lost)}~{MRN}"):
        found = stated(sent("A08", "ZCP|1|DNC", f3=field), mapping=SITE, linking=frozenset({"EMPI"}))
        assert found.identifiers == (Identifier("GENHOSP", "MR", "MRN10001"),)
        assert found.statements["do_not_contact"].value == "yes"
        assert [(one.reason, one.path[:5]) for one in found.problems] == [("undecodable", "PID-3")]


@lost
def test_a_message_with_an_illegible_own_identifier_is_rejected_with_its_path(lost: str) -> None:
    found = refused(sent("A08", "ZCP|1|DNC", f3=f"7{lost}^^^GENHOSP^MR"), mapping=SITE)
    assert (found.reason, found.path) == ("undecodable", "PID-3[1]")


@lost
@pytest.mark.parametrize("event", ["A08", "A17", "A24", "A40"])
def test_if_the_first_own_identifier_is_illegible_refusals_apply_to_the_others(lost: str, event: str) -> None:
    field = f"7{lost}^^^GENHOSP^MR~MRN10001^^^GENHOSP^MR~MRN10009^^^GENHOSP^MR"
    lines = (["MRG|MRN10002^^^GENHOSP^MR"] if event == "A40" else []) + ["ZCP|1|DNC|T"]
    rejection, *others = items(sent(event, *lines, f3=field), mapping=SITE)
    assert isinstance(rejection, Unmappable)
    assert (rejection.reason, rejection.path) == ("undecodable", "PID-3[1]")
    assert [one.identifiers[0].value for one in others if isinstance(one, PatientStatements)] == ["MRN10001", "MRN10009"]
    assert all(isinstance(one, PatientStatements) and one.statements == {"do_not_contact": ("yes", "ZCP-2")} for one in others)
    assert [type(one) for one in items(sent("A08", "ZCP|1|OK", f3=field), mapping=SITE)] == [Unmappable]


@lost
@pytest.mark.parametrize("field", [f"{MRN}~7{{}}^^^GENHOSP^MR", f"7{{}}^^^GENHOSP^MR^^^20200101~{MRN}"])
def test_a_further_own_identifier_that_is_illegible_or_ended_does_not_affect_the_first(lost: str, field: str) -> None:
    found = stated(sent("A08", "ZCP|1|OK", f3=field.format(lost)), mapping=SITE)
    assert found.identifiers == (Identifier("GENHOSP", "MR", "MRN10001"),)
    assert (found.statements["do_not_contact"].value, [one.reason for one in found.problems]) == ("no", ["undecodable"])


@lost
def test_a_merge_with_one_illegible_record_is_rejected(lost: str) -> None:
    (rejection,) = items(sent("A40", f"MRG|MRN10002^^^GENHOSP^MR~7{lost}^^^GENHOSP^MR"), mapping=SITE)
    assert isinstance(rejection, Unmappable)
    assert (rejection.reason, rejection.path) == ("undecodable", "MRG-1[2]")


@lost
@pytest.mark.parametrize("event", ["A40", "A24", "A37", "A23", "A17"])
def test_in_events_about_something_else_too(lost: str, event: str) -> None:
    mrg = ["MRG|MRN10002^^^GENHOSP^MR"] if event == "A40" else []
    found = items(sent(event, *mrg, f"ZCP|1|DNC|T{lost}"), mapping=SITE)
    (item,) = (one for one in found if isinstance(one, PatientStatements))
    assert item.statements["do_not_contact"].value == "yes"
    assert problems(item) == [("undecodable", "ZCP-3", "preferred_method")]


@lost
@pytest.mark.parametrize("event", ["A24", "A37", "A35"])
def test_an_event_about_something_else_with_an_illegible_patient_is_rejected(lost: str, event: str) -> None:
    found = items(sent(event, "ZCP|1|DNC", f3=f"7{lost}^^^GENHOSP^MR"), mapping=SITE)
    assert [(type(one), getattr(one, "reason", "")) for one in found] == [(Unmappable, "undecodable")]


def test_an_event_about_something_else_without_a_patient_is_rejected_only_if_it_refuses() -> None:
    assert [type(one) for one in items(adt("A24", "ZCP|1|DNC", f3="7^^^OTHER^MR"), mapping=SITE)] == [Unmappable]
    assert [type(one) for one in items(adt("A24", f3="7^^^OTHER^MR"), mapping=SITE)] == [Filtered]


@lost
def test_a_merge_with_an_illegible_survivor_is_rejected_once(lost: str) -> None:
    found = items(sent("A40", "MRG|MRN10002^^^GENHOSP^MR", "ZCP|1|DNC", f3=f"7{lost}^^^GENHOSP^MR"), mapping=SITE)
    assert [(type(one), getattr(one, "reason", "")) for one in found] == [(Unmappable, "undecodable")]


@lost
def test_a_merge_uses_the_legible_identifiers(lost: str) -> None:
    merge, item = items(sent("A40", "MRG|MRN10002^^^GENHOSP^MR", "ZCP|1|DNC", f3=f"{MRN}~8{lost}^^^GENHOSP^AN"), mapping=SITE)
    assert isinstance(merge, PatientMerge)
    assert isinstance(item, PatientStatements)
    assert (item.statements["do_not_contact"].value, [one.reason for one in item.problems]) == ("yes", ["undecodable"])


@lost
def test_the_message_type_must_be_legible(lost: str) -> None:
    body = sent("A08", "ZCP|1|DNC").replace(b"ADT^A08", "A{}^A08".format("\udc81").encode("utf-8", "surrogateescape"))
    found = refused(body, mapping=SITE)
    assert (found.reason, found.path) == ("undecodable", "MSH-9")


@pytest.mark.parametrize("nul", ["\x00", "\\X00\\"])
def test_nul_is_illegible(nul: str) -> None:
    found = read_item("ZCP|1|DNC", f5=f"DOE^J{nul}AN", f13=f"^NET^Internet^a{nul}@example.org")
    assert found.statements["do_not_contact"].value == "yes"
    assert {(reason, attribute) for reason, _, attribute in problems(found)} == {("undecodable", "display_name"), ("undecodable", "email")}


def test_illegible_text_that_is_not_read_is_not_a_problem() -> None:
    found = read_item("ZCP|1|DNC", "NTE|1||\udc81", f8="\\XFF\\", f13=f"{PHONE}^9\\XFF\\")
    assert (found.statements["do_not_contact"].value, found.problems) == ("yes", ())


def test_lines_of_a_damaged_message_are_marked_as_damaged() -> None:
    assert read(sent("A08", "ZCP|1|\udc81")).damaged
    assert read(adt("A08", "ZCP|1|D\x00NC")).damaged
    assert not read(adt("A08", "ZCP|1|DNC")).damaged
