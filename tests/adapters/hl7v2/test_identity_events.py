"""Identity events: each is a merge, a change of identifier, an update, or irrelevant."""

from __future__ import annotations

import pytest

from adapters.base import Filtered
from store.preference import Identifier, PatientMerge, PatientStatements, Statement
from tests.adapters.hl7v2.messages import adt, items, refused, stated

OLD, NEW = Identifier("GENHOSP", "MR", "MRN2"), Identifier("GENHOSP", "MR", "MRN1")
PAIR = ("MRG|MRN2^^^GENHOSP^MR",)


@pytest.mark.parametrize("event", ["A18", "A30", "A34", "A36", "A40"])
def test_every_merge_event_merges_two_records(event: str) -> None:
    (merge,) = items(adt(event, *PAIR, f3="MRN1^^^GENHOSP^MR"))
    assert isinstance(merge, PatientMerge)
    assert (merge.survivor, merge.merged, merge.renamed) == ((NEW,), (OLD,), False)


def test_a_change_of_identifier_is_not_a_merge() -> None:
    (change,) = items(adt("A47", *PAIR, f3="MRN1^^^GENHOSP^MR"))
    assert isinstance(change, PatientMerge)
    assert (change.survivor, change.merged, change.renamed) == ((NEW,), (OLD,), True)


def test_all_records_in_one_mrg_are_retired() -> None:
    found = items(adt("A40", "MRG|MRN2^^^GENHOSP^MR~MRN3^^^GENHOSP^MR~9^^^STATE^NI", f3="MRN1^^^GENHOSP^MR"))
    assert [one.merged for one in found if isinstance(one, PatientMerge)] == [(OLD,), (Identifier("GENHOSP", "MR", "MRN3"),)]


def test_further_identifiers_of_the_merged_record_are_retired_too() -> None:
    (merge,) = items(adt("A40", "MRG|MRN2^^^GENHOSP^MR~9^^^STATE^NI", f3="MRN1^^^GENHOSP^MR"))
    assert isinstance(merge, PatientMerge)
    assert merge.merged == (OLD, Identifier("STATE", "NI", "9"))


def test_a_move_updates_the_patient_and_no_superior_record() -> None:
    body = adt("A43", "MRG|MRN1^^^GENHOSP^MR~E2^^^EPI^PI", f3="MRN1^^^GENHOSP^MR~E1^^^EPI^PI", f15="es")
    found = stated(body)
    assert (found.identifiers, found.statements["language"].value) == ((NEW,), "es")


def test_a_move_without_a_common_identifier_is_rejected() -> None:
    assert refused(adt("A43", *PAIR, f3="MRN1^^^GENHOSP^MR")).reason == "move_ambiguous"
    assert refused(adt("A43", f3="MRN1^^^GENHOSP^MR")).reason == "merge_incomplete"


@pytest.mark.parametrize(("event", "reason"), [("A24", "records_linked"), ("A37", "records_unlinked")])
def test_linked_records_are_kept_apart(event: str, reason: str) -> None:
    assert items(adt(event, "PID|||MRN2^^^GENHOSP^MR", f3="MRN1^^^GENHOSP^MR")) == [Filtered(reason, "test#1")]


@pytest.mark.parametrize(
    ("event", "reason"), [("A41", "account_merge"), ("A42", "visit_merge"), ("A44", "account_move"), ("A45", "visit_move")]
)
def test_account_and_visit_events_are_filtered(event: str, reason: str) -> None:
    assert items(adt(event, *PAIR, f3="MRN1^^^GENHOSP^MR")) == [Filtered(reason, "test#1")]


@pytest.mark.parametrize("event", ["A23", "A29"])
def test_a_deleted_record_is_inactive_and_clears_nothing(event: str) -> None:
    found = stated(adt(event, 'ZCP||""', f3="MRN1^^^GENHOSP^MR", f13='""', f15='""'), mapping={"do_not_contact": {"from": "ZCP-2"}})
    assert isinstance(found, PatientStatements)
    assert dict(found.statements) == {"active": Statement(False, "MSH-9.2")}


def test_a_person_added_again_is_active() -> None:
    assert stated(adt("A28")).statements["active"].value is True
    assert "active" not in stated(adt("A08")).statements
