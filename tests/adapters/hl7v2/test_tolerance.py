"""Variants that senders write: message types, events, flags, and undecodable bytes."""

from __future__ import annotations

import pytest

from adapters.base import Filtered, Unmappable
from adapters.mapping.tables import table
from store.preference import PatientMerge, PatientStatements, Statement
from tests.adapters.hl7v2.messages import adt, items, refused, stated, statements

SITE = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}}
HEADER = "MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||{kind}|MSG00001|{processing}|2.5.1"
VALUES = {"yes": True, "no": False}


def sent(kind: str, *more: str, processing: str = "P", event: str = "", **pid: str) -> bytes:
    return adt(event, *more, header=HEADER.format(kind=kind, processing=processing), **pid)


@pytest.mark.parametrize(
    "kind", ["adt^a08", "ADT_A08", "ADT^A8", "ADT A08", "ADT-A08", "Adt^ADT_A08", "ADT^08", " ADT ^ A08 ", "ADT^A08^ADT_A01", "adt_a8"]
)
def test_the_message_type_is_read_in_its_spellings(kind: str) -> None:
    assert statements(sent(kind, "ZCP|1|DNC"), mapping=SITE)["do_not_contact"].value == "yes"


def test_evn_1_takes_precedence_over_a_structure_name() -> None:
    assert isinstance(items(sent("ADT_A39", "MRG|MRN10002^^^GENHOSP^MR", event="A40"))[0], PatientMerge)
    assert statements(sent("ADT_A01", event="A28"))["active"].value is True
    assert "active" not in statements(sent("ADT^A08", event="A28"))


@pytest.mark.parametrize(
    "event",
    [f"A{number:02d}" for number in (6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 21, 22, 25, 26, 27, 32, 33, 38, 46, 52, 55, 60, 62)] + ["Z99"],
)
def test_every_event_about_a_patient_is_read(event: str) -> None:
    found = statements(adt(event, "ZCP|1|DNC", "PD1||||||||||||Y", f13="(217)555-0123", f30="Y"), mapping=SITE)
    assert {"do_not_contact", "deceased", "restricted", "phones#PID-13"} <= set(found)


@pytest.mark.parametrize("event", ["A23", "A29", "A24", "A37", "A35", "A41", "A42", "A44", "A45"])
def test_an_event_about_something_else_states_preferences_and_clears_nothing(event: str) -> None:
    mrg = ["MRG|MRN10001^^^GENHOSP^MR"] if event in ("A35", "A41", "A42", "A44", "A45") else []
    (item,) = items(adt(event, *mrg, "PD1||||||||||||Y", "ZCP|1|DNC", f13="(217)555-0123", f5="DOE^JAN", f15="spa", f30="Y"), mapping=SITE)
    assert isinstance(item, PatientStatements)
    assert {name: one.value for name, one in item.statements.items() if name != "active"} == {
        "do_not_contact": "yes",
        "restricted": True,
        "deceased": True,
    }
    quiet = items(adt(event, *mrg, 'ZCP|1|""', f13="ask", f15="?", f30='""'), mapping=SITE)
    assert all(isinstance(one, Filtered) or not one.problems for one in quiet if not isinstance(one, Unmappable))
    assert all(isinstance(one, Filtered) or not set(one.statements) - {"active"} for one in quiet if not isinstance(one, Unmappable))


@pytest.mark.parametrize("event", ["A18", "A30", "A34", "A36", "A39", "A40", "A47"])
def test_preferences_in_a_merge_apply_to_the_survivor_after_the_merge(event: str) -> None:
    merge, item = items(adt(event, "PD1||||||||||||Y", "MRG|MRN10002^^^GENHOSP^MR", "ZCP|1|DNC", f13="(217)555-0123"), mapping=SITE)
    assert isinstance(merge, PatientMerge)
    assert isinstance(item, PatientStatements)
    assert (item.identifiers, set(item.statements)) == (merge.survivor, {"do_not_contact", "restricted"})


def test_each_of_two_pairs_states_its_own_preferences() -> None:
    second = ("PID|||MRN10003^^^GENHOSP^MR", "MRG|MRN10004^^^GENHOSP^MR", "ZCP|1|DNC")
    _, second_merge, item = items(adt("A40", "MRG|MRN10002^^^GENHOSP^MR", *second), mapping=SITE)
    assert isinstance(item, PatientStatements)
    assert isinstance(second_merge, PatientMerge)
    assert item.identifiers == second_merge.survivor


