"""FHIR resources through the mapping into the store: what is in force after they came, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from adapters.base import Payload, SourceSettings
from adapters.fhir.mapping import FhirMapper
from store.preference import PatientMerge, PatientStatements
from tests.store.site import FHIR, Site, at

MRN = "https://genhosp.example/mrn"
SETTINGS = SourceSettings(
    FHIR,
    "fhir.rest",
    authority="GENHOSP",
    identifier_type="MR",
    authorities={MRN: "GENHOSP"},
    default_region="US",
    mapping={"do_not_contact": {"from": "Patient.extension('https://e.example/dnc').valueCode", "values": {"Y": "yes", "N": "no"}}},
    options={"base_url": "http://ehr.example/r4", "consent": {"attribute": "consent.sms", "category": "*"}},
)
URN = "urn:uuid:0c3f6b7e-1111-4222-8333-944445555666"


class Feed:
    """A FHIR source of the site. Resources are received an hour after everything that they say."""

    def __init__(self, site: Site) -> None:
        self.site, self.mapper = site, FhirMapper(SETTINGS)

    def sends(self, *resources: dict[str, Any] | bytes, written: datetime | None = None) -> list[str]:
        bodies = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in resources]
        items = [item for body in bodies for item in self.mapper.read(Payload(body, "test", self.site.now, written))]
        return self.site.apply(*(one for one in items if isinstance(one, (PatientStatements, PatientMerge))), source=FHIR)

    def sms(self) -> Any:
        return self.site.value("1", "consent.sms")


@pytest.fixture
def feed(site: Site) -> Feed:
    made = Feed(site)
    made.sends(patient())
    return made


def time(minutes: float) -> str:
    return at(minutes * 60).isoformat()


def meta(version: int, minutes: float) -> dict[str, str]:
    return {"versionId": str(version), "lastUpdated": time(minutes)}


def patient(*, version: int = 1, minutes: float = 0, **elements: Any) -> dict[str, Any]:
    identifier = {"system": MRN, "type": {"coding": [{"code": "MR"}]}, "value": "1"}
    return {"resourceType": "Patient", "id": "p1", "meta": meta(version, minutes), "identifier": [identifier], **elements}


def consent(
    name: str, decision: str, *, version: int = 1, minutes: float = 0, given: float | None = None, **elements: Any
) -> dict[str, Any]:
    made = {"resourceType": "Consent", "id": name, "meta": meta(version, minutes), "status": "active", "decision": decision}
    dated = {} if given is None else {"dateTime": time(given)}
    return made | dated | {"patient": {"reference": "Patient/p1"}} | elements


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_consents_of_one_date_the_refusal_counts_whatever_their_versions(feed: Feed, turned: bool) -> None:
    both = [consent("a", "deny", version=1, minutes=1, given=1), consent("b", "permit", version=9, minutes=1, given=1)]
    feed.sends(*(reversed(both) if turned else both))
    assert feed.sms() == "denied"


@pytest.mark.parametrize("turned", [False, True])
def test_a_consent_edited_to_deny_counts_from_its_last_change(feed: Feed, turned: bool) -> None:
    feed.sends(consent("a", "permit", version=1, minutes=1, given=1), consent("b", "permit", version=1, minutes=5, given=5))
    edited = [consent("a", "deny", version=2, minutes=9, given=1), consent("b", "permit", version=2, minutes=10, given=5)]
    feed.sends(*(reversed(edited) if turned else edited))
    assert feed.sms() == "denied"


def test_a_consent_given_after_a_refusal_permits(feed: Feed) -> None:
    feed.sends(consent("a", "deny", minutes=1, given=1))
    feed.sends(consent("b", "permit", minutes=5, given=5))
    assert feed.sms() == "granted"


def test_a_refusal_that_ended_is_taken_back_though_its_date_is_old(feed: Feed) -> None:
    feed.sends(consent("a", "deny", version=1, minutes=5, given=1))
    feed.sends(consent("a", "deny", version=2, minutes=9, given=1, status="inactive"))
    assert feed.sms() is None


@pytest.mark.parametrize(
    "elements",
    [
        {"policyRule": {"coding": [{"code": "OPTOUT"}]}},
        {"policyRule": {"coding": [{"code": "OPTOUTE"}]}, "provision": {"provision": [{"type": "permit"}]}},
        {"provision": {"provision": [{"provision": [{"type": "deny"}]}]}},
        {"patient": {"reference": "https://ehr.example/r4/Patient/p1"}},
    ],
)
def test_refusals_in_every_form_arrive(feed: Feed, elements: dict[str, Any]) -> None:
    made = consent("a", "deny", minutes=5) | elements
    if "patient" not in elements:
        del made["decision"]
    feed.sends(consent("b", "permit", minutes=1, given=1), made)
    assert feed.sms() == "denied"


@pytest.mark.parametrize("turned", [False, True])
def test_a_refusal_of_a_bundle_that_names_its_patient_by_urn_arrives(feed: Feed, turned: bool) -> None:
    entries = [{"fullUrl": URN, "resource": patient()}, {"resource": consent("a", "deny", minutes=5, patient={"reference": URN})}]
    bundle = {"resourceType": "Bundle", "entry": entries[::-1] if turned else entries}
    feed.sends(json.dumps(bundle).encode())
    assert feed.sms() == "denied"


@pytest.mark.parametrize(
    "element",
    [{"_deceasedDateTime": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}}],
)
def test_a_death_of_unknown_date_refuses(feed: Feed, element: dict[str, Any]) -> None:
    feed.sends(patient(version=2, minutes=5, telecom=[{"system": "sms", "value": "217-555-0101"}]))
    assert feed.site.may_text("1")
    feed.sends(patient(version=3, minutes=6, **element))
    assert not feed.site.may_text("1")


DNC = "https://e.example/dnc"


def absent(code: str, url: str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason") -> dict[str, Any]:
    return {"extension": [{"url": url, "valueCode": code}]}


NULL_FLAVOR = "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor"
MASKED = [absent("masked"), absent("error"), absent("not-permitted"), absent("MSK", NULL_FLAVOR)]
NOT_KNOWN = [absent("unknown"), absent("asked-declined"), absent("unsupported"), absent("UNK", NULL_FLAVOR), {"extension": []}]


@pytest.mark.parametrize("why", [*MASKED, *NOT_KNOWN])
def test_a_death_that_was_withheld_could_not_be_read_and_one_that_is_not_known_is_no_statement(feed: Feed, why: dict[str, Any]) -> None:
    feed.sends(patient(version=2, minutes=5, deceasedBoolean=False))
    feed.sends(patient(version=3, minutes=6, _deceasedBoolean=why))
    contact = feed.site.known("1").contact
    assert (contact.deceased, contact.unreadable) == (False, ("deceased",) if why in MASKED else ())
    feed.sends(patient(version=4, minutes=7, deceasedBoolean=False))
    assert feed.site.known("1").contact.unreadable == ()


@pytest.mark.parametrize("why", [*MASKED, *NOT_KNOWN])
@pytest.mark.parametrize("whole", [True, False])
def test_a_rule_of_a_value_that_was_withheld_could_not_be_read(feed: Feed, why: dict[str, Any], whole: bool) -> None:
    feed.sends(patient(version=2, minutes=5, extension=[{"url": DNC, "valueCode": "N"}]))
    feed.sends(patient(version=3, minutes=6, extension=[{"url": DNC, **(why if whole else {"_valueCode": why})}]))
    assert (feed.site.dnc("1"), feed.site.known("1").contact.unreadable) == ("no", ("do_not_contact",) if why in MASKED else ())
    feed.sends(patient(version=4, minutes=7, extension=[{"url": DNC, "valueCode": "N"}]))
    assert feed.site.known("1").contact.unreadable == ()


def test_what_was_withheld_takes_no_refusal_back(feed: Feed) -> None:
    feed.sends(patient(version=2, minutes=5, extension=[{"url": DNC, "valueCode": "Y"}], deceasedBoolean=True))
    feed.sends(patient(version=3, minutes=6, extension=[{"url": DNC, **absent("masked")}], _deceasedBoolean=absent("masked")))
    assert (feed.site.dnc("1"), feed.site.known("1").contact.deceased) == ("yes", True)


@pytest.mark.parametrize(
    "elements",
    [
        {"provision": {"_type": absent("masked")}},
        {"provision": absent("masked")},
        {"provision": {"type": "permit", "period": {"_end": absent("masked")}}},
        {"_status": absent("masked"), "status": None},
    ],
)
def test_a_consent_of_which_a_part_was_withheld_permits_nothing(feed: Feed, elements: dict[str, Any]) -> None:
    feed.sends(consent("a", "permit", minutes=5))
    made = consent("b", "permit", minutes=6)
    made.pop("decision", None)
    feed.sends({name: one for name, one in (made | elements).items() if one is not None})
    assert feed.site.known("1").contact.unreadable == ("consent.sms",)


def test_a_refusal_counts_beside_a_language_and_a_phone_that_cannot_be_read(feed: Feed) -> None:
    odd = {"telecom": [{"system": "phone", "value": "ask"}], "communication": [{"language": {"text": "??"}}]}
    feed.sends(patient(version=2, minutes=5, extension=[{"url": "https://e.example/dnc", "valueCode": "N"}]))
    assert feed.site.dnc("1") == "no"
    feed.sends(patient(version=3, minutes=6, extension=[{"url": "https://e.example/dnc", "valueCode": "Y"}], **odd))
    assert feed.site.dnc("1") == "yes"


def test_an_unmapped_code_takes_no_death_with_it(feed: Feed) -> None:
    feed.sends(patient(version=2, minutes=5, deceasedBoolean=True, extension=[{"url": "https://e.example/dnc", "valueCode": "DECLINED"}]))
    assert feed.site.known("1").contact.deceased


@pytest.mark.parametrize("label", [("v3-Confidentiality", "R", "security"), ("v3-ObservationValue", "SUBSETTED", "tag")])
def test_a_record_that_withholds_takes_nothing_back(feed: Feed, label: tuple[str, str, str]) -> None:
    system, code, where = label
    feed.mapper = FhirMapper(_clearing())
    feed.sends(patient(version=2, minutes=5, extension=[{"url": "https://e.example/dnc", "valueCode": "Y"}]))
    withheld = patient(version=3, minutes=6, telecom=[])
    withheld["meta"][where] = [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]
    feed.sends(withheld)
    assert feed.site.dnc("1") == "yes"
    feed.sends(patient(version=4, minutes=7))
    assert feed.site.dnc("1") == ("yes" if code == "R" else "unknown"), "a record is restricted until a label says otherwise"
    unrestricted = patient(version=5, minutes=8)
    unrestricted["meta"]["security"] = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}]
    feed.sends(unrestricted)
    assert feed.site.dnc("1") == "unknown"


def test_a_code_that_a_record_withholds_refuses_by_a_mapping_that_reads_a_refusal(feed: Feed) -> None:
    unclear = [{"url": "https://e.example/dnc", "valueCode": "?"}]
    withheld = patient(version=2, minutes=5, extension=unclear)
    withheld["meta"]["security"] = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]
    for meaning, dnc in (("unknown", "unknown"), ("yes", "yes"), ("unknown", "unknown")):
        rule = {**SETTINGS.mapping["do_not_contact"], "values": {"Y": "yes", "N": "no", "?": meaning}}
        feed.mapper = FhirMapper(replace(SETTINGS, mapping={"do_not_contact": rule}))
        feed.site.store.reads_by(FHIR, feed.mapper)
        feed.sends(withheld, patient(version=3, minutes=6))
        assert feed.site.dnc("1") == dnc


@pytest.mark.parametrize("right", ["no_statement", "unknown", "no"])
def test_a_wrong_mapping_of_a_patient_resource_that_is_rolled_back_leaves_nothing(feed: Feed, right: str) -> None:
    unclear = [{"url": "https://e.example/dnc", "valueCode": "?"}]
    for meaning in (right, "yes", right):
        rule = {**SETTINGS.mapping["do_not_contact"], "values": {"Y": "yes", "N": "no", "?": meaning}}
        feed.mapper = FhirMapper(replace(SETTINGS, mapping={"do_not_contact": rule}))
        feed.site.store.reads_by(FHIR, feed.mapper)
        feed.sends(patient(version=2, minutes=5, extension=unclear), patient(version=3, minutes=6))
        assert feed.site.dnc("1") == {"yes": "yes", "no": "no"}.get(meaning, "unknown")


def _clearing() -> SourceSettings:
    rule = {**SETTINGS.mapping["do_not_contact"], "on_absent": "clear"}
    return SourceSettings(
        FHIR, "fhir.rest", "GENHOSP", "MR", {"do_not_contact": rule}, authorities={MRN: "GENHOSP"}, options={"base_url": "http://x.example"}
    )


def test_what_is_not_understood_changes_nothing(feed: Feed) -> None:
    feed.sends(consent("a", "deny", minutes=1))
    feed.sends(consent("b", "permit", minutes=5, modifierExtension=[{"url": "https://e.example/not", "valueBoolean": True}]))
    assert feed.sms() == "denied"


@pytest.mark.parametrize("written", ["soon", "", 20261101, {}])
def test_a_permission_whose_date_cannot_be_read_lifts_no_refusal(feed: Feed, written: Any) -> None:
    feed.sends(consent("a", "deny", minutes=1, given=1), consent("b", "permit", minutes=5, dateTime=written))
    assert feed.sms() == "denied"


def test_a_consent_without_a_date_counts_from_its_last_change(feed: Feed) -> None:
    feed.sends(consent("a", "deny", minutes=1, given=1), consent("b", "permit", minutes=5))
    assert feed.sms() == "granted"


def _cut(version: int, minutes: float, **elements: Any) -> dict[str, Any]:
    made = patient(version=version, minutes=minutes, **elements)
    made["meta"]["tag"] = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]
    return made


def test_a_later_copy_that_was_cut_down_settles_nothing_that_could_not_be_read(feed: Feed) -> None:
    feed.sends(patient(version=2, minutes=5, extension=[{"url": "https://e.example/dnc", "valueCode": "DECLINED"}]))
    feed.sends(_cut(3, 6))
    assert feed.site.known("1").contact.unreadable == ("do_not_contact",)
    feed.sends(patient(version=4, minutes=7, extension=[{"url": "https://e.example/dnc", "valueCode": "N"}]))
    assert feed.site.known("1").contact.unreadable == ()


def _numbered(name: str, number: str, **elements: Any) -> dict[str, Any]:
    identifier = {"system": MRN, "type": {"coding": [{"code": "MR"}]}, "value": number}
    return patient(**elements) | {"id": name, "identifier": [identifier]}


@pytest.mark.parametrize(
    ("code", "value", "unread"), [("Y", "yes", ()), ("N", "unknown", ()), ("DECLINED", "unknown", ("do_not_contact",))]
)
def test_what_refuses_counts_for_both_patients_that_a_record_names(feed: Feed, code: str, value: str, unread: tuple[str, ...]) -> None:
    feed.sends(_numbered("p2", "2"))
    said = {"extension": [{"url": "https://e.example/dnc", "valueCode": code}], "telecom": [{"system": "sms", "value": "217-555-0101"}]}
    assert feed.sends(_numbered("p2", "1", version=2, minutes=5, **said)) == ["rejected"]
    for number in ("1", "2"):
        known = feed.site.known(number).contact
        assert (known.do_not_contact, known.unreadable, known.phones) == (value, unread, ())


def spoken(code: str) -> dict[str, Any]:
    return {"communication": [{"language": {"coding": [{"code": code}]}, "preferred": True}]}


@pytest.mark.parametrize("in_files", [False, True])
@pytest.mark.parametrize("meta_data", [{}, {"versionId": "1"}, {"lastUpdated": time(0)}, meta(1, 0)])
def test_what_a_record_says_now_counts_though_its_version_and_time_stand_still(
    feed: Feed, meta_data: dict[str, str], in_files: bool
) -> None:
    """Servers that count no versions, or whose lastUpdated is that of the first writing. What refuses nothing counts as received last."""
    for code in ("en", "es"):
        feed.sends(patient(meta=meta_data, **spoken(code)), written=feed.site.now if in_files else None)
    assert feed.site.value("1", "language") == "es"


def test_a_record_that_permits_again_under_the_same_version_lifts_no_refusal(feed: Feed) -> None:
    for code in ("N", "Y", "N"):
        feed.sends(patient(minutes=5, extension=[{"url": "https://e.example/dnc", "valueCode": code}]))
    assert feed.site.value("1", "do_not_contact") == "yes"
