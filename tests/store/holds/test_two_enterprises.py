"""Nothing crosses enterprises: with the same identifiers, numbers and sources in both, each answers and changes as if alone.

What is kept of a source itself is kept by its name, which belongs to one enterprise.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.sms_consent import REVIEW
from store.errors import FeedRestarted, PatientUnknown
from store.holds import impact
from store.holds.configuration import ConfigurationRows
from store.holds.configuration_change import Proposal
from store.holds.falling_due import DueChanges
from store.holds.gate import HoldAll
from store.holds.recompute import Recomputation
from store.holds.remap_source import Remapping, count_read_by_another
from store.holds.retire_source import Release
from store.holds.review import HeldReview
from store.patients import feed_position, opt_out_report
from store.patients.identity_check import IdentityCheck
from store.patients.period_rows import patients_due, sources_due
from store.patients.replies import KeptText, Replies
from store.preference import Codes, Later, emr
from store.runs.causes import Cause, Causes
from store.runs.open_rejections import number_open
from store.runs.rejections import Rejected, RejectionStore
from store.runs.runs import Journal, RunKind
from store.runs.source_checks import Findings, newest
from store.runs.source_stats import Arrivals
from tests.store.row_order import turn_rows
from tests.store.site import ADT, CELL, FHIR, HOME, LINE, SYNCED, WORK, Site, at, cell, merges, says

HERE, THERE = replace(SYNCED, name="alder"), replace(SYNCED, name="birch")
STAFF = Actor(Role.STAFF, "sam")
OLD, OTHER = "+12175550171", "+12175550172"
THEN = at(900_000)
DNC = {"do_not_contact": "yes", "consent.sms": "denied", "preferred_method": "none", "phones": (cell(), cell(HOME)), "language": "es"}
OK = {"do_not_contact": "no", "consent.sms": "granted", "preferred_method": "sms", "phones": (cell(), cell(WORK)), "language": "en"}


class Two(Site):
    """Both enterprises in one database. What happens to one happens to the other with the opposite values."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, HERE, THERE)
        self.journal, self.replies = Journal(database), Replies(database, None)

    def of(self, name: str) -> Site:
        found = Site(self.database, self.enterprises[name])
        found.now = self.now
        return found

    def lives(self, name: str, *, refuses: bool) -> None:
        """Several sources, a merge, opt-outs, replies to review, rejections, runs, held changes, periods, settings."""
        site, said, others = self.of(name), DNC if refuses else OK, OK if refuses else DNC
        later = (Later("consent.sms", at(800_000), said["consent.sms"], "P"),)
        decided = {"do_not_contact": said["do_not_contact"], "phones": (cell(),)}
        coded = replace(says("4", 5, decided), codes={"do_not_contact": Codes("Z", (("A", "Z"),))}, mapping="old")
        site.apply(*(says(patient, 0, said) for patient in "123"), replace(says("5", 0, said), later=later), coded)
        site.apply(*(says(patient, 1, others) for patient in "15"), source=FHIR)
        site.apply(merges("2", "3"))
        site.text("STOP" if refuses else "START")
        site.text("STOP", number=WORK if refuses else HOME)
        with self.database.write(name) as transaction:
            self.replies.add(transaction, name, [KeptText(CELL, LINE, "line", "stop by" + name, at(0))], site.tick())
            store = RejectionStore(self.database, None)
            rejected = [Rejected("code_unmapped", "", name, "L", name.encode())] * (1 + refuses)
            store.add(transaction, rejected, source=ADT, enterprise=name, run_id=None, now=site.tick())
            Arrivals(self.database).count(transaction, name, name, {"applied": 1 + refuses}, now=site.now)
        Findings(self.database).keep_comparison(name, name, {"unchanged": 1 + refuses}, now=site.tick())
        for number in range(2):
            run = self.journal.start(ADT, name, "full", now=site.tick())
            with self.database.write(name) as transaction:
                self.journal.progress(transaction, run, {"unchanged": number + refuses}, None, now=site.now)
                opposite = {"do_not_contact": "no" if refuses else "yes", "consent.sms": others["consent.sms"]}
                site.store.apply_many(transaction, name, ADT, [says("1", 9 + number, opposite)], now=site.now, guard=HoldAll(run.id))
            self.journal.finish(run, "held" if number else "done", None, site.tick())
        with self.database.write(name) as transaction:
            basis = replace(self.enterprises[name], sources=SYNCED.sources[:: -1 if refuses else 1]).own_basis
            ConfigurationRows(self.database).put_in_force(transaction, name, basis, now=site.tick())
        site.store.settings.put(name, {"when_stale": "refuse" if refuses else "flag"}, actor=Actor(Role.ENTERPRISE, "pat"), now=site.tick())
        self.now = site.now

    def answers(self, name: str) -> dict[str, Any]:
        """All that one enterprise is told, at a moment long after."""
        site, found = self.of(name), {}
        site.now = THEN
        for patient in "1245":
            ref = PatientRef(authority="GENHOSP", value=patient)
            known = site.find(patient)
            seen = site.known(patient)
            found[patient] = [seen.contact, seen.opt_outs, known, site.store.history(name, known.id), site.store.as_of(name, ref, THEN)]
        found["3"] = [site.find("3").id]
        found["changes"] = [site.store.changes(name, 0, 10_000)]
        found["settings"] = [site.store.settings.get(name)]
        found["opt-outs"] = [
            opt_out_report.part(self.database, name, opt_out_report.Wanted()),
            [*opt_out_report.opted_out(self.database, name)],
        ]
        found["replies"] = [self.replies.some(name), self.replies.waiting(name)]
        found["rejections"] = [
            Causes(self.database).open(name),
            Causes(self.database).unreadable(name, [Cause(ADT, "code_unmapped", name, "do_not_contact")]),
            number_open(self.database, name, ADT),
            self.journal.rejection_store.count(name, ADT),
        ]
        found["runs"] = [self.journal.runs(name), newest(self.database, name, ADT), Findings(self.database).comparison(name, name)]
        found["hours"] = [Arrivals(self.database).hours(name, name, now=THEN, count=400)]
        found["audit"] = [Audit(self.database).newest(name)]
        found["identities"] = [IdentityCheck(site.store, name).find()]
        enterprise = self.enterprises[name]
        with self.database.read() as connection:
            found["basis"] = [ConfigurationRows(self.database).state(connection, name)]
            found["due"] = [
                sources_due(self.database, connection, name, THEN),
                patients_due(self.database, connection, name, emr(ADT), THEN, 0, 99),
            ]
            found["remap"] = [count_read_by_another(self.database, connection, name, emr(ADT), "new")]
            found["release"] = [impact.retirement_impact(self.database, connection, enterprise, ADT, THEN)]
            changed = replace(enterprise, sources=SYNCED.sources[1:])
            found["change"] = [impact.configuration_impact(self.database, connection, enterprise, changed)]
            found["held"] = [HeldReview(site.store, self.journal).held.expired(connection, name, THEN)]
            feed_position.check(self.database, name, found["changes"][0][-1].seq, "")
        return found


