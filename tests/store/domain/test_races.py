"""Sources, replies and staff at the same time: no opt-out is lost, nobody is there twice, nothing stands still."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import pairwise

from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import VersionConflict
from store.preference import PatientStatements
from tests.store.site import ADT, CELL, ENTERPRISE_USER, FHIR, LINE, OTHER_LINE, SYNCED, Site, at, cell, mr, says

PATIENTS = [str(number) for number in range(12)]
ROUNDS, BATCH = 50, 25
PATIENCE = 60
RACES = 100
Said = dict[tuple[str, str, str], tuple[float, str]]
"""(source, patient, attribute) -> the newest time, and what was said then."""


def together(*works: Callable[[], None]) -> None:
    """Runs all at once; fails with the first error, or when they do not end."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        try:
            barrier.wait()
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    assert not errors, errors


def feeding(site: Site, source: str, seed: int, said: Said) -> Callable[[], None]:
    """Batches of a source, in no order of time; ``said`` learns what is newest."""
    chance = random.Random(seed)

    def item() -> PatientStatements:
        patient, seconds = chance.choice(PATIENTS), chance.randrange(100_000) + seed / 100
        statements = {"do_not_contact": chance.choice(["yes", "no"]), "consent.voice": chance.choice(["denied", "granted"])}
        if chance.random() < 0.5:
            del statements["consent.voice"]
        for attribute, value in statements.items():
            said[source, patient, attribute] = max(said.get((source, patient, attribute), (-1.0, "")), (seconds, value))
        phones = {"phones": (cell(),)} if source == ADT else {}
        return says((mr(patient), mr(f"{source}-{patient}", "AN")), seconds, {**statements, **phones}, evidence=f"{seed}-{seconds}")

    batches = [[item() for _ in range(BATCH)] for _ in range(ROUNDS)]

    def feed() -> None:
        for items in batches:
            with site.database.write(site.enterprise) as transaction:
                site.store.apply_many(transaction, site.enterprise, source, items, now=at(200_000))

    return feed


def replying(site: Site, line: str, seed: int) -> tuple[Callable[[], None], bool]:
    """STOP and START in no order; whether the newest of them is a STOP."""
    chance = random.Random(seed)
    words = [(seconds, chance.choice(["STOP", "START"])) for seconds in chance.sample(range(100_000), 60)]

    def reply() -> None:
        for seconds, word in words:
            site.store.record_reply(site.enterprise, line, CELL, word, at(seconds), at(200_000))

    return reply, max(words)[1] == "STOP"


def tailing(site: Site, ended: threading.Event, seen: list[int]) -> Callable[[], None]:
    """A sender that follows the feed while others write."""

    def tail() -> None:
        while True:
            last = ended.is_set()
            while page := site.store.changes(site.enterprise, seen[-1] if seen else 0, 7):
                seen.extend(one.seq for one in page)
            if last:
                return

    return tail


