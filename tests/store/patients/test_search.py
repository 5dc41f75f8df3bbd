"""Patients are found as a front desk looks for them, on both databases; by whom, and for what, is in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.mapping.telecom import e164
from store.audit.audit_log import SEARCHED, VIEWED, Audit
from store.db.database import Database
from store.domain import documents
from store.domain.enterprise import Enterprise
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.errors import ValueRefused
from store.holds.recompute import Recomputation
from store.patients import search
from store.patients.finding import Finder, Found
from store.patients.indexing import Indexing
from store.patients.preferences import Preferences
from store.preference import Identifier, Phone
from tests.factories import sealing
from tests.store.site import CELL, FHIR, HOME, SYNCED, Site, at, cell, merges, mr, says

US = replace(SYNCED, default_region="US")
ACTOR = "staff:kim"


class Desk:
    """A front desk of one enterprise."""

    def __init__(self, database: Database, *enterprises: Enterprise) -> None:
        self.site = Site(database, *(enterprises or (US,)))
        self.site.store = Preferences(database, self.site.enterprises, read_number=e164, sealing=sealing())
        self.finder, self.audit = Finder(self.site.store), Audit(database)

    def knows(
        self, number: str, name: str | None = None, born: str | None = None, *phones: str, seconds: float = 0, source: str = "adt"
    ) -> None:
        stated = {"display_name": name, "birth_date": born} | ({"phones": tuple(map(cell, phones))} if phones else {})
        self.site.apply(says(number, seconds, stated), source=source)

    def search(self, text: str, enterprise: str | None = None) -> Found:
        return self.finder.find(enterprise or self.site.enterprise, text, actor=ACTOR, now=at(20_000))

    def finds(self, text: str, enterprise: str | None = None) -> list[str]:
        """The record numbers of the patients found, in order."""
        return [one.identifiers[0].value for one in self.search(text, enterprise).patients]

    def tokens(self) -> list[tuple[str, str]]:
        """Everything in the index."""
        with self.site.database.read() as connection:
            return sorted(map(tuple, self.site.database.select(connection, "SELECT token, entry FROM patient_search", [])))


@pytest.fixture
def desk(database: Database) -> Desk:
    found = Desk(database)
    found.knows("A1", "Ana García-López", "1980-02-03", CELL)
    found.knows("A2", "Anabel Smith", "1980-02-04", CELL, HOME)
    found.knows("B1", "Robert O'Brien", "1975", HOME, seconds=-5)
    found.knows("B2", "Smith Annand", "1980-11")
    found.site.apply(says("C1", 0, {"language": "en"}))
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("garcia", ["A1"]),
        ("GARCÍA", ["A1"]),
        ("lopez ana", ["A1"]),
        ("López-García, Ana", ["A1"]),
        ("gar a", ["A1"]),
        ("ana", ["A1", "A2"]),
        ("an", ["A1", "A2", "B2"]),
        ("an smith", ["A2", "B2"]),
        ("smith", ["A2", "B2"]),
        ("obrien", ["B1"]),
        ("o’brien rob", ["B1"]),  # noqa: RUF001
        ("ana ana", []),
        ("ana garcia smith", []),
        ("2/3/1980", ["A1"]),
        ("3 Feb 1980", ["A1"]),
        ("smith 4 feb 1980", ["A2"]),
        ("1980", ["A1", "A2", "B2"]),
        ("1980-02", ["A1", "A2"]),
        ("smith 1980-11", ["B2"]),
        ("1975 robert", ["B1"]),
        ("(217) 555-0101", ["A1", "A2"]),
        ("+12175550101", ["A1", "A2"]),
        ("ana (217) 555-0101", ["A1", "A2"]),
        ("garcia 217-555-0101", ["A1"]),
        ("217-555-0102 1975", ["B1"]),
        ("2175550199", []),
        ("A1", ["A1"]),
        ("a1", ["A1"]),
        ("genhosp|A1", ["A1"]),
        ("urn:oid:2.999.1|A1", ["A1"]),
        ("OTHER|A1", []),
        ("C1", ["C1"]),
        ("%", []),
        ("_na", []),
        ("*", []),
        ("' OR 1=1 --", []),
        ("\U0010ffff", []),
        ("a\0na", ["A1", "A2"]),
        ("ana\udc81", ["A1", "A2"]),
        ("x" * 200, []),
    ],
)
def test_a_patient_is_found(desk: Desk, text: str, found: list[str]) -> None:
    assert desk.finds(text) == found


@pytest.mark.parametrize("text", ["", "   ", "\t\n", "x" * 201])
def test_an_empty_or_endless_text_is_refused(desk: Desk, text: str) -> None:
    with pytest.raises(ValueRefused, match="at most 200 characters"):
        desk.search(text)
    assert desk.audit.newest(desk.site.enterprise) == []


def test_a_result_shows_who_it_is_and_what_stops_contact(desk: Desk) -> None:
    desk.site.apply(says("A1", 9, {"do_not_contact": "yes"}))
    (one,) = desk.search("garcia").patients
    assert (one.name, one.birth_date, one.identifiers) == ("Ana García-López", "1980-02-03", (mr("A1"),))
    assert (one.contact.do_not_contact, one.by, one.id) == ("yes", "name", desk.site.find("A1").id)
    assert [one.by for one in desk.search(CELL).patients] == ["phone", "phone"]
    assert [one.by for one in desk.search("A1").patients] == ["identifier"]


def test_the_stores_own_id_finds_its_patient(desk: Desk) -> None:
    assert desk.finds(desk.site.find("B1").id) == ["B1"]
    assert desk.finds("pt_0000000000000001") == []


def test_an_identifier_beats_a_phone_and_a_phone_beats_a_name(database: Database) -> None:
    desk = Desk(database)
    desk.knows("N1", "Pat 2175550101")
    desk.knows("P1", "Ann", None, CELL)
    desk.site.apply(says((mr("Q1"), Identifier("PAYER", "MB", "2175550101")), 1, {"display_name": "Look-Up"}))
    desk.knows("2175550101", "Own")
    assert desk.finds("2175550101") == ["2175550101", "Q1", "P1"]


def test_a_phone_that_is_not_in_force_is_found_after_those_that_are(desk: Desk) -> None:
    desk.site.apply(says((mr("A9"), Identifier("EMPI", "PI", "E9")), 1, {"phones": (cell("+12175550177"),)}))
    desk.site.apply(says("A9", 2, {"phones": (cell("+12175550178"),)}), source=FHIR)
    found = desk.search("+12175550178").patients
    assert [(one.identifiers[0].value, one.by) for one in found] == [("A9", "other_phone")]


def test_another_enterprise_finds_nobody(database: Database) -> None:
    other = replace(US, name="other")
    desk = Desk(database, US, other)
    desk.knows("A1", "Ana García", "1980-02-03", CELL)
    here = desk.site.find("A1").id
    for text in ("A1", "GENHOSP|A1", "ana", "a", "2/3/1980", "1980", CELL, here):
        assert desk.finds(text) == ["A1"], text
        assert desk.finds(text, "other") == [], text
    desk.audit.note("other", VIEWED, here, actor=ACTOR, now=at(1))
    assert desk.finder.recent("other", actor=ACTOR, now=at(2)) == ()


@pytest.mark.parametrize("text", ["ana", "2/3/1980", CELL, "garcia 1980"])
def test_the_policy_leaves_only_identifiers(desk: Desk, text: str) -> None:
    closed = Desk(desk.site.database, replace(US, policy=Policy(search="identifiers")))
    assert desk.finds(text) != []
    assert closed.finds(text) == []
    assert closed.finds("A1") == ["A1"]
    assert closed.finds(desk.site.find("A1").id) == ["A1"]


def test_a_corrected_name_is_the_only_one_found(desk: Desk) -> None:
    desk.knows("A1", "Ana Miller", "1980-02-03", seconds=10)
    assert (desk.finds("garcia"), desk.finds("miller"), desk.finds("ana 2/3/1980")) == ([], ["A1"], ["A1"])
    desk.knows("A1", "Ana Miller", "1981-02-03", seconds=20)
    assert (desk.finds("miller 1980"), desk.finds("miller 1981")) == ([], ["A1"])
    assert {entry for _, entry in desk.tokens() if "miller" in entry} == {" ana miller 1981-02-03"}


def test_what_is_taken_back_finds_nobody(desk: Desk) -> None:
    desk.knows("A1", None, None, seconds=10)
    assert (desk.finds("garcia"), desk.finds("2/3/1980"), desk.finds("A1")) == ([], [], ["A1"])


def test_a_repeat_or_another_preference_writes_nothing_to_the_index(desk: Desk) -> None:
    before = desk.tokens()
    desk.knows("A1", "Ana García-López", "1980-02-03", CELL)
    desk.site.apply(says("A1", 30, {"do_not_contact": "yes"}), says("A1", 31, {"language": "es"}))
    assert desk.tokens() == before


def test_the_name_of_the_first_source_is_found(desk: Desk) -> None:
    desk.knows("A1", "Anna Garcia Lopes", seconds=40, source=FHIR)
    assert (desk.finds("lopez"), desk.finds("lopes")) == (["A1"], [])
    turned = Desk(desk.site.database, replace(US, sources=tuple(reversed(US.sources))))
    Recomputation(turned.site.store).run(turned.site.enterprise, at(50_000))
    assert (turned.finds("lopez"), turned.finds("lopes")) == ([], ["A1"])


def test_a_merged_record_is_found_as_its_survivor_and_by_itself_after_an_unmerge(desk: Desk) -> None:
    desk.site.apply(merges("A1", "B1"))
    survivor = desk.site.find("A1").id
    assert (desk.finds("obrien"), [one.id for one in desk.search("B1").patients]) == ([], [survivor])
    assert [one.id for one in desk.search(HOME).patients][1:] == []
    assert {one.id for one in desk.search("garcia").patients} == {survivor}
    store = desk.site.store
    store.unmerge(desk.site.enterprise, PatientRef(value="B1"), actor=Actor("cli", "kim"), reason="two people", now=at(30_000))
    assert (desk.finds("obrien"), desk.finds("garcia"), desk.finds("1975")) == (["B1"], ["A1"], ["B1"])


def test_a_merge_gives_the_survivor_the_name_it_lacks(desk: Desk) -> None:
    desk.site.apply(merges("C1", "B1"))
    assert {one.value for one in desk.search("obrien").patients[0].identifiers} == {"C1", "B1"}
    assert len(desk.finds("obrien")) == 1


def test_at_most_25_are_shown_in_alphabetical_order(database: Database) -> None:
    desk = Desk(database)
    for number in range(40):
        desk.knows(f"N{number:02d}", f"{chr(ord('a') + number % 26)}x{number:02d} Smithson", "1990-01-01")
    desk.knows("S1", "Zoe Smith", "1990-01-01")
    found = desk.search("smith")
    names = [one.name for one in found.patients]
    assert (names[0], len(names), found.more, found.unfinished) == ("Zoe Smith", search.MOST, True, False)
    assert names[1:] == sorted(names[1:])
    assert desk.search("smith zoe").more is False
    assert [one.name for one in desk.search("smi z").patients] == ["Zoe Smith", "zx25 Smithson"]


def test_a_search_that_did_not_look_at_everybody_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_THROUGH", 1)
    assert (desk.search("a s").unfinished, desk.search("garcia a").unfinished, desk.search("a").unfinished) == (True, False, False)
    assert desk.search(CELL).unfinished


def test_the_same_beginning_twice_needs_two_words(database: Database) -> None:
    desk = Desk(database)
    desk.site.apply(*(says(f"N{number:03d}", 1, {"display_name": f"Mabel N{number:03d}"}) for number in range(search.ENOUGH + 5)))
    desk.knows("Z1", "Mary Magdalen", "1980-02-03")
    for text in ("ma ma", "mar ma", "ma mag", "mag mary 1980"):
        assert desk.finds(text) == ["Z1"], text
        assert not desk.search(text).unfinished
    assert (desk.finds("ma ma ma"), desk.search("mabel").more) == ([], True)


def test_a_number_that_thousands_have_is_answered_with_the_first(database: Database) -> None:
    desk = Desk(database)
    desk.site.apply(*(says(f"N{number:03d}", 1, {"phones": (cell(),), "display_name": f"Name {number:03d}"}) for number in range(60)))
    found = desk.search(CELL)
    assert ([one.name for one in found.patients[:2]], len(found.patients), found.more) == (["Name 000", "Name 001"], search.MOST, True)


def test_every_search_is_in_the_audit_log_and_its_text_is_encrypted(desk: Desk) -> None:
    for text in ("garcia 2/3/1980", "nobody at all", CELL):
        desk.search(text)
    newest, empty, first = (link.line for link in desk.audit.newest(desk.site.enterprise))
    detail = documents.read(first.detail)
    assert (first.action, first.actor, first.at) == (SEARCHED, ACTOR, at(20_000))
    assert (detail["by"], detail["found"], detail["patients"]) == (["identifier", "birth_date", "name"], 1, [desk.site.find("A1").id])
    assert documents.read(empty.detail)["found"] == 0
    written = f"{newest.detail}{empty.detail}{first.detail}"
    assert not any(part in written for part in ("garcia", "1980", "nobody", CELL, CELL[2:]))
    assert [(one.text, one.found) for one in desk.finder.searches(desk.site.enterprise, 10)] == [
        (CELL, 2), ("nobody at all", 0), ("garcia 2/3/1980", 1),
    ]  # fmt: skip


def test_without_a_key_the_text_of_a_search_is_not_kept(desk: Desk) -> None:
    finder = Finder(Preferences(desk.site.database, desk.site.enterprises, read_number=e164))
    finder.find(desk.site.enterprise, "garcia", actor=ACTOR, now=at(1))
    desk.search("garcia")
    assert [one.text for one in desk.finder.searches(desk.site.enterprise, 10)] == ["garcia", None]
    assert [one.text for one in finder.searches(desk.site.enterprise, 10)] == [None, None]


def test_the_patients_that_somebody_viewed_last_are_listed_for_them_alone(desk: Desk) -> None:
    def viewed(*values: str, actor: str = ACTOR) -> None:
        for value in values:
            desk.audit.note(desk.site.enterprise, VIEWED, desk.site.find(value).id, actor=actor, now=at(1))

    def recent(actor: str = ACTOR) -> list[str]:
        return [one.identifiers[0].value for one in desk.finder.recent(desk.site.enterprise, actor=actor, now=at(2))]

    viewed("A1", "B1", "A1", "C1")
    viewed("B2", actor="staff:lee")
    assert (recent(), recent("staff:lee"), recent("staff:new")) == (["C1", "A1", "B1"], ["B2"], [])
    desk.site.apply(merges("A1", "B1"))
    assert recent() == ["C1", "A1"]


def forget_index(desk: Desk) -> None:
    """The database as a version without an index left it."""
    with desk.site.database.write(desk.site.enterprise) as transaction:
        transaction.exec_driver_sql("DELETE FROM patient_search")
        transaction.exec_driver_sql("UPDATE patients SET search_entry = NULL")


def test_patients_from_before_the_index_are_added_to_it(desk: Desk) -> None:
    desk.site.apply(merges("A1", "A2"))
    before = desk.tokens()
    forget_index(desk)
    assert (desk.finds("ana"), desk.search("ana").incomplete, desk.finds("A1")) == ([], True, ["A1"])
    versions = [desk.site.find(value).version for value in ("A1", "B1", "B2", "C1")]
    assert Indexing(desk.site.store, lambda: False, chunk=2).run(desk.site.enterprise) == 4
    assert (desk.tokens(), desk.search("ana").incomplete) == (before, False)
    assert [desk.site.find(value).version for value in ("A1", "B1", "B2", "C1")] == versions
    assert Indexing(desk.site.store, lambda: False).run(desk.site.enterprise) == 0


def test_a_patient_from_before_the_index_is_found_after_the_next_message(desk: Desk) -> None:
    forget_index(desk)
    desk.site.apply(says("A1", 50, {"language": "es"}))
    assert (desk.finds("garcia"), desk.search("garcia").incomplete) == (["A1"], True)
    Indexing(desk.site.store, lambda: True).run(desk.site.enterprise)
    assert desk.finds("smith") == [], "stopped before it began"


def test_a_payload_of_before_adds_the_birth_date_when_it_is_read_again(database: Database) -> None:
    desk = Desk(database)
    desk.site.apply(says("A1", 0, {"display_name": "Ana García", "do_not_contact": "yes"}, evidence="M1"))
    again = says("A1", 0, {"display_name": "Ana García", "do_not_contact": "yes", "birth_date": "1980-02-03"}, evidence="M1")
    assert desk.site.apply(again) == ["applied"]
    assert (desk.finds("garcia 1980"), desk.site.dnc("A1")) == (["A1"], "yes")


def test_a_birth_date_is_no_preference(desk: Desk) -> None:
    known, found = desk.site.known("A1"), desk.site.find("A1")
    assert "1980" not in repr(known.contact)
    assert found.preferences["birth_date"].value == "1980-02-03"


def test_names_and_dates_of_every_script_are_kept_and_found(database: Database) -> None:
    desk = Desk(database)
    names: Sequence[str] = (
        "李 小龙", "Ιωάννης Παπαδόπουλος", "Владимир Ильин", "محمد علي", "김 철수", "Đặng Thị Hồng", "Ångström Bjørn",
        "x" * 500, "é" * 300 + " b",
    )  # fmt: skip
    for number, name in enumerate(names):
        desk.knows(f"N{number}", name)
    for number, name in enumerate(names):
        assert f"N{number}" in desk.finds(name[:20]), name
    assert desk.finds("angstrom bjorn") == ["N6"]
    assert desk.finds("dang hong") == ["N5"]


def test_phones_without_a_region_are_found_in_full(database: Database) -> None:
    desk = Desk(database, replace(US, default_region=None))
    desk.site.apply(says("A1", 1, {"phones": (Phone(CELL),)}))
    assert (desk.finds(CELL), desk.finds("1 217 555 0101"), desk.finds("217-555-0101")) == (["A1"], ["A1"], [])