@pytest.fixture
def two(database: Database) -> Two:
    found = Two(database)
    found.lives("alder", refuses=True)
    return found


def test_what_one_enterprise_is_told_is_the_same_whatever_happens_in_the_other(two: Two) -> None:
    before = two.answers("alder")
    two.lives("birch", refuses=False)
    assert two.answers("alder") == before
    two.of("birch").text("STOP")
    here, there = ({who for one in two.answers(name)["opt-outs"][0].opt_outs for who in one.patients} for name in ("alder", "birch"))
    assert here
    assert there
    assert not here & there
    assert two.replies.waiting("birch")[REVIEW].number == 1


def test_what_happens_in_one_enterprise_leaves_the_other_as_it_is(two: Two) -> None:
    two.lives("birch", refuses=False)
    before, site = two.answers("alder"), two.of("birch")
    site.text("STOPALL", number=HOME)
    site.text("STOPALL", number=WORK)
    site.text("START")
    by_hand = {"actor": STAFF, "reason": "phoned", "now": site.tick()}
    site.store.record_sms_opt_out("birch", site.find("1").id, line=None, **by_hand)
    site.store.unmerge("birch", PatientRef(authority="GENHOSP", value="3"), **by_hand)
    DueChanges(site.store).run("birch", THEN)
    Recomputation(two.of("birch").store, chunk=1).run("birch", site.tick())
    turned = site.configured(replace(THERE, sources=SYNCED.sources[::-1]))
    Recomputation(turned.store).run("birch", site.tick())
    with two.database.write("birch") as transaction:
        Remapping(site.store, "birch", ADT, Silent()).page(transaction, 99, after=0, now=site.tick())
    HeldReview(site.store, two.journal).expire("birch", after=timedelta(0), now=THEN)
    site.apply(merges("1", "2", 700), merges("4", "5", 700))
    assert two.answers("alder") == before


def test_a_source_that_is_retired_in_one_enterprise_keeps_what_it_stated_in_the_other(two: Two) -> None:
    """A source that was moved by mistake."""
    two.lives("birch", refuses=False)
    before, site = two.answers("alder"), two.of("birch")
    with two.database.write("birch") as transaction:
        two.journal.mark_received(transaction, ADT, "birch", now=site.tick())
    Release(site.store, two.journal).release(ADT, STAFF, site.tick())
    after = two.answers("alder")
    assert [after[name] for name in (*"12345", "changes")] == [before[name] for name in (*"12345", "changes")]


