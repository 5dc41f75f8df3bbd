"""What was known at an earlier time is what was shown at that time, whatever happened since."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import IdentifierAmbiguous, PatientUnknown
from store.holds.gate import HoldAll
from store.holds.review import HeldReview
from store.patients.as_of import AsOf
from store.runs.runs import Journal
from tests.store.holds.test_configuration_change import Running
from tests.store.holds.test_retire_source import Retiring
from tests.store.site import ADT, CELL, ENTERPRISE_USER, FHIR, HOME, LINE, LOCAL, OTHER_LINE, SYNCED, Site, cell, merges, mr, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}
STAFF = Actor(Role.STAFF, "sam")


class Seen(NamedTuple):
    """What the facesheet showed at a moment."""

    when: datetime
    patient: str
    version: int
    values: dict[str, Any]
    contact: Any
    opt_outs: frozenset[Any]


def seen(site: Site, patient: str) -> Seen:
    found = site.find(patient)
    values = {name: (one.value, one.authority, one.assertion.evidence_id) for name, one in found.preferences.items()}
    return Seen(site.now, patient, found.version, values, found.contact, frozenset(found.opt_outs))


def ask(site: Site, patient: str, when: datetime) -> AsOf:
    return site.store.as_of(site.enterprise, PatientRef(authority="GENHOSP", value=patient), when)


def known(site: Site, patient: str, when: datetime) -> Seen:
    found = ask(site, patient, when)
    values = {name: (one.value, one.authority, one.assertion.evidence_id) for name, one in found.preferences.items()}
    return Seen(when, patient, found.version, values, found.contact, frozenset(found.opt_outs))


def without_evidence(moment: Seen) -> Seen:
    """Where several messages say the same, any of them is evidence for it."""
    return moment._replace(values={name: said[:2] for name, said in moment.values.items()})


def test_each_value_names_the_message_that_brought_it(site: Site) -> None:
    site.apply(says("1", 1, {**NO, "language": "es"}, evidence="A"))
    first = site.now
    site.apply(says("1", 2, YES, evidence="B"))
    then, now = ask(site, "1", first), ask(site, "1", site.now)
    assert (then.preferences["do_not_contact"].value, then.preferences["do_not_contact"].assertion.evidence_id) == ("no", "A")
    assert (now.preferences["do_not_contact"].value, now.preferences["do_not_contact"].assertion.evidence_id) == ("yes", "B")
    assert now.preferences["language"].assertion.evidence_id == "A"
    assert now.preferences["do_not_contact"].assertion.path == "at/do_not_contact"
    assert (then.version, now.version) == (1, 2)


def test_before_the_first_message_nothing_was_known(site: Site) -> None:
    before = site.now
    site.apply(says("1", 1, YES))
    with pytest.raises(PatientUnknown, match="at that time"):
        ask(site, "1", before)


def test_a_message_that_came_late_was_not_known_before_it_came(site: Site) -> None:
    site.apply(says("1", 50, NO))
    before = site.now
    site.apply(says("1", 60, YES))
    assert ask(site, "1", before).contact.do_not_contact == "no"


def test_before_a_merge_each_record_was_itself(site: Site) -> None:
    site.apply(says("1", 1, {**NO, "language": "es"}), says("2", 1, YES))
    before, other = site.now, site.find("2").id
    site.apply(merges("1", "2"))
    assert ask(site, "1", before).contact.do_not_contact == "no"
    assert ask(site, "2", before).contact.do_not_contact == "yes"
    assert ask(site, "2", before).id == other
    assert site.store.as_of(site.enterprise, PatientRef(id=other), before).contact.do_not_contact == "yes"
    after = ask(site, "2", site.now)
    assert (after.id, after.contact.do_not_contact, after.contact.language) == (site.find("1").id, "yes", "es")
    assert site.store.as_of(site.enterprise, PatientRef(id=other), site.now).id == after.id


def test_after_a_merge_was_undone_every_moment_is_as_it_was(site: Site) -> None:
    site.apply(says("1", 1, {**NO, "phones": (cell(CELL),)}), says("2", 1, {**YES, "language": "es"}))
    moments = [seen(site, patient) for patient in "12"]
    site.apply(merges("1", "2"))
    moments += [seen(site, patient) for patient in "12"]
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="2"), actor=STAFF, reason="two people", now=site.tick())
    moments += [seen(site, patient) for patient in "12"]
    site.apply(says("2", 200, NO))
    moments += [seen(site, patient) for patient in "12"]
    assert [known(site, moment.patient, moment.when) for moment in moments] == moments


def test_an_identifier_of_several_patients_then_is_ambiguous(site: Site) -> None:
    site.apply(says((mr("1"), mr("X", authority="A")), 1, YES), says((mr("2"), mr("X", authority="B")), 1, NO))
    before = site.now
    site.apply(merges("1", "2"))
    shared = PatientRef(value="X")
    assert site.store.as_of(site.enterprise, shared, site.now).contact.do_not_contact == "yes"
    with pytest.raises(IdentifierAmbiguous):
        site.store.as_of(site.enterprise, shared, before)
    assert site.store.as_of(site.enterprise, PatientRef(authority="B", value="X"), before).contact.do_not_contact == "no"


def test_opt_outs_are_those_that_stood(site: Site) -> None:
    site.apply(says("1", 1, {"phones": (cell(CELL), cell(HOME))}))
    moments = [seen(site, "1")]
    for word, line in (("STOP", LINE), ("STOPALL", LINE), ("START", OTHER_LINE), ("START", LINE), ("hello", LINE)):
        site.text(word, line=line)
        moments.append(seen(site, "1"))
    for topic_line in (LINE, LINE, None):
        number = site.find("1").id
        site.store.record_sms_opt_out(site.enterprise, number, line=topic_line, actor=STAFF, now=site.tick())
        moments.append(seen(site, "1"))
    site.store.settings.put(site.enterprise, {"staff_may_record_opt_in": True}, actor=ENTERPRISE_USER, now=site.tick())
    for line, topic in ((LINE, None), (None, None), (LINE, "billing"), (None, "billing")):
        said = {"line": line, "topic": topic, "actor": STAFF, "reason": "asked"}
        site.store.record_sms_opt_out(site.enterprise, number, **said, now=site.tick())
        moments.append(seen(site, "1"))
        site.store.record_sms_opt_in(site.enterprise, number, HOME, **said, now=site.tick())
        moments.append(seen(site, "1"))
    assert [known(site, "1", one.when) for one in moments] == moments


def test_a_patient_of_another_enterprise_is_unknown(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    both.outcomes(says("1", 1, YES), enterprise="other")
    number = both.store.changes("other", 0, 10)[0].patient_id
    with pytest.raises(PatientUnknown):
        both.store.as_of(both.enterprise, PatientRef(id=number), both.now)


def step(site: Site, dice: random.Random, place: int) -> None:
    """Something happens."""
    patient, source = dice.choice("123"), dice.choice((ADT, FHIR))
    stated: dict[str, Any] = {
        "do_not_contact": dice.choice(("yes", "no", None)),
        "consent.sms": dice.choice(("granted", "denied", None)),
        "language": dice.choice(("en", "es", None)),
        "phones": dice.choice(((cell(CELL),), (cell(HOME), cell(CELL)), (), None)),
        "topic.billing.sms": dice.choice(("granted", "denied")),
    }
    said = {name: stated[name] for name in dice.sample(sorted(stated), dice.randint(1, 4))}
    what = dice.random()
    if what < 0.75:
        site.apply(says(patient, place + dice.randint(-6, 6), said, evidence=f"M{place}"), source=source)
    elif what < 0.9:
        site.text(dice.choice(("STOP", "START", "STOPALL")), number=dice.choice((CELL, HOME)), line=dice.choice((LINE, OTHER_LINE)))
    else:
        survivor, merged = dice.sample("123", 2)
        site.apply(merges(survivor, merged, place))


@pytest.mark.parametrize("seed", range(6))
def test_any_moment_of_any_history_is_known_again(site: Site, seed: int) -> None:
    dice, moments = random.Random(seed), []
    site.apply(*(says(patient, 0, {"language": "en"}) for patient in "123"))
    for place in range(1, 40):
        step(site, dice, place)
        moments += [seen(site, patient) for patient in "123"]
    for moment in moments:
        assert without_evidence(known(site, moment.patient, moment.when)) == without_evidence(moment)


@pytest.fixture
def retiring(site: Site) -> Retiring:
    """Two sources: one denies what the other allows, and each alone states something."""
    found = Retiring(site)
    found.hears(says("1", 1, {**YES, "language": "es", "consent.sms": "denied", "phones": (cell(CELL),)}, evidence="A"))
    found.hears(says("1", 2, {**NO, "consent.voice": "granted", "language": "en"}, evidence="F"), source=FHIR)
    found.hears(says("2", 1, {**YES, "topic.billing.sms": "denied"}, evidence="B"))
    return found


def test_each_moment_around_the_retiring_of_a_source_is_known_again(retiring: Retiring) -> None:
    site, moments = retiring.site, []

    def look() -> None:
        moments.extend(seen(site, patient) for patient in "12")

    look()
    retiring.release(ADT)
    look()
    site.apply(says("1", 30, {**NO, "consent.sms": "granted"}, evidence="F2"), source=FHIR)
    look()
    retiring.undo()
    look()
    site.apply(says("1", 40, {**YES, "language": "de"}, evidence="A2"))
    look()
    retiring.release(FHIR)
    retiring.release(ADT)
    look()
    assert [known(site, moment.patient, moment.when) for moment in moments] == moments


def test_a_value_kept_from_a_retired_source_names_the_message_that_brought_it(retiring: Retiring) -> None:
    retiring.release(ADT)
    site = retiring.site
    shown, then = site.find("1").preferences["do_not_contact"], ask(site, "1", site.now).preferences["do_not_contact"]
    assert (then.value, then.authority, then.assertion.evidence_id) == ("yes", "staff", "A")
    assert then.assertion.path == shown.assertion.path == "released:adt:at/do_not_contact"


@pytest.mark.parametrize("undone_first", [True, False])
def test_a_source_retired_between_a_merge_and_its_undoing_is_known_again(retiring: Retiring, undone_first: bool) -> None:
    site, moments = retiring.site, []

    def look() -> None:
        moments.extend(seen(site, patient) for patient in "12")

    def part() -> None:
        site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="2"), actor=STAFF, reason="two", now=site.tick())

    site.apply(merges("1", "2"))
    look()
    retiring.release(ADT)
    look()
    for step in (part, retiring.undo) if undone_first else (retiring.undo, part):
        step()
        look()
    assert [known(site, moment.patient, moment.when) for moment in moments] == moments


def test_each_moment_of_the_local_toggle_and_of_the_chosen_phone_is_known_again(local: Site) -> None:
    local.apply(says("1", 1, {"phones": (cell(CELL), cell(HOME)), **NO}))
    moments = [seen(local, "1")]
    for value in ("yes", "no", "yes"):
        local.flip("1", value)
        moments.append(seen(local, "1"))
    local.store.set_preferred_phone(local.enterprise, local.find("1").id, HOME, actor=ENTERPRISE_USER, now=local.tick())
    moments.append(seen(local, "1"))
    assert [known(local, "1", one.when) for one in moments] == moments
    said = ask(local, "1", local.now).preferences["do_not_contact"]
    assert (said.authority, said.assertion.evidence_id) == ("staff", "enterprise:pat")


def test_a_local_do_not_contact_yields_to_the_emr_at_the_same_moment_as_it_did(local: Site) -> None:
    local.apply(says("1", 1, {"language": "en"}))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.now = local.now
    moments = [seen(synced, "1")]
    synced.apply(says("1", 20_005, NO))
    moments.append(seen(synced, "1"))
    synced.apply(says("1", 20_006, {"do_not_contact": None}))
    moments.append(seen(synced, "1"))
    assert [one.contact.do_not_contact for one in moments][:2] == ["yes", "no"]
    assert [known(synced, "1", one.when) for one in moments] == moments


def test_a_local_do_not_contact_that_yields_to_what_an_emr_only_repeats_is_known_as_it_was(local: Site) -> None:
    local.apply(says("1", 1, NO))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.now = local.now
    moments = [seen(synced, "1")]
    synced.apply(says("1", 20_005, NO))
    moments.append(seen(synced, "1"))
    assert [one.contact.do_not_contact for one in moments] == ["yes", "no"]
    assert [known(synced, "1", one.when) for one in moments] == moments


def test_what_the_safeguard_held_was_not_known_before_a_person_let_it_through(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="A"))
    moments = [seen(site, "1")]
    run = Journal(site.database).start(ADT, site.enterprise, "incremental", now=site.tick())
    with site.database.write(site.enterprise) as transaction:
        held = says("1", 5, NO, evidence="B")
        site.store.apply_many(transaction, site.enterprise, ADT, [held], now=site.tick(), run_id=run.id, guard=HoldAll(run.id))
    Journal(site.database).finish(run, "held", None, site.now)
    moments.append(seen(site, "1"))
    HeldReview(site.store, Journal(site.database)).approve(run.id, ENTERPRISE_USER, site.tick())
    moments.append(seen(site, "1"))
    assert [one.contact.do_not_contact for one in moments] == ["yes", "yes", "no"]
    assert [known(site, "1", one.when) for one in moments] == moments
    assert ask(site, "1", site.now).preferences["do_not_contact"].assertion.evidence_id == "B"


def test_each_moment_is_known_by_the_configuration_of_then(site: Site) -> None:
    running = Running(site, LOCAL)
    moments = []

    def look() -> None:
        moments.extend(seen(running, patient) for patient in "123")

    running.apply(*(says(patient, 1, {**YES, "preferred_method": "sms", "language": "en"}) for patient in "123"))
    running.apply(says("1", 2, {**NO, "language": "es"}), source=FHIR)
    look()
    running = running.restarted(SYNCED)
    look()
    running = running.restarted(replace(SYNCED, sources=SYNCED.sources[::-1]))
    look()
    running = running.restarted(LOCAL)
    assert running.held is not None, "the safeguard holds what would make three patients contactable"
    look()
    running.approve()
    look()
    running = running.restarted(SYNCED)
    look()
    silent = [moment.contact.do_not_contact for moment in moments]
    assert silent == ["unknown"] * 3 + ["yes"] * 9 + ["unknown"] * 3 + ["yes"] * 3
    assert [known(running, moment.patient, moment.when) for moment in moments] == moments


def test_what_a_configuration_that_was_put_back_refused_is_not_shown_since(site: Site) -> None:
    """Two sources that contradict each other: the changed order would refuse for some and loosen others, so it waits, and is put back."""
    running = Running(site, SYNCED)
    running.apply(*(says(patient, 1, {"preferred_method": "none"}) for patient in "123"), says("4", 1, {"preferred_method": "sms"}))
    running.apply(*(says(patient, 1, {"preferred_method": "sms"}) for patient in "123"), source=FHIR)
    running.apply(says("4", 1, {"preferred_method": "none"}), source=FHIR)
    moments = [seen(running, patient) for patient in "14"]
    running = running.restarted(replace(SYNCED, sources=SYNCED.sources[::-1]))
    assert running.held is not None
    moments += [seen(running, patient) for patient in "14"]
    running = running.restarted(SYNCED)
    assert running.held is None
    moments += [seen(running, patient) for patient in "14"]
    running = running.restarted(replace(SYNCED, sources=SYNCED.sources[::-1]))
    running.approve()
    moments += [seen(running, patient) for patient in "14"]
    shown = [moment.values["preferred_method"][0] for moment in moments]
    assert shown == ["none", "sms", "none", "none", "none", "sms", "sms", "none"]
    assert [known(running, moment.patient, moment.when) for moment in moments] == moments
