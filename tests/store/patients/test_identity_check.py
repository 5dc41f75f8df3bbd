"""Patients who were joined before and would not be today: found, shown, and parted without losing what stops contact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.enterprise import Source
from store.domain.ids import parsed
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.holds.falling_due import DueChanges
from store.patients.identity_check import IdentityCheck, Joined
from store.preference import Identifier, Later, Problem
from tests.store.site import ADT, FHIR, LINE, SYNCED, Site, at, cell, merges, mr, says

OLD_DNC = {"do_not_contact": "yes", "phones": (cell(),)}
OPERATOR = Actor(Role.OPERATOR, "kim")
RULES = replace(
    SYNCED,
    linking=frozenset({"EMPI"}),
    sources=(
        Source(ADT, "Hospital ADT", patient_id=(("GENHOSP", "MR"), ("GENHOSP", "MRN"))),
        Source(FHIR, "Clinic FHIR", patient_id=(("CLINIC", "MR"),)),
    ),
)


def clinic(value: str) -> Identifier:
    return Identifier("CLINIC", "MR", value)


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database, RULES)


def joined_before(site: Site, first: Identifier, *others: Identifier, kind: str = "") -> None:
    """Names the patient of an identifier by more, as any shared one did before there were kinds."""
    with site.database.write(site.enterprise) as transaction:
        run = transaction.exec_driver_sql
        run("UPDATE identifiers SET kind = ''")
        number = parsed(site.find(first.value, first.authority).id)
        for one in others:
            run(
                "INSERT INTO identifiers (enterprise, value, authority, type, origin, patient_id, kind)"
                f" VALUES ('{site.enterprise}', '{one.value}', '{one.authority}', '{one.type}', {number}, {number}, '{kind}')"
            )


def check(site: Site) -> IdentityCheck:
    return IdentityCheck(site.store, site.enterprise)


def split(site: Site, found: Joined) -> list[str]:
    return check(site).split(parsed(found.id) or 0, actor=OPERATOR, now=site.tick())


def old_patient(site: Site) -> Joined:
    """Of 1001 and 1002 one patient was made: a DNC of one, then an OK and another number of the other."""
    site.apply(says("1001", 0, OLD_DNC | {"consent.voice": "denied"}), says("1001", 1, {"do_not_contact": "no", "language": "es"}))
    joined_before(site, mr("1001"), mr("1002"), mr("0", "PN", "FMP"), clinic("5"))
    (found,) = check(site).find()
    return found


def test_what_was_joined_is_listed_with_what_would_change(site: Site) -> None:
    found = old_patient(site)
    assert found.id == site.find("1001").id
    assert found.why == "several of GENHOSP/MR"
    assert [[one.value for one in part] for part in found.parts] == [["5"], ["1001"], ["1002"]]
    assert [one.value for one in found.left_out] == ["0"]
    assert (found.kept, found.returning) == (("consent.voice", "do_not_contact"), ("do_not_contact",))
    assert (found.unknown, found.blocked) == (("language", "phones"), "")
    assert site.value("1001", "language") == "es", "a look changes nothing"


def test_patients_of_another_enterprise_are_not_looked_at(site: Site) -> None:
    old_patient(site)
    assert check(site.configured(replace(RULES, name="another"))).find() == []


def test_parted_patients_keep_every_refusal_and_nothing_else(site: Site) -> None:
    found = old_patient(site)
    assert len(set(split(site, found))) == 3
    assert len({site.find(number).id for number in ("1001", "1002")} | {site.find("5", "CLINIC").id}) == 3
    for number in ("1001", "1002"):
        assert site.dnc(number) == "yes"
        assert site.value(number, "consent.voice") == "denied"
        assert site.value(number, "language") is None
        assert site.find(number).contact.phones == ()
        assert [one.source for one in site.find(number).marks] == [ADT], "its source goes on mastering it"
    assert check(site).find() == []
    assert split(site, found) == []


def test_parted_patients_stay_locked_and_know_nothing_where_nothing_stopped_contact(site: Site) -> None:
    site.apply(says("1001", 0, {"do_not_contact": "no", "language": "es"}))
    joined_before(site, mr("1001"), mr("1002"))
    (found,) = check(site).find()
    assert (found.kept, found.unknown) == ((), ("do_not_contact", "language"))
    split(site, found)
    for number in ("1001", "1002"):
        assert [one.source for one in site.find(number).marks] == [ADT]
        assert (site.dnc(number), site.value(number, "language")) == ("unknown", None)


def test_what_could_not_be_read_holds_for_each(site: Site) -> None:
    site.apply(says("1001", 0), says("1001", 1, problems=(Problem("code_unknown", "ZCP-2", "", "do_not_contact"),)))
    joined_before(site, mr("1001"), mr("1002"))
    (found,) = check(site).find()
    split(site, found)
    assert [[one.attribute for one in site.find(number).unreadable] for number in ("1001", "1002")] == [["do_not_contact"]] * 2


def test_after_parting_each_source_statement_counts_for_its_own_patient(site: Site) -> None:
    split(site, old_patient(site))
    outcomes = site.apply(says((mr("1002"), mr("0", "PN", "FMP")), 1, {"do_not_contact": "no", "language": "es"}), says("1001", 0, OLD_DNC))
    assert outcomes == ["applied", "applied"]
    assert (site.dnc("1001"), site.dnc("1002")) == ("yes", "no")
    assert (site.value("1001", "language"), site.value("1002", "language")) == (None, "es")
    assert site.find("1001").contact.phones != ()


def test_a_stop_of_the_one_patient_holds_for_each(site: Site) -> None:
    site.apply(says("1001", 0, {"phones": (cell(),)}))
    site.store.record_reply(site.enterprise, LINE, cell().number, "STOP", None, site.tick())
    joined_before(site, mr("1001"), mr("1002"))
    (found,) = check(site).find()
    split(site, found)
    other = cell("+12175550199")
    site.apply(says("1001", 5, {"phones": (other,)}), says("1002", 5, {"phones": (other,)}))
    for number in ("1001", "1002"):
        assert site.decision(number).decision == "do_not_send"


def test_a_kept_refusal_can_be_taken_back_by_what_its_source_states_later(site: Site) -> None:
    split(site, old_patient(site))
    site.apply(says("1001", 50, {"do_not_contact": "no", "consent.voice": "granted"}))
    assert (site.dnc("1001"), site.dnc("1002")) == ("no", "yes")


def test_two_sources_that_met_without_a_link_would_be_two(site: Site) -> None:
    site.apply(says("1", 0, {"language": "es"}))
    joined_before(site, mr("1"), clinic("5"), Identifier("NHS", "NI", "9434765919"))
    (found,) = check(site).find()
    assert found.why == "CLINIC/MR and GENHOSP/MR without a linking identifier"
    assert [[one.value for one in part] for part in found.parts] == [["5"], ["1"]]


@pytest.mark.parametrize(
    "others",
    [
        (clinic("5"), Identifier("EMPI", "PI", "E7")),
        (mr("9", "MRN"),),
        (Identifier("NHS", "NI", "1"), Identifier("NHS", "NI", "2")),
        (Identifier(ADT, "RI", "a"), Identifier(ADT, "RI", "b")),
        (mr("1", ""),),
    ],
)
def test_what_would_join_today_too_is_not_listed(site: Site, others: tuple[Identifier, ...]) -> None:
    site.apply(says("1", 0))
    joined_before(site, mr("1"), *others)
    assert check(site).find() == []


def test_a_former_identifier_of_the_same_record_is_no_stranger(site: Site) -> None:
    site.apply(says("1", 0))
    joined_before(site, mr("1"), mr("2"), kind="former")
    assert check(site).find() == []


def test_a_link_goes_to_whom_is_not_known_where_there_are_several(site: Site) -> None:
    site.apply(says("1", 0))
    joined_before(site, mr("1"), mr("2"), clinic("5"), Identifier("EMPI", "PI", "E7"))
    (found,) = check(site).find()
    assert [[one.value for one in part] for part in found.parts] == [["1"], ["2"]]
    assert {one.value for one in found.left_out} == {"5", "E7"}
    split(site, found)
    site.apply(says((mr("2"), Identifier("EMPI", "PI", "E7")), 5))
    site.apply(says((clinic("5"), Identifier("EMPI", "PI", "E7")), 6, {"do_not_contact": "yes"}), source=FHIR)
    assert site.find("5", "CLINIC").id == site.find("2").id
    assert (site.dnc("1"), site.dnc("2")) == ("unknown", "yes")


def test_a_patient_of_merged_records_waits_for_the_merge_to_be_undone(site: Site) -> None:
    site.apply(says("1", 0), says("7", 0), merges("1", "7"))
    joined_before(site, mr("1"), mr("2"))
    (found,) = check(site).find()
    assert "unmerge" in found.blocked
    assert split(site, found) == []


def test_parting_is_in_the_history_and_in_the_audit_log(site: Site) -> None:
    found = old_patient(site)
    _, second, third = split(site, found)
    assert site.store.find(site.enterprise, PatientRef(id=found.id)).identifiers == ()
    assert site.store.find(site.enterprise, PatientRef(id=found.id)).contact.do_not_contact == "yes", "the former id is nobody's"
    history = site.store.history(site.enterprise, found.id)
    assert {"split_into", "language", "phones"} <= {one.attribute for one in history}
    (event,) = [one for one in site.store.history(site.enterprise, third) if one.attribute == "split_from"]
    assert (event.after, event.actor) == (found.id, "operator:kim")
    (link,) = Audit(site.database).newest(site.enterprise, found.id)
    assert link.line.action == "split_patient"
    assert second in link.line.detail


def test_only_the_patients_asked_for_are_looked_at(site: Site) -> None:
    found = old_patient(site)
    site.apply(says("3", 0))
    number: Any = parsed(site.find("3").id)
    assert check(site).find([number]) == []
    assert check(site).find([parsed(found.id) or 0]) == [found]


def test_a_refusal_to_come_is_ahead_of_each_and_no_permission_to_come_is(site: Site) -> None:
    found = old_patient(site)
    begins = at(50_000)
    item = says("1001", 2, {}, evidence="Consent/c1/_history/1")
    later = (
        Later("consent.sms", begins, "denied", "p"),
        Later("consent.email", begins, "granted", "p"),
        Later("consent.sms", at(60_000), None, "p"),
    )
    site.apply(replace(item, later=later))
    ids = split(site, found)
    DueChanges(site.store).run(site.enterprise, at(70_000))
    consents = [site.store.find(site.enterprise, PatientRef(id=one)).contact.consents for one in ids]
    assert consents == [{"voice": "denied", "sms": "denied"}] * len(ids)