def test_an_unusable_merge_does_not_lose_its_refusal() -> None:
    rejection, item = items(adt("A40", "ZCP|1|DNC"), mapping=SITE)
    assert isinstance(rejection, Unmappable)
    assert rejection.reason == "merge_incomplete"
    assert isinstance(item, PatientStatements)
    assert item.statements == {"do_not_contact": Statement("yes", "ZCP-2")}


def test_on_absent_does_not_apply_to_messages_that_need_not_have_the_segment() -> None:
    mapping = {"do_not_contact": {**SITE["do_not_contact"], "on_absent": "clear"}}
    assert [type(one) for one in items(adt("A40", "MRG|MRN10002^^^GENHOSP^MR"), mapping=mapping)] == [PatientMerge]
    assert statements(adt("A08"), mapping=mapping) == {"do_not_contact": Statement(None, "ZCP-2")}
    assert statements(sent("SIU^S12"), mapping=mapping, options={"messages": ["SIU"]}) == {}


@pytest.mark.parametrize("kind", ["VXU^V04^VXU_V04", "ORU^R01", "SIU^S12", "MDM^T02", "oru^r01"])
def test_configured_message_types_are_read(kind: str) -> None:
    body = sent(kind, "ZCP|1|DNC")
    assert items(body, mapping=SITE) == [Filtered("message_type_not_used", "test#1")]
    found = statements(body, mapping=SITE, options={"messages": ["ADT", kind[:3].lower()]})
    assert found["do_not_contact"].value == "yes"


def test_each_patient_of_a_message_with_several_is_read() -> None:
    body = sent("ORU^R01", "OBR|1", "ZCP|1|DNC", "PID|||MRN10002^^^GENHOSP^MR", "OBR|1", "ZCP|1|OK", "PID|||^^^GENHOSP^MR")
    first, second, third = items(body, mapping=SITE, options={"messages": ["ORU"]})
    assert isinstance(first, PatientStatements)
    assert isinstance(second, PatientStatements)
    assert isinstance(third, Unmappable)
    assert [one.statements["do_not_contact"].value for one in (first, second)] == ["yes", "no"]


def test_a_named_message_without_a_patient_is_filtered() -> None:
    body = HEADER.format(kind="SIU^S12", processing="P").encode() + b"\rSCH|1\r"
    assert items(body, options={"messages": ["SIU"]}) == [Filtered("patient_segment_absent", "test#1")]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("T", "processing_training"),
        ("D", "processing_debugging"),
        ("t^A", "processing_training"),
        ("TRAINING", "processing_training"),
        ("~T", "processing_training"),
        ("Debug", "processing_debugging"),
        ("N", "processing_testing"),
        (" test ", "processing_testing"),
        ("V", "processing_validation"),
    ],
)
def test_non_production_messages_are_filtered_unless_configured(code: str, reason: str) -> None:
    body = sent("ADT^A08", "ZCP|1|DNC", processing=code)
    assert items(body, mapping=SITE) == [Filtered(reason, "test#1")]
    assert statements(body, mapping=SITE, options={"processing": ["P", "T", "D", "N", "V"]})["do_not_contact"].value == "yes"
    assert statements(sent("ADT^A08", "ZCP|1|DNC", processing=""), mapping=SITE)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("code", ["P", "p", " P ", "PROD", "Production", "P^T", "P^A", "^T", '""', "P~P"])
def test_production_is_read_in_its_spellings_and_whatever_the_mode(code: str) -> None:
    assert statements(sent("ADT^A08", "ZCP|1|DNC", processing=code), mapping=SITE)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("code", ["X", "P~T", "T~D", "P&T", "PT", "1", "\\T\\"])
def test_messages_with_an_unknown_processing_id_are_rejected(code: str) -> None:
    assert refused(sent("ADT^A08", "ZCP|1|OK", processing=code), mapping=SITE)[0] == "processing_unknown"