def test_what_is_told_does_not_depend_on_the_order_of_the_rows_in_the_database(two: Two) -> None:
    before = two.answers("alder")
    turn_rows(two.database)
    assert two.answers("alder") == before


def test_the_id_of_a_patient_of_another_enterprise_is_unknown(two: Two) -> None:
    ref, store, hand = PatientRef(id=two.of("alder").find("1").id), two.store, {"actor": STAFF, "reason": "asked", "now": THEN}
    assert ref.id is not None
    for call in (
        partial(store.find, "birch", ref),
        partial(store.as_of, "birch", ref, THEN),
        partial(store.history, "birch", ref.id),
        partial(store.record_sms_opt_out, "birch", ref.id, line=None, **hand),
        partial(store.set_do_not_contact, "birch", ref.id, "no", **hand),
        partial(store.set_preferred_phone, "birch", ref.id, HOME, actor=STAFF, now=THEN),
        partial(store.unmerge, "birch", ref, **hand),
    ):
        with pytest.raises(PatientUnknown):
            call()
    assert [type(one) for one in store.known("birch", [ref], THEN)] == [PatientUnknown]


def test_a_feed_goes_on_from_changes_of_its_own_enterprise_only(two: Two) -> None:
    two.lives("birch", refuses=False)
    theirs = two.store.changes("birch", 0, 10_000)[-1].seq
    with pytest.raises(FeedRestarted):
        feed_position.check(two.database, "alder", theirs, "")
    assert feed_position.epoch(two.database, "alder", theirs) == feed_position.BEGINNING


def test_a_number_that_was_somebodys_in_one_enterprise_says_nothing_of_its_former_owners_in_another(two: Two) -> None:
    here, there = two.of("alder"), two.of("birch")
    for site in (here, there):
        site.apply(says("6", 0, {"phones": (cell(OLD),)}), says("7", 0, {"phones": (cell(OTHER),)}))
    here.text("STOP", number=OTHER)
    for site in (here, there):
        site.apply(says("6", 1, {"phones": ()}), says("7", 1, {"phones": ()}))
    here.text("STOP", 0.5, number=OLD)
    assert [[len(site.find(patient).opt_outs) for patient in "67"] for site in (here, there)] == [[1, 1], [0, 0]]


def test_a_reply_that_waits_in_one_enterprise_suspends_no_texts_in_another(database: Database) -> None:
    two = Two(database)
    here, there = two.of("alder"), two.of("birch")
    for site in (here, there):
        site.apply(says("1", 0, {"phones": (cell(),)}))
        site.text("stop by at noon", 1)
    (reply,) = two.replies.some("birch")
    assert not there.may_text("1")
    there.store.decide_reply("birch", reply.id, "dismiss", actor=STAFF, reason="asked", now=there.tick())
    assert (here.may_text("1"), there.may_text("1")) == (False, True)


def test_a_configuration_that_was_never_written_is_known_by_values_of_the_enterprise(database: Database) -> None:
    turned = replace(THERE, sources=SYNCED.sources[::-1])
    for enterprise in (HERE, turned):
        Site(database, enterprise).apply(says("1", 0, DNC))
    with database.read() as connection:
        found = [ConfigurationRows(database).state(connection, one.name) for one in (HERE, turned)]
    assert [one.in_force for one in found] == [HERE.own_basis, turned.own_basis]


class Silent:
    """A mapping that reads nothing."""

    mapping = "new"

    def reread(self, attribute: str, codes: Codes) -> tuple[None, None]:
        return None, None


def test_a_configuration_that_waited_in_one_enterprise_does_not_count_in_the_past_of_the_other(two: Two) -> None:
    two.lives("birch", refuses=False)
    waits = replace(HERE, sources=HERE.sources[::-1])
    here, there = two.of("alder"), two.of("birch")
    before = there.store.as_of("birch", PatientRef(authority="GENHOSP", value="1"), two.now).contact
    assert before.preferred_method == "sms"
    with two.database.write("alder") as transaction:
        ConfigurationRows(two.database).put_in_force(transaction, "alder", HERE.own_basis, now=here.tick())
    assert Proposal(two.database, waits).propose(lambda synced, patients: False, here.tick()) is not None
    assert there.store.as_of("birch", PatientRef(authority="GENHOSP", value="1"), THEN).contact == before


def test_a_full_read_of_one_enterprise_is_no_comparison_of_the_other(two: Two) -> None:
    """Of a source of the same name."""
    two.lives("birch", refuses=False)
    before = newest(two.database, "birch", ADT)
    run = two.journal.start(ADT, "alder", RunKind.FULL, now=two.tick())
    with two.database.write("alder") as transaction:
        two.journal.progress(transaction, run, {"unchanged": 7}, None, now=two.now)
    two.journal.finish(run, "done", None, two.tick())
    assert newest(two.database, "alder", ADT) is not None
    assert newest(two.database, "birch", ADT) == before
