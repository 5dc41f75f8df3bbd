"""Consent and Flag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Filtered, Unmappable
from store import times
from store.preference import Identifier, PatientStatements, Statement
from tests.adapters.fhir.made import RECEIVED, mapper, read, said, stated

SMS = {"consent": {"attribute": "consent.sms", "category": ["https://codes.example|sms"]}}
CATEGORY = [{"coding": [{"system": "https://codes.example", "code": "sms"}]}]
DNC = {"do_not_contact": {"from": "Flag.code.coding.code", "values": {"DNC": "yes"}, "on_unknown": "no_statement"}}
UPDATED = datetime(2026, 10, 31, 8, tzinfo=UTC)


def consent(**elements: Any) -> dict[str, Any]:
    meta = {"versionId": "2", "lastUpdated": "2026-10-31T08:00:00Z"}
    made = {
        "resourceType": "Consent",
        "id": "c1",
        "meta": meta,
        "status": "active",
        "category": CATEGORY,
        "patient": {"reference": "Patient/p1"},
    }
    return made | elements


def flag(**elements: Any) -> dict[str, Any]:
    meta = {"lastUpdated": "2026-10-31T08:00:00Z"}
    code = {"coding": [{"code": "DNC"}]}
    return {
        "resourceType": "Flag",
        "id": "f1",
        "meta": meta,
        "status": "active",
        "code": code,
        "subject": {"reference": "Patient/p1"},
    } | elements


def provision(*kinds: str) -> dict[str, Any]:
    """Provisions, each the exception to the one before."""
    first, *rest = kinds
    return {"type": first} | ({"provision": [provision(*rest)]} if rest else {})


def sms(**elements: Any) -> str | None:
    statement = stated(consent(**elements), options=SMS)["consent.sms"]
    assert set(stated(consent(**elements), options=SMS)) == {"consent.sms"}
    return statement.value


def unread(**elements: Any) -> list[tuple[str, str, str]]:
    """The problems of a Consent that states nothing."""
    found = said(consent(**elements), options=SMS)
    assert (found.identifiers, found.statements) == ((Identifier("clinic", "RI", "p1"),), {})
    return [(one.reason, one.path, one.attribute) for one in found.problems]


# Consent


def second(moment: datetime) -> times.Time:
    """A time that is written to the second."""
    return times.Time(moment, moment + timedelta(seconds=1, microseconds=-1))


def test_consent_is_about_the_patient_it_refers_to() -> None:
    found = said(consent(provision=provision("deny")), options=SMS)
    assert found.identifiers == (Identifier("clinic", "RI", "p1"),)
    assert found.statements == {"consent.sms": Statement("denied", "Consent.provision.type")}
    assert (found.evidence_id, found.version, found.effective) == ("Consent/c1/_history/2", 2, second(UPDATED))


def test_consent_of_r5_names_its_subject_and_decision() -> None:
    resource = consent(subject={"reference": "Patient/p1"}, decision="permit")
    del resource["patient"]
    assert stated(resource, options=SMS) == {"consent.sms": Statement("granted", "Consent.decision")}


@pytest.mark.parametrize(
    ("elements", "value"),
    [
        ({"provision": provision("permit")}, "granted"),
        ({"provision": provision("deny")}, "denied"),
        ({"provision": provision("permit", "deny")}, "denied"),
        ({"provision": provision("permit", "permit", "deny")}, "denied"),
        ({"provision": provision("deny", "permit")}, "denied"),
        ({"decision": "deny", "provision": [{}]}, "denied"),
        ({"extension": [{"url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.decision", "valueCode": "deny"}]}, "denied"),
    ],
)
def test_most_restrictive_part_of_a_consent_decides(elements: dict[str, Any], value: str) -> None:
    assert sms(**elements) == value


@pytest.mark.parametrize(
    ("elements", "value"),
    [
        ({"status": "rejected"}, "denied"),
        ({"status": "rejected", "provision": provision("permit")}, "denied"),
        ({"status": "inactive", "provision": provision("permit")}, None),
        ({"status": "entered-in-error", "provision": provision("permit")}, None),
        ({"status": "not-done", "decision": "permit"}, None),
        ({"provision": provision("permit") | {"period": {"end": "2026-10"}}}, None),
    ],
)
def test_consent_no_longer_in_force_takes_back_and_a_rejected_one_denies(elements: dict[str, Any], value: str | None) -> None:
    assert sms(**elements) == value


@pytest.mark.parametrize("elements", [{"status": "draft"}, {"status": "proposed"}, {"status": "draft", "period": {"start": "2027"}}])
def test_consent_not_yet_in_force_states_nothing(elements: dict[str, Any]) -> None:
    assert read(consent(**elements), options=SMS) == [Filtered("consent_not_in_force", "file:1")]


@pytest.mark.parametrize("elements", [{}, {"decision": "permit", "provision": [{"purpose": []}]}])
def test_active_consent_without_a_clear_decision_states_nothing_and_is_a_problem(elements: dict[str, Any]) -> None:
    assert unread(**elements) == [("value_absent", "Consent", "consent.sms")]


def test_unknown_decision_is_a_problem_of_its_attribute() -> None:
    assert unread(decision="maybe") == [("code_unmapped", "Consent.decision", "consent.sms")]
    assert "maybe" not in repr(said(consent(decision="maybe"), options=SMS))


def test_a_refusal_counts_beside_a_decision_that_cannot_be_read() -> None:
    found = said(consent(decision="deny", provision={"type": "maybe"}), options=SMS)
    assert found.statements["consent.sms"].value == "denied"
    assert [one.reason for one in found.problems] == ["code_unmapped"]


@pytest.mark.parametrize("status", ["unheard-of", None, 7, "unknown"])
def test_status_that_is_not_known_states_nothing_and_is_a_problem(status: Any) -> None:
    assert unread(status=status, decision="deny") == [("status_unknown", "Consent.status", "consent.sms")]
    found = said(flag(status=status), mapping=DNC)
    assert not found.statements
    assert [(one.reason, one.attribute) for one in found.problems] == [("status_unknown", "do_not_contact")]


@pytest.mark.parametrize("period", ["x", {"end": "soon"}, {"start": 7}])
def test_of_a_period_that_cannot_be_read_only_a_refusal_counts(period: Any) -> None:
    assert stated(consent(provision=provision("deny") | {"period": period}), options=SMS)["consent.sms"].value == "denied"
    assert unread(provision=provision("permit") | {"period": period}) == [("period_unreadable", "Consent.period", "consent.sms")]
    assert stated(flag(period=period), mapping=DNC)["do_not_contact"].value == "yes"


@pytest.mark.parametrize("options", [{}, SMS])
def test_consent_that_is_not_about_messages_is_filtered(options: dict[str, Any]) -> None:
    other = [{"coding": [{"system": "https://codes.example", "code": "research"}]}]
    assert read(consent(category=other, provision=provision("permit")), options=options) == [Filtered("consent_not_configured", "file:1")]


def test_site_can_count_other_statuses() -> None:
    options = {"consent": {**SMS["consent"], "statuses": ["active", "inactive"]}}
    found = stated(consent(status="inactive", provision=provision("deny")), options=options)
    assert found["consent.sms"].value == "denied"


def test_scope_is_matched_like_category() -> None:
    options = {"consent": {"attribute": "consent.sms", "scope": "messages"}}
    resource = consent(scope={"coding": [{"code": "messages"}]}, provision=provision("permit"))
    assert stated(resource, options=options)["consent.sms"].value == "granted"


GIVEN = {"dateTime": "2026-03"}


@pytest.mark.parametrize(
    ("elements", "effective"),
    [
        ({"decision": "permit"} | GIVEN, times.Time(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, 59, 59, 999_999, UTC))),
        ({"decision": "permit"}, second(UPDATED)),
        ({"decision": "deny"} | GIVEN, second(UPDATED)),
        ({"decision": "deny", "dateTime": "2026-10-31T09:00:00Z"}, second(datetime(2026, 10, 31, 9, tzinfo=UTC))),
        ({"status": "rejected"} | GIVEN, second(UPDATED)),
        ({"status": "inactive", "decision": "deny"} | GIVEN, second(UPDATED)),
        ({"status": "unknown", "decision": "permit"} | GIVEN, second(UPDATED)),
        ({"decision": "maybe"} | GIVEN, second(UPDATED)),
        ({"provision": {"type": "deny", "period": {"end": "2026-10-30"}}} | GIVEN, second(UPDATED)),
        (
            {"provision": {"type": "deny", "period": {"end": "2026-10-31T10:00:00Z"}}, "status": "inactive"},
            second(datetime(2026, 10, 31, 10, tzinfo=UTC)),
        ),
    ],
)
def test_permission_counts_from_when_it_was_given_and_all_else_from_the_last_change(
    elements: dict[str, Any], effective: times.Time
) -> None:
    assert said(consent(**elements), options=SMS).effective == effective


def test_where_the_servers_time_is_not_trusted_a_refusal_is_as_new_as_its_answer() -> None:
    assert said(consent(decision="deny", **GIVEN), options=SMS | {"trust_last_updated": False}).effective == times.at(RECEIVED)


def test_rule_of_the_site_reads_consents() -> None:
    mapping = {
        "consent.email": {
            "from": "Consent.where(category.coding.code = 'sms').provision.type",
            "values": {"permit": "granted", "deny": "denied"},
        }
    }
    assert stated(consent(provision=provision("permit")), mapping=mapping)["consent.email"].value == "granted"


@pytest.mark.parametrize(
    "reference", [None, {}, {"reference": "https://other.example/Patient/p1"}, {"reference": "urn:uuid:1"}, "Patient/p1"]
)
def test_consent_of_nobody_we_know_is_rejected(reference: Any) -> None:
    (item,) = read(consent(patient=reference, decision="deny"), options=SMS)
    assert isinstance(item, Unmappable)
    assert item.reason == "patient_reference_missing"


def test_logical_reference_names_the_patient_too() -> None:
    reference = {"identifier": {"system": "https://hospital.example/mrn", "value": "M1"}}
    assert said(consent(patient=reference, decision="deny"), options=SMS).identifiers == (Identifier("GENHOSP", "", "M1"),)


# Flag


def test_flag_of_a_configured_code_states_its_value() -> None:
    found = said(flag(), mapping=DNC)
    assert found.identifiers == (Identifier("clinic", "RI", "p1"),)
    assert found.statements == {"do_not_contact": Statement("yes", "Flag.code.coding[0].code")}


def test_flag_of_another_code_is_none_of_our_concern() -> None:
    other = {"coding": [{"code": "allergy"}]}
    assert read(flag(code=other), mapping=DNC) == [Filtered("flag_not_configured", "file:1")]
    assert read(flag(code=other, status="inactive"), mapping=DNC) == [Filtered("flag_not_configured", "file:1")]
    assert read(flag()) == [Filtered("flag_not_configured", "file:1")]


def test_flag_rule_that_does_not_say_leaves_other_codes_alone() -> None:
    rule = {"do_not_contact": {"from": "Flag.code.coding.code", "values": {"DNC": "yes"}}}
    assert read(flag(code={"coding": [{"code": "allergy"}]}), mapping=rule) == [Filtered("flag_not_configured", "file:1")]


@pytest.mark.parametrize("elements", [{"status": "inactive"}, {"status": "entered-in-error"}, {"period": {"end": "2026-10-30"}}])
def test_flag_that_ended_takes_its_statement_back(elements: dict[str, Any]) -> None:
    assert stated(flag(**elements), mapping=DNC) == {"do_not_contact": Statement(None, "Flag.status")}


@pytest.mark.parametrize(
    ("end", "effective"), [("2026-10-30", UPDATED), ("2026-10-31T09:00:00Z", datetime(2026, 10, 31, 9, tzinfo=UTC)), (None, UPDATED)]
)
def test_end_of_a_flag_counts_from_its_last_change_or_when_it_came_if_later(end: str | None, effective: datetime) -> None:
    resource = flag(status="inactive", period={"end": end} if end else {})
    assert said(resource, mapping=DNC).effective == second(effective)


def test_end_of_a_flag_is_news_where_the_servers_time_is_not_trusted() -> None:
    assert said(flag(period={"end": "2026-10-30"}), mapping=DNC, options={"trust_last_updated": False}).effective == times.at(RECEIVED)


@pytest.mark.parametrize(
    ("codes", "code", "says_no"),
    [
        ("DNC", {"code": "DNC"}, True),
        (["X", "DNC"], {"code": "DNC", "system": "https://codes.example"}, True),
        ("https://codes.example|DNC", {"code": "DNC", "system": "https://codes.example"}, True),
        ("https://codes.example|DNC", {"code": "DNC"}, False),
        ("it's", {"code": "it's"}, True),
        ("DNC", {"code": "allergy"}, False),
    ],
)
def test_flag_codes_of_the_options_are_a_no(codes: Any, code: dict[str, str], says_no: bool) -> None:
    (item,) = read(flag(code={"coding": [code]}), options={"flag": {"codes": codes}})
    assert isinstance(item, PatientStatements if says_no else Filtered)
    if isinstance(item, PatientStatements):
        assert item.statements["do_not_contact"].value == "yes"


def test_flag_of_the_options_can_refuse_a_channel() -> None:
    options = {"flag": {"codes": "DNC", "attribute": "consent.sms"}}
    assert stated(flag(), options=options)["consent.sms"].value == "denied"


def test_flag_cannot_refuse_what_is_no_permission() -> None:
    with pytest.raises(ValueError, match=r"flag\.attribute"):
        mapper(options={"flag": {"codes": "X", "attribute": "language"}})


def test_flag_not_in_force_states_nothing() -> None:
    found = said(flag(period={"start": "2027"}), mapping=DNC)
    assert (found.statements, [(one.attribute, one.value) for one in found.later]) == ({}, [("do_not_contact", "yes")])


def test_flag_about_a_group_is_none_of_our_concern() -> None:
    assert read(flag(subject={"reference": "Group/g1"}), mapping=DNC) == [Filtered("subject_not_patient", "file:1")]


@pytest.mark.parametrize("written", ["soon", "", 20261101])
def test_a_permission_whose_date_cannot_be_read_is_of_any_moment_until_its_last_change(written: Any) -> None:
    item = said(consent(provision={"type": "permit"}, dateTime=written), options=SMS)
    assert (item.effective.earliest, item.effective.latest) == (times.BEGINNING, UPDATED + timedelta(seconds=1) - times.STEP)
    assert [(one.reason, one.path) for one in item.problems] == [("time_unreadable", "Consent.dateTime")]


def test_what_is_permitted_beside_something_unread_may_be_as_old_as_its_date() -> None:
    rules = {"consent.voice": {"from": "Consent.policy.uri", "values": {"a": "granted"}, "on_unknown": "reject"}}
    made = consent(provision={"type": "permit"}, policy=[{"uri": "b"}], dateTime="2026-01-01T08:00:00Z")
    item = said(made, options=SMS, mapping=rules)
    assert item.statements["consent.sms"].value == "granted"
    assert item.effective.earliest == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert item.effective.latest == UPDATED + timedelta(seconds=1) - times.STEP


MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}


@pytest.mark.parametrize(
    "category", [[MASKED], [{"coding": [MASKED]}], [{"coding": [{"system": "https://codes.example", "_code": MASKED}]}]]
)
def test_a_consent_may_be_about_messages_where_what_it_is_about_was_withheld(category: list[Any]) -> None:
    found = said(consent(category=category, provision={"type": "permit"}), options=SMS)
    assert (found.statements, [(one.reason, one.path, one.attribute) for one in found.problems]) == (
        {},
        [("value_withheld", "Consent.category", "consent.sms")],
    )
    assert sms(category=[*CATEGORY, *category], provision={"type": "permit"}) == "granted"
    (over,) = read(consent(category=category, status="inactive"), options=SMS)
    assert isinstance(over, Filtered)


@pytest.mark.parametrize("code", [MASKED, {"coding": [MASKED]}, {"coding": [{"_code": MASKED}]}])
def test_so_may_a_flag(code: dict[str, Any]) -> None:
    found = said(flag(code=code), mapping=DNC)
    assert {one.attribute for one in found.problems} == {"do_not_contact"}
    coded = code | {"coding": [{"code": "DNC"}, *code.get("coding", ())]}
    assert said(flag(code=coded), mapping=DNC).statements["do_not_contact"].value == "yes"