def test_a_source_of_training_messages_reads_no_production() -> None:
    assert items(sent("ADT^A08"), options={"processing": ["T"]}) == [Filtered("processing_production", "test#1")]


@pytest.mark.parametrize(
    "kind",
    [
        "ADT&A08",
        "ADT~A08",
        "ADT/A08",
        "ADT.A08",
        "ADT:A08",
        "ADTA08",
        "ADT\\S\\A08",
        '"ADT"^"A08"',
        "ADT^A08 - update",
        "ADT^A 08",
        " adt ^a08 ",
    ],
)
def test_the_event_is_read_in_its_spellings(kind: str) -> None:
    assert statements(sent(kind, "ZCP|1|DNC", event="A08"), mapping=SITE)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("kind", ["ADT&A40", "ADT~A40", "ADT^ADT-A40", "ADT^A40 - merge", "ADTA40", "ADT^A4O"])
def test_a_merge_event_is_recognised_in_any_spelling(kind: str) -> None:
    merge, item = items(sent(kind, "MRG|MRN10002^^^GENHOSP^MR", "ZCP|1|DNC", event="A40"), mapping=SITE)
    assert isinstance(merge, PatientMerge)
    assert isinstance(item, PatientStatements)


@pytest.mark.parametrize("event", ["A4O", "A99", "A100", "MERGE"])
def test_an_unknown_event_may_be_a_merge_so_only_its_refusals_apply(event: str) -> None:
    rejection, item = items(sent(f"ADT^{event}", "MRG|MRN10002^^^GENHOSP^MR", "ZCP|1|DNC", event=event), mapping=SITE)
    assert isinstance(rejection, Unmappable)
    assert rejection.reason == "event_unknown"
    assert isinstance(item, PatientStatements)
    assert item.statements == {"do_not_contact": Statement("yes", "ZCP-2")}


@pytest.mark.parametrize("kind", ["AOT^A08", "ADX^A08", "ABC"])
def test_an_unknown_message_type_is_rejected_and_not_filtered(kind: str) -> None:
    assert refused(sent(kind, "ZCP|1|DNC"), mapping=SITE)[0] == "message_type_unknown"
    assert items(sent("ZDT^Z01"), mapping=SITE) == [Filtered("message_type_not_used", "test#1")]


@pytest.mark.parametrize("kind", ["", "A08", "A08^ADT", '""^A08', "AD^A08"])
def test_a_message_without_a_type_is_rejected(kind: str) -> None:
    assert refused(sent(kind, "ZCP|1|DNC"), mapping=SITE)[0] == "message_type_missing"


@pytest.mark.parametrize("word", ["Y", "YES", "yes", "Y^Yes^HL70136", "1", "T", "true", "^Yes", " y "])
def test_a_yes_is_read_in_its_spellings(word: str) -> None:
    found = statements(adt("A08", f"PD1||||||||||||{word}", f30=word))
    assert (found["deceased"], found["restricted"]) == (Statement(True, "PID-30"), Statement(True, "PD1-12"))


@pytest.mark.parametrize("word", ["N", "No", "N^No^HL70136", "0", "F", "FALSE"])
def test_a_no_is_read_in_its_spellings(word: str) -> None:
    found = statements(adt("A08", f"PD1||||||||||||{word}", f30=word))
    assert (found["deceased"], found["restricted"]) == (Statement(False, "PID-30"), Statement(False, "PD1-12"))


@pytest.mark.parametrize("word", ["DEAD", "Q", "Y N", "2", "\\XFF\\"])
def test_any_other_answer_is_a_problem_of_its_attribute(word: str) -> None:
    found = stated(adt("A08", f"PD1||||||||||||{word}", f30=word))
    assert {(one.reason, one.path, one.attribute) for one in found.problems} == {
        ("flag_unusable", "PID-30", "deceased"),
        ("flag_unusable", "PD1-12", "restricted"),
    }
    assert found.statements == {}


def test_the_problem_names_the_words_that_are_read() -> None:
    (problem,) = stated(adt("A08", f30="DEAD")).problems
    for answer, words in table("yes_no").items():
        assert f"{answer}: {', '.join(words)}" in problem.detail
    assert "yes: Y, YES, 1, T, TRUE; no: N, NO, 0, F, FALSE; unknown: U," in problem.detail


