"""The history and the words about texting are attested: a row that is changed, removed, added or moved afterwards is found."""

from __future__ import annotations

import threading

import pytest

from store.audit.checkpoints import HISTORY, LEDGERS, SMS, Attesting
from store.audit.hash_chain import Chain
from store.audit.verify import verify
from store.db.database import Database
from store.errors import ChainBroken
from tests.store.audit.test_hash_chain import do
from tests.store.site import HOSPITAL, SYNCED, Site, cell, says

OTHER = type(SYNCED)("other", syncs=True)


@pytest.fixture
def two(database: Database) -> Site:
    """Two enterprises with three patients each, one of whom texted STOP and START."""
    site = Site(database, SYNCED, OTHER)
    for name in (HOSPITAL, "other"):
        for number in range(1, 4):
            site.outcomes(says(str(number), number, {"do_not_contact": "no", "phones": (cell(),)}), enterprise=name)
        site.outcomes(says("1", 10, {"do_not_contact": "yes"}), enterprise=name)
        for body in ("STOP", "START"):
            site.store.record_reply(name, "+12175550190", cell().number, body, site.tick(), site.now)
    return site


def attest(site: Site) -> list[int]:
    return [Attesting(site.database, ledger).run(list(site.enterprises), site.tick()) for ledger in LEDGERS.values()]


def broken(site: Site) -> dict[tuple[str, str], int | None]:
    return {(one.head.enterprise, one.head.chain): one.broken_at for one in verify(site.database) if one.head.chain in LEDGERS}


def column(site: Site, table: str, name: str, enterprise: str = HOSPITAL) -> list[int]:
    with site.database.read() as connection:
        return [
            row[0]
            for row in site.database.select(connection, f"SELECT {name} FROM {table} WHERE enterprise = ? ORDER BY seq", [enterprise])
        ]


def test_every_row_is_attested_once(two: Site) -> None:
    rows = len(column(two, "changes", "seq")) + len(column(two, "changes", "seq", "other"))
    assert attest(two) == [rows, 4]
    assert attest(two) == [0, 0]
    assert broken(two) == {(name, chain): None for name in (HOSPITAL, "other") for chain in LEDGERS}
    two.apply(says("2", 20, {"do_not_contact": "yes"}))
    assert attest(two) == [1, 0]
    assert broken(two)[HOSPITAL, "history"] is None


def test_rows_that_are_not_attested_yet_prove_nothing(two: Site) -> None:
    attest(two)
    two.apply(says("2", 20, {"do_not_contact": "yes"}))
    do(two.database, "DELETE FROM changes WHERE seq = (SELECT max(seq) FROM changes)")
    assert set(broken(two).values()) == {None}


def test_lines_of_few_rows_fit_together(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.audit.checkpoints.AT_ONCE", 2)
    rows = len(column(two, "changes", "seq"))
    attest(two)
    assert len(Chain(two.database, "history").newest(HOSPITAL)) == (rows + 1) // 2
    monkeypatch.undo()
    assert set(broken(two).values()) == {None}


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE changes SET changes = replace(changes, 'yes', 'no')",
        "UPDATE changes SET version = version + 1",
        "UPDATE changes SET actor = 'staff:eve'",
        "UPDATE changes SET reason = 'x'",
        "UPDATE changes SET authority = 'staff'",
        "UPDATE changes SET evidence_id = 'X'",
        "UPDATE changes SET run_id = 'X'",
        "UPDATE changes SET at = '2026-11-02T08:00:04.000001+00:00'",
        "UPDATE changes SET effective = '2026-11-02T08:00:04.000001+00:00'",
        "DELETE FROM changes",
    ],
)
def test_a_row_of_the_history_that_was_tampered_with_is_found(two: Site, what: str) -> None:
    attest(two)
    place = column(two, "changes", "seq")[3]
    do(two.database, f"{what} WHERE seq = {place}")
    assert broken(two) == {(name, chain): 1 if (name, chain) == (HOSPITAL, "history") else None for name, chain in broken(two)}


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE sms_consent_events SET kind = 'opt_in'",
        "UPDATE sms_consent_events SET number = '+12175550199'",
        "UPDATE sms_consent_events SET in_reply_to = '{}'",
        "DELETE FROM sms_consent_events",
    ],
)
def test_a_word_about_texting_that_was_tampered_with_is_found(two: Site, what: str) -> None:
    attest(two)
    place = column(two, "sms_consent_events", "seq")[0]
    do(two.database, f"{what} WHERE seq = {place}")
    assert [where for where, at in broken(two).items() if at is not None] == [(HOSPITAL, "sms_consent")]


def test_a_row_that_changed_its_owner_or_its_place_is_found(two: Site) -> None:
    attest(two)
    first, second = column(two, "changes", "seq")[:2]
    do(two.database, f"UPDATE changes SET patient_id = (SELECT max(patient_id) FROM changes) WHERE seq = {first}")
    assert broken(two)[HOSPITAL, "history"] == 1
    do(two.database, f"UPDATE changes SET enterprise = 'other' WHERE seq = {second}")
    assert broken(two)["other", "history"] == 1


def test_a_row_that_somebody_put_between_is_found(two: Site) -> None:
    attest(two)
    two.apply(says("2", 20, {"do_not_contact": "yes"}))
    attest(two)
    first, last = column(two, "changes", "seq")[0], column(two, "changes", "seq")[-1]
    do(two.database, f"UPDATE changes SET seq = -1 WHERE seq = {last}")
    assert broken(two)[HOSPITAL, "history"] == 2
    do(two.database, f"UPDATE changes SET seq = {last} WHERE seq = -1")
    assert broken(two)[HOSPITAL, "history"] is None
    do(two.database, f"UPDATE changes SET seq = {first - 1 or -5} WHERE seq = {first}")
    assert broken(two)[HOSPITAL, "history"] == 1


def test_a_changed_attestation_is_found_and_not_built_upon(two: Site) -> None:
    attest(two)
    do(two.database, f"UPDATE chain_links SET detail = 'x' WHERE chain = 'history' AND enterprise = '{HOSPITAL}'")
    assert broken(two)[HOSPITAL, "history"] == 1
    two.apply(says("2", 20, {"do_not_contact": "yes"}))
    with pytest.raises(ChainBroken, match="cannot be read"):
        Attesting(two.database, HISTORY).run([HOSPITAL], two.tick())


def test_many_who_write_and_attest_at_once_make_one_chain(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.audit.checkpoints.AT_ONCE", 3)
    writing, wrong = threading.Barrier(3), []

    def work(source: str) -> None:
        writing.wait()
        for place in range(12):
            with site.database.write(site.enterprise) as transaction:
                item = says(source, place, {"do_not_contact": "yes" if place % 2 else "no"})
                site.store.apply_many(transaction, site.enterprise, source, [item], now=site.now)
            Attesting(site.database, HISTORY).run([site.enterprise], site.now)
            wrong.extend(one for one in verify(site.database) if one.broken_at is not None)

    threads = [threading.Thread(target=work, args=(source,)) for source in ("adt", "fhir", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    reached = [said.line.detail for said in Chain(site.database, "history").newest(HOSPITAL, limit=1)]
    assert f'"upto":{column(site, "changes", "max(seq) OVER ()")[0]}' in reached[0]


def test_nothing_said_is_nothing_attested(site: Site) -> None:
    assert [Attesting(site.database, ledger).run([HOSPITAL], site.now) for ledger in (HISTORY, SMS)] == [0, 0]
    assert verify(site.database) == []
