"""Several Consents or Flags of one patient: the end of one takes back only what that one stated."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.base import Fetch, Payload, SourceSettings
from adapters.fhir.mapping import FhirMapper
from store.preference import Codes, PatientMerge, PatientStatements, Statement
from tests.adapters.fhir.made import ReadRest
from tests.adapters.fhir.server import Answer, Scripted, capability, found, serving
from tests.store.site import ADT, FHIR, Site, at, says

MRN = "https://genhosp.example/mrn"
DNC = {
    "from": "Patient.extension('https://e.example/dnc').valueCode | Flag.code.coding.code",
    "values": {"Y": "yes", "N": "no", "NO-CONTACT": "yes"},
    "on_absent": "clear",
}
OPTIONS = {
    "base_url": "http://ehr.example/r4",
    "consent": {"attribute": "consent.sms", "category": "*"},
}
SETTINGS = SourceSettings(
    FHIR,
    "fhir.rest",
    authority="GENHOSP",
    identifier_type="MR",
    authorities={MRN: "GENHOSP"},
    mapping={"do_not_contact": DNC},
    options=OPTIONS,
)
RIGHT, WRONG = {"permit": "granted", "deny": "denied"}, {"permit": "denied", "deny": "granted"}
ENDS = ("inactive", "entered-in-error")


class Feed:
    """A FHIR source of the site."""

    def __init__(self, site: Site, settings: SourceSettings = SETTINGS) -> None:
        self.site, self.mapper = site, FhirMapper(settings)

    def sends(self, *resources: dict[str, Any]) -> None:
        for one in resources:
            items = self.mapper.read(Payload(json.dumps(one).encode(), "test", self.site.now))
            self.site.apply(*(item for item in items if isinstance(item, (PatientStatements, PatientMerge))), source=FHIR)

    def of(self, kind: str) -> Any:
        return self.site.value("1", "consent.sms" if kind == "Consent" else "do_not_contact")


@pytest.fixture
def feed(site: Site) -> Feed:
    made = Feed(site)
    made.sends(patient())
    return made


def patient(version: int = 1, minutes: float = 0, dnc: str = "") -> dict[str, Any]:
    extension = {"extension": [{"url": "https://e.example/dnc", "valueCode": dnc}]} if dnc else {}
    identifier = {"system": MRN, "type": {"coding": [{"code": "MR"}]}, "value": "1"}
    return {"resourceType": "Patient", "id": "p1", "meta": meta(version, minutes), "identifier": [identifier], **extension}


def meta(version: int | None, minutes: float) -> dict[str, str]:
    dated = {"lastUpdated": at(minutes * 60).isoformat()}
    return dated if version is None else {"versionId": str(version), **dated}


def consent(name: str, kind: str, minutes: float, version: int | None = 1, **elements: Any) -> dict[str, Any]:
    """An R4 Consent; an R5 one where its decision is among the elements."""
    decided = {} if "decision" in elements else {"provision": {"type": kind}}
    made = {"resourceType": "Consent", "id": name, "meta": meta(version, minutes), "status": "active", **decided}
    return made | {"patient": {"reference": "Patient/p1"}} | elements


def flag(name: str, minutes: float, version: int | None = 1, **elements: Any) -> dict[str, Any]:
    code = {"coding": [{"code": "NO-CONTACT"}]}
    made = {"resourceType": "Flag", "id": name, "meta": meta(version, minutes), "status": "active", "code": code}
    return made | {"subject": {"reference": "Patient/p1"}} | elements


def refusal(kind: str, name: str, minutes: float, version: int | None = 1, **elements: Any) -> dict[str, Any]:
    return consent(name, "deny", minutes, version, **elements) if kind == "Consent" else flag(name, minutes, version, **elements)


REFUSED = {"Consent": "denied", "Flag": "yes"}
KINDS = pytest.mark.parametrize("kind", REFUSED)


@KINDS
@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("version", [2, None])
def test_the_end_of_a_record_ends_what_it_stated_itself(feed: Feed, kind: str, status: str, version: int | None) -> None:
    feed.sends(refusal(kind, "a", 1, version and 1))
    assert feed.of(kind) == REFUSED[kind]
    feed.sends(refusal(kind, "a", 2, version, status=status))
    assert feed.of(kind) is None


@KINDS
@pytest.mark.parametrize("status", ENDS)
def test_the_end_of_a_record_that_was_never_seen_takes_nothing_back(feed: Feed, kind: str, status: str) -> None:
    feed.sends(refusal(kind, "a", 1), refusal(kind, "b", 2, status=status))
    assert feed.of(kind) == REFUSED[kind]


@KINDS
def test_a_refusal_that_arrives_after_the_end_of_another_record_counts(feed: Feed, kind: str) -> None:
    feed.sends(refusal(kind, "b", 2, 2, status="inactive"), refusal(kind, "a", 1))
    assert feed.of(kind) == REFUSED[kind]


@KINDS
@pytest.mark.parametrize(("first", "second"), ["ab", "ba"])
@pytest.mark.parametrize("version", [2, None])
def test_of_two_refusals_either_stays_until_it_ends_itself(feed: Feed, kind: str, first: str, second: str, version: int | None) -> None:
    feed.sends(refusal(kind, "a", 1, version and 1), refusal(kind, "b", 2, version and 1))
    feed.sends(refusal(kind, first, 3, version, status="inactive"))
    assert feed.of(kind) == REFUSED[kind]
    feed.sends(refusal(kind, second, 4, version, status="inactive"))
    assert feed.of(kind) is None


@KINDS
def test_of_two_refusals_that_end_and_come_late_neither_returns(feed: Feed, kind: str) -> None:
    a, b = refusal(kind, "a", 1), refusal(kind, "b", 2)
    feed.sends(a, b, refusal(kind, "a", 3, 2, status="inactive"), refusal(kind, "b", 4, 2, status="inactive"), a, b)
    assert feed.of(kind) is None


def test_a_permission_that_ends_gives_way_to_the_refusal_before_it(feed: Feed) -> None:
    feed.sends(consent("a", "deny", 1), consent("b", "permit", 2))
    assert feed.of("Consent") == "granted"
    feed.sends(consent("b", "permit", 3, 2, status="inactive"))
    assert feed.of("Consent") == "denied"
    feed.sends(consent("a", "deny", 4, 2, status="inactive"))
    assert feed.of("Consent") is None


def test_a_permission_that_ended_does_not_return_when_it_arrives_late(feed: Feed) -> None:
    feed.sends(consent("b", "permit", 2, 2, status="inactive"), consent("a", "deny", 3), consent("a", "deny", 4, 2, status="inactive"))
    feed.sends(consent("b", "permit", 1))
    assert feed.of("Consent") is None


@pytest.mark.parametrize("status", ENDS)
def test_the_end_of_a_permission_takes_no_refusal_back(feed: Feed, status: str) -> None:
    feed.sends(consent("b", "permit", 0), consent("a", "deny", 1), consent("b", "permit", 2, 2, status=status))
    assert feed.of("Consent") == "denied"


def test_it_is_the_same_for_a_consent_of_r5(feed: Feed) -> None:
    feed.sends(consent("a", "", 1, decision="deny"), consent("b", "", 2, decision="permit", status="inactive"))
    assert feed.of("Consent") == "denied"
    feed.sends(consent("a", "", 3, 2, decision="deny", status="inactive"))
    assert feed.of("Consent") is None


def test_where_the_most_restrictive_counts_an_end_takes_back_its_own_too(site: Site) -> None:
    feed = Feed(site, replace(SETTINGS, options=OPTIONS | {"consent": {**OPTIONS["consent"], "choose": "most_restrictive"}}))
    feed.sends(patient(), consent("a", "deny", 1), consent("b", "permit", 2, status="inactive"), consent("c", "permit", 3))
    assert feed.of("Consent") == "denied"
    feed.sends(consent("a", "deny", 4, 2, status="inactive"))
    assert feed.of("Consent") is None


def test_a_logical_reference_is_no_way_round_it(feed: Feed) -> None:
    named = {"identifier": {"system": MRN, "type": {"coding": [{"code": "MR"}]}, "value": "1"}}
    feed.sends(consent("a", "deny", 1, patient=named), consent("b", "permit", 2, patient=named, status="inactive"))
    assert feed.of("Consent") == "denied"


def test_what_a_patient_resource_leaves_out_takes_back_no_flag(feed: Feed) -> None:
    feed.sends(flag("x", 1), patient(2, 2))
    assert feed.of("Flag") == "yes"
    feed.sends(flag("x", 3, 2, status="inactive"))
    assert feed.of("Flag") is None


def test_the_end_of_a_flag_takes_back_nothing_that_the_patient_resource_refuses(feed: Feed) -> None:
    feed.sends(flag("x", 1), patient(2, 2, "Y"), flag("x", 3, 2, status="inactive"))
    assert feed.of("Flag") == "yes"
    feed.sends(patient(3, 4))
    assert feed.of("Flag") is None


def test_the_end_of_another_record_settles_nothing_that_could_not_be_read(feed: Feed) -> None:
    feed.sends(consent("a", "permit", 1), consent("a", "perhaps", 2, 2), consent("b", "permit", 3, 2, status="inactive"))
    assert feed.site.known("1").contact.unreadable == ("consent.sms",)
    feed.sends(consent("a", "permit", 4, 3))
    assert feed.site.known("1").contact.unreadable == ()


def reading(site: Site, values: dict[str, str]) -> Feed:
    rule = {"from": "Consent.provision.type", "values": values}
    return Feed(
        site, replace(SETTINGS, mapping={"consent.sms": rule}, options={"base_url": OPTIONS["base_url"], "consent": {"category": "*"}})
    )


@pytest.mark.parametrize(
    "consents",
    [
        [consent("a", "permit", 1)],
        [consent("a", "permit", 1), consent("a", "permit", 2, 2)],
        [consent("a", "permit", 1), consent("b", "permit", 2)],
        [consent("b", "permit", 2), consent("a", "permit", 1)],
        [consent("a", "permit", 1), consent("a", "permit", 2, 2), consent("b", "permit", 3), consent("c", "permit", 3)],
    ],
)
@pytest.mark.parametrize(("wrong", "right", "value"), [(WRONG, RIGHT, "granted"), (RIGHT, WRONG, "denied")])
def test_consents_read_again_by_another_rule_are_what_it_says(
    site: Site, consents: list[dict[str, Any]], wrong: dict[str, str], right: dict[str, str], value: str
) -> None:
    reading(site, wrong).sends(patient(), *consents)
    feed = reading(site, right)
    feed.sends(*consents)
    assert feed.of("Consent") == value


def test_one_refusal_among_consents_read_again_stays(site: Site) -> None:
    consents = [consent("a", "deny", 3), consent("b", "permit", 2), consent("a", "deny", 4, 2)]
    reading(site, WRONG).sends(patient(), *consents)
    feed = reading(site, RIGHT)
    feed.sends(*consents)
    assert feed.of("Consent") == "denied"


class Reads:
    """A mapping of ZCP-2 that reads it as its table says."""

    def __init__(self, mapping: str, table: dict[str, str]) -> None:
        self.mapping, self.table = mapping, table

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement, None]:
        return Statement(self.table[str(codes.found[0][0])], "ZCP-2"), None


@pytest.mark.parametrize("again", [[1, 2], [2], []])
@pytest.mark.parametrize(("code", "value"), [("DNC", "yes"), ("OK", "no")])
def test_messages_that_said_the_same_twice_are_what_todays_mapping_says(site: Site, again: list[int], code: str, value: str) -> None:
    def message(number: int, reads: Reads) -> PatientStatements:
        site.store.reads_by(ADT, reads)
        said, codes = {"do_not_contact": reads.table[code]}, {"do_not_contact": Codes("ZCP-2", ((code, "ZCP-2"),))}
        return says("1", number, said, evidence=f"MSG{number}", mapping=reads.mapping, codes=codes)

    wrong, right = Reads("wrong", {"DNC": "no", "OK": "yes"}), Reads("right", {"DNC": "yes", "OK": "no"})
    for number in (1, 2):
        site.apply(message(number, wrong))
    for number in again:
        site.apply(message(number, right))
    site.apply(replace(message(3, right), statements={}, codes={}))
    assert site.dnc("1") == value


BY_ID, BY_NUMBER = (
    {"reference": "Patient/p1"},
    {"identifier": {"system": MRN, "type": {"coding": [{"code": "MR"}]}, "value": "1"}},
)


@pytest.mark.parametrize("named", [BY_ID, BY_NUMBER])
@pytest.mark.parametrize("choose", ["latest", "most_restrictive"])
def test_it_is_the_same_over_rest(site: Site, named: dict[str, Any], choose: str) -> None:
    consents = [consent("a", "deny", 1, patient=named), consent("b", "permit", 2, 2, patient=named, status="inactive")]
    ended = [consent("a", "deny", 3, 2, patient=named, status="inactive")]
    options = OPTIONS | {"consent": {"attribute": "consent.sms", "category": "*", "choose": choose}}
    values = []
    for listed in (consents, ended):

        def script(server: Scripted, place: str, listed: list[dict[str, Any]] = listed) -> Answer:
            if place.startswith("Consent"):
                return found(*listed)
            return found(patient()) if place.startswith("Patient") else found() if place.startswith("Flag") else capability()

        with serving(script) as server:
            reader = ReadRest(replace(SETTINGS, options=options | {"base_url": server.base_url}))
            items = [item for batch in reader.fetch(Fetch()) for item in batch.items]
        site.apply(*(one for one in items if isinstance(one, PatientStatements)), source=FHIR)
        values.append(site.value("1", "consent.sms"))
    assert values == ["denied", None]


def test_a_permission_whose_period_is_over_gives_way_to_the_refusal_before_it(feed: Feed) -> None:
    last = at(60_000)
    feed.sends(consent("a", "deny", 1), consent("b", "permit", 2, period={"end": last.isoformat()}))
    assert feed.of("Consent") == "granted"
    feed.site.now = last + timedelta(minutes=1)
    feed.sends(consent("b", "permit", 2, period={"end": last.isoformat()}))
    assert feed.of("Consent") == "denied"