@pytest.mark.parametrize("word", ["U", "UNK", "unknown", "NI"])
def test_unknown_is_no_statement_and_no_problem(word: str) -> None:
    found = stated(adt("A08", f30=word))
    assert (found.statements, found.problems) == ({}, ())


def test_yes_wins_over_no() -> None:
    assert statements(adt(f30="N~Y"))["deceased"].value is True
    assert "deceased" not in statements(adt(f30="N~DEAD"))


@pytest.mark.parametrize("protection", ["Y", "YES", "DEAD"])
def test_a_possibly_restricted_record_clears_nothing(protection: str) -> None:
    body = adt("A08", f"PD1||||||||||||{protection}", 'ZCP|1|""', f13='""', f15='""', f5='""', f30='""')
    assert not [name for name, one in statements(body, mapping=SITE).items() if one.value is None]
    assert statements(body.replace(protection.encode(), b"N"), mapping=SITE)["do_not_contact"] == Statement(None, "ZCP-2")


NAMES = {"byte": b"Zo\xeb", "escape": b"Zo\\XEB\\", "utf-8 cut": b"Zo\xc3"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_undecodable_bytes_affect_only_their_attribute(name: bytes) -> None:
    body = adt("A08", "ZCP|1|DNC", f5="DOE^NAME", f13="(217)555-0123", f15="spa").replace(b"NAME", name)
    found = stated(body, mapping=SITE)
    assert {key: one.value for key, one in found.statements.items() if not key.startswith("phones")} == {
        "email#PID-13": None,
        "language": "es",
        "do_not_contact": "yes",
    }
    assert found.statements["phones#PID-13"].value[0].raw == "(217)555-0123"
    assert [(one.reason, one.path, one.attribute) for one in found.problems] == [("undecodable", "PID-5", "display_name")]


def test_undecodable_bytes_in_the_language_affect_the_language() -> None:
    found = stated(adt("A08", "ZCP|1|DNC", f15="X^NAME").replace(b"NAME", b"Espa\xf1ol"), mapping=SITE)
    assert found.statements["do_not_contact"].value == "yes"
    assert [(one.reason, one.attribute) for one in found.problems] == [("undecodable", "language")]


def test_undecodable_bytes_in_the_identifier_reject_the_message() -> None:
    assert refused(adt(f3="MRN^^^GENHOSP^MR").replace(b"MRN^", b"MR\xeb^")).reason == "undecodable"


def test_undecodable_bytes_in_the_message_type_reject_the_message() -> None:
    assert refused(sent("ADT^A08").replace(b"ADT^A08", b"AD\xeb^A08")).reason == "undecodable"


def test_undecodable_bytes_in_the_control_id_are_not_evidence() -> None:
    found = stated(adt("A08", "ZCP|1|DNC").replace(b"MSG00001", b"MS\xeb"), mapping=SITE)
    assert found.evidence_id.startswith("sha256:")


@pytest.mark.parametrize("kind", ["ADT^A24", "ADT^A37", "ADT^A60", "ADT^A17", "VXU^V04"])
def test_preferences_without_a_patient_are_rejected_and_not_filtered(kind: str) -> None:
    options = {"messages": ["ADT", "VXU"]}
    stating, silent = (sent(kind, *lines).replace(b"PID|", b"PV1|") for lines in (("ZCP|1|DNC",), ()))
    assert refused(stating, mapping=SITE, options=options).reason == "patient_segment_missing"
    assert isinstance(items(silent, mapping=SITE, options=options)[0], Filtered)


@pytest.mark.parametrize("kind", ["20261101083000", "M1", "A08", "|ADT^A08", "P", "2.5.1", "ADTX^A08", "AD^A08"])
def test_an_unlisted_message_type_is_rejected_and_not_filtered(kind: str) -> None:
    assert refused(sent(kind, "ZCP|1|DNC"), mapping=SITE).path == "MSH-9"


def test_a_character_set_name_with_nul_is_unknown() -> None:
    body = sent("ADT^A08", "ZCP|1|DNC", f5="M\xfc").replace(b"|2.5.1", b"|2.5.1||||||UNICODE\x00UTF-8")
    assert statements(body, mapping=SITE)["do_not_contact"].value == "yes"
