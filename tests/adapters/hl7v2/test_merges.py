"""Merges and account merges."""

from __future__ import annotations

import pytest

from adapters.base import Filtered, Unmappable
from store.preference import Identifier, PatientMerge, PatientStatements
from tests.adapters.hl7v2.messages import adt, items, refused

ONE, TWO, THREE, FOUR = (Identifier("GENHOSP", "MR", f"MRN{n}") for n in (1, 2, 3, 4))


def merges(body: bytes) -> list[PatientMerge]:
    found = items(body)
    assert all(isinstance(one, PatientMerge) for one in found), found
    return [one for one in found if isinstance(one, PatientMerge)]


@pytest.mark.parametrize("event", ["A18", "A34", "A40"])
def test_mrg_is_the_merged_record_and_pid_the_survivor(event: str) -> None:
    (merge,) = merges(adt(event, "MRG|MRN2^^^GENHOSP^MR", f3="MRN1^^^GENHOSP^MR"))
    assert (merge.survivor, merge.merged) == ((ONE,), (TWO,))
    assert merge.evidence_id == "MSG00001"
    assert merge.effective.earliest.isoformat() == "2026-11-01T14:30:00+00:00"


def test_a_merge_may_contain_several_pairs() -> None:
    body = adt("A40", "PD1|x", "MRG|MRN2", "PID|||MRN3^^^GENHOSP^MR", "MRG|MRN4^^^&1.2.36.146.595&ISO", f3="MRN1^^^GENHOSP^MR")
    assert [(one.survivor, one.merged) for one in merges(body)] == [((ONE,), (TWO,)), ((THREE,), (FOUR,))]


def test_two_records_may_be_merged_into_one() -> None:
    body = adt("A40", "MRG|MRN2", "MRG|MRN3", f3="MRN1^^^GENHOSP^MR")
    assert [(one.survivor, one.merged) for one in merges(body)] == [((ONE,), (TWO,)), ((ONE,), (THREE,))]


def test_an_identifier_that_both_sides_share_stays_with_the_survivor() -> None:
    body = adt("A40", "MRG|MRN2^^^GENHOSP^MR~9^^^STATE^NI", f3="MRN1^^^GENHOSP^MR~9^^^STATE^NI")
    assert merges(body)[0].merged == (TWO,)


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ((), "merge_incomplete"),
        (("MRG|",), "patient_id_missing"),
        (('MRG|""',), "patient_id_missing"),
        (("MRG|MRN10001",), "merge_with_itself"),
        (("MRG|MRN2", "PID|||MRN3^^^GENHOSP^MR"), "merge_incomplete"),
        (("MRG|MRN2", "PID|||", "MRG|MRN4"), "patient_id_missing"),
        (("PID|||MRN3^^^GENHOSP^MR", "MRG|MRN4"), "merge_incomplete"),
    ],
)
def test_an_incomplete_merge_is_refused_completely(segments: tuple[str, ...], reason: str) -> None:
    assert refused(adt("A40", *segments)).reason == reason


@pytest.mark.parametrize("as_repetitions", [True, False])
@pytest.mark.parametrize("number", [100, 101])
def test_a_message_has_a_hundred_merges_at_most(number: int, as_repetitions: bool) -> None:
    gone = [f"G{n}^^^GENHOSP^MR" for n in range(number)]
    body = adt("A40", *(["MRG|" + "~".join(gone)] if as_repetitions else [f"MRG|{one}" for one in gone]))
    found = items(body)
    if number == 100:
        assert len(found) == number
    else:
        assert refused(body).reason == "too_many_merges"


def test_what_refuses_in_a_message_of_too_many_merges_still_counts() -> None:
    rejected, stated = items(adt("A40", *(f"MRG|G{n}^^^GENHOSP^MR" for n in range(101)), f30="Y"))
    assert isinstance(rejected, Unmappable)
    assert isinstance(stated, PatientStatements)
    assert stated.statements["deceased"].value is True


def test_an_account_merge_is_filtered_while_both_sides_are_one_patient() -> None:
    assert items(adt("A35", "MRG|MRN10001^^^GENHOSP^MR||ACC1")) == [Filtered("account_merge", "test#1")]
    assert items(adt("A35", "MRG|||ACC1")) == [Filtered("account_merge", "test#1")]