def test_no_opt_out_is_lost_and_nobody_is_there_twice(site: Site) -> None:
    said: Said = {}
    feeds = [feeding(site, source, seed, said) for seed, source in enumerate((ADT, FHIR, ADT, FHIR))]
    (first, stopped), (second, other_stopped) = replying(site, LINE, 10), replying(site, OTHER_LINE, 11)
    ended, seen, left = threading.Event(), list[int](), threading.Semaphore(0)

    def counted(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            finally:
                left.release()

        return run

    def finish() -> None:
        for _ in range(6):
            left.acquire(timeout=PATIENCE)
        ended.set()

    together(*map(counted, (*feeds, first, second)), tailing(site, ended, seen), finish)
    for patient in PATIENTS:
        newest = [said[key][1] for key in said if key[1:] == (patient, "do_not_contact")]
        assert site.dnc(patient) == ("yes" if "yes" in newest else "no")
        voice = [said[key][1] for key in said if key[1:] == (patient, "consent.voice")]
        assert site.value(patient, "consent.voice") == ("denied" if "denied" in voice else "granted" if voice else None)
        assert (site.may_text(patient), site.may_text(patient, OTHER_LINE)) == (not stopped, not other_stopped)
        assert {site.find(patient).id} == {site.find(f"{source}-{patient}").id for source in (ADT, FHIR)}
    assert site.find(PATIENTS[0]).shared_by == {CELL: len(PATIENTS)}
    whole = site.store.changes(site.enterprise, 0, 100_000)
    assert seen == [one.seq for one in whole]
    assert len({one.patient_id for one in whole}) == len(PATIENTS)


def test_each_version_is_changed_by_one_person_only(local: Site) -> None:
    local.apply(says("1", 0))
    patient, refused = local.find("1").id, list[VersionConflict]()

    def flipping(value: str, name: str) -> Callable[[], None]:
        def flip() -> None:
            for step in range(15):
                read = local.find("1")
                try:
                    local.flip("1", value, Actor(Role.ENTERPRISE, name), now=at(step), if_version=read.version)
                except VersionConflict as error:
                    refused.append(error)

        return flip

    together(*(flipping(value, f"{value}-{place}") for place in range(4) for value in ("yes", "no")))
    entries = local.store.history(local.enterprise, patient)[::-1]
    assert [entry.version for entry in entries] == list(range(2, len(entries) + 2))
    assert all(one.after == other.before for one, other in pairwise(entries))
    assert local.dnc("1") == entries[-1].after


def test_of_two_people_who_saw_the_same_version_one_is_told_to_read_again(local: Site) -> None:
    """Lock and version are read where they are written: whoever comes second sees what the first one did."""
    local.apply(says("1", 0))

    def flipping(value: str, name: str, version: int, refused: list[str]) -> Callable[[], None]:
        def flip() -> None:
            try:
                local.flip("1", value, Actor(Role.ENTERPRISE, name), now=at(9), if_version=version)
            except VersionConflict:
                refused.append(name)

        return flip

    for _ in range(RACES // 4):
        seen, refused = local.find("1"), list[str]()
        other = "no" if local.dnc("1") == "yes" else "yes"
        together(*(flipping(other, name, seen.version, refused) for name in ("first", "second")))
        assert len(refused) == 1
        assert (local.find("1").version, local.dnc("1")) == (seen.version + 1, other)


def test_staff_a_reply_and_a_source_never_undo_each_other(site: Site) -> None:
    site.apply(*(says(patient, 0, {"phones": (cell(),)}) for patient in PATIENTS))
    ids = [site.find(patient).id for patient in PATIENTS]

    def by_hand() -> None:
        for number in ids:
            site.store.record_sms_opt_out(site.enterprise, number, line=None, actor=ENTERPRISE_USER, now=at(500))

    def starting() -> None:
        for step in range(40):
            site.store.record_reply(site.enterprise, LINE, CELL, "START", at(1_000 + step), at(2_000))

    def granting() -> None:
        for step in range(20):
            site.apply(*(says(patient, 1 + step, {"consent.sms": "granted", "phones": (cell(),)}) for patient in PATIENTS), source=FHIR)

    together(by_hand, starting, granting, starting)
    assert not any(site.may_text(patient) for patient in PATIENTS)


def test_new_patients_that_arrive_from_two_sources_at_once_are_one_each(site: Site) -> None:
    def bringing(source: str, order: int) -> Callable[[], None]:
        def bring() -> None:
            for value in PATIENTS[::order]:
                with site.database.write(site.enterprise) as transaction:
                    item = says(value, 1, {"do_not_contact": "yes"})
                    site.store.apply_many(transaction, site.enterprise, source, [item], now=at(1))

        return bring

    together(*(bringing(source, order) for source in (ADT, FHIR) for order in (1, -1)), *(bringing(ADT, 1) for _ in range(4)))
    known = site.store.known(site.enterprise, [PatientRef(value=value) for value in PATIENTS], at(2))
    assert len({one.id for one in known if not isinstance(one, Exception)}) == len(PATIENTS)


def test_enterprises_do_not_wait_for_each_other_for_ever(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))

    def working(enterprise: str) -> Callable[[], None]:
        def work() -> None:
            for step in range(20):
                with both.database.write(enterprise) as transaction:
                    items = [says(value, step, {"do_not_contact": "yes"}) for value in PATIENTS]
                    both.store.apply_many(transaction, enterprise, ADT, items, now=at(0) + timedelta(seconds=step))

        return work

    together(*(working(name) for name in both.enterprises for _ in range(4)))
    assert [len(both.store.changes(name, 0, 1_000)) for name in both.enterprises] == [len(PATIENTS)] * 2


def test_of_thousands_of_races_about_one_patient_no_opt_out_is_ever_lost(site: Site) -> None:
    """Eight at once about one patient, again and again: whoever comes first or last, every no stands."""
    order = random.Random(8)

    def racing(patient: str) -> list[Callable[[], None]]:
        number = site.find(patient).id
        said = {ADT: [(20, "no"), (10, "yes")], FHIR: [(30, "yes"), (25, "no")]}
        feeds = [
            partial(site.apply, says(patient, seconds, {"do_not_contact": value, "consent.sms": "granted"}), source=source)
            for source, statements in said.items()
            for seconds, value in statements
        ]
        staff = partial(site.store.record_sms_opt_out, site.enterprise, number, line=None, actor=ENTERPRISE_USER, now=at(500))
        replies = [
            partial(site.store.record_reply, site.enterprise, LINE, CELL, word, at(seconds), at(1_000))
            for word, seconds in (("STOP", 50), ("START", 60))
        ]
        denial = partial(site.apply, says(patient, 40, {"consent.voice": "denied"}), source=FHIR)
        works = [*feeds, staff, *replies, denial]
        order.shuffle(works)
        return works

    patients = [f"race-{number}" for number in range(RACES)]
    site.apply(*(says(patient, 0, {"phones": (cell(),)}) for patient in patients))
    for patient in patients:
        together(*racing(patient))
    for patient in patients:
        assert (site.dnc(patient), site.value(patient, "consent.voice"), site.may_text(patient)) == ("yes", "denied", False)