def test_an_account_merge_of_two_patients_is_rejected() -> None:
    assert refused(adt("A35", "MRG|MRN2^^^GENHOSP^MR||ACC1")).reason == "merge_ambiguous"


def test_moving_a_visit_to_another_patient_is_not_a_merge() -> None:
    assert items(adt("A45", "MRG|MRN2^^^GENHOSP^MR||||V1")) == [Filtered("visit_move", "test#1")]


@pytest.mark.parametrize(
    "segments",
    [
        ("MRG||||MRN2^^^GENHOSP^MR",),
        ("MRG||MRN2^^^GENHOSP^MR",),
        ("MRG|MRN2^^^GENHOSP^MR^^^20200101",),
        ("MRG|MRN2^^^genhosp^mr",),
        ("PID|||MRN1^^^GENHOSP^MR", "MRG|MRN2^^^GENHOSP^MR"),
        ("PID", "MRG|MRN2^^^GENHOSP^MR"),
        ("MRG|MRN2^^^GENHOSP^MR", "PID|"),
        ("MRG|MRN2^^^GENHOSP^MR", "PID|2||MRN1^^^GENHOSP^MR"),
    ],
)
@pytest.mark.parametrize("event", ["A18", "A34", "A40"])
def test_every_field_of_the_retired_record_is_read(event: str, segments: tuple[str, ...]) -> None:
    (merge,) = merges(adt(event, *segments, f3="MRN1^^^GENHOSP^MR"))
    assert (merge.survivor, merge.merged) == ((ONE,), (TWO,))


@pytest.mark.parametrize("fields", [{"f2": "MRN1"}, {"f2": "MRN1^^^GENHOSP^MR"}, {"f4": "MRN1^^^GENHOSP^MR"}])
def test_the_survivor_of_an_old_merge_is_in_another_field(fields: dict[str, str]) -> None:
    (merge,) = merges(adt("A34", "MRG|MRN2", f3="", **fields))
    assert (merge.survivor, merge.merged) == ((ONE,), (TWO,))


def test_a_retired_record_may_have_only_a_linking_identifier() -> None:
    body = adt("A40", "MRG|E2^^^EMPI^PI", f3="MRN1^^^GENHOSP^MR")
    (item,) = items(body, linking=frozenset({"EMPI"}))
    assert isinstance(item, PatientMerge)
    assert item.merged == (Identifier("EMPI", "PI", "E2"),)
    assert refused(body).reason == "patient_id_missing"


def test_an_ended_identifier_is_not_a_survivor() -> None:
    detail = refused(adt("A40", "MRG|MRN2", f3="MRN1^^^GENHOSP^MR^^^20200101")).detail
    assert "GENHOSP/MR (ended)" in detail


@pytest.mark.parametrize("pid_3", ["MRN1^^^GENHOSP^MR~MRN2^^^GENHOSP^MR", "MRN2^^^GENHOSP^MR~MRN1^^^GENHOSP^MR"])
def test_the_retired_identifier_may_be_in_pid_3(pid_3: str) -> None:
    (merge,) = [one for one in items(adt("A40", "MRG|MRN2", f3=pid_3)) if isinstance(one, PatientMerge)]
    assert (merge.survivor, merge.merged) == ((ONE,), (TWO,))


@pytest.mark.parametrize(
    ("event", "mrg", "reason"),
    [
        ("A43", [], "merge_incomplete"),
        ("A43", ["MRG|MRN2^^^GENHOSP^MR"], "move_ambiguous"),
        ("A35", ["MRG|MRN2^^^GENHOSP^MR||ACC1"], "merge_ambiguous"),
        ("A40", ["MRG|MRN10001^^^GENHOSP^MR"], "merge_with_itself"),
    ],
)
def test_a_refusal_in_a_rejected_event_is_not_lost(event: str, mrg: list[str], reason: str) -> None:
    rule = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}}
    rejected, item = items(adt(event, *mrg, "ZCP|1|DNC", f13="2175550123"), mapping=rule)
    assert isinstance(rejected, Unmappable)
    assert rejected.reason == reason
    assert isinstance(item, PatientStatements)
    assert {name: one.value for name, one in item.statements.items()} == {"do_not_contact": "yes"}
