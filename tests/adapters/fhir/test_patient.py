from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Unmappable
from store import times
from store.preference import Identifier, PatientStatements, Phone, Statement
from tests.adapters.fhir.made import (
    CONFIDENTIALITY,
    MRN,
    RECEIVED,
    identifier,
    mapper,
    patient,
    payload,
    read,
    reasons,
    said,
    stated,
    telecom,
)

RI = Identifier("clinic", "RI", "p1")
RESTRICTED = {"versionId": "1", "security": [{"system": CONFIDENTIALITY, "code": "R"}]}
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}


def absent(reason: str | None) -> dict[str, Any]:
    code = {} if reason is None else {"valueCode": reason}
    return {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", **code}]}


def phones(**changes: Any) -> tuple[Phone, ...]:
    value = telecom(**changes)["phones"].value
    assert isinstance(value, tuple)
    return value


# Who


def test_configured_identifier_comes_first_then_the_resource_id() -> None:
    other = identifier("X9", system="https://other.example")
    assert said(patient(identifier=[other, identifier()])).identifiers == (
        Identifier("GENHOSP", "MR", "M1"),
        RI,
        Identifier("https://other.example", "MR", "X9"),
    )


def test_resource_id_comes_first_where_the_configured_identifier_is_missing() -> None:
    assert said(patient(identifier=[])).identifiers == (RI,)


def test_identifier_of_the_configured_authority_but_another_type_is_not_the_configured_one() -> None:
    assert said(patient(identifier=[identifier(kind="PI")])).identifiers[0] == RI


def test_identifier_without_system_counts_only_with_the_configured_type() -> None:
    entries = [identifier("A", system=None), identifier("B", system=None, kind="PI")]
    assert said(patient(identifier=entries)).identifiers == (Identifier("GENHOSP", "MR", "A"), RI)


@pytest.mark.parametrize(
    "entry",
    [
        identifier(use="old"),
        identifier(period={"end": "2020"}),
        identifier(kind="SS"),
        identifier(kind="AN"),
        identifier(system="http://hl7.org/fhir/sid/us-ssn", kind=""),
        identifier(value=" "),
        {"system": MRN, "_value": ABSENT},
        "M1",
        None,
    ],
)
def test_identifier_that_is_old_shared_or_unreadable_is_left_out(entry: Any) -> None:
    assert said(patient(identifier=[entry])).identifiers == (RI,)


def test_alias_of_an_oid_is_known_with_and_without_urn() -> None:
    aliases = {"1.2.36.146": "GENHOSP"}
    entry = identifier(system="urn:oid:1.2.36.146")
    assert said(patient(identifier=[entry]), authorities=aliases).identifiers[0] == Identifier("GENHOSP", "MR", "M1")


def test_standard_type_code_wins_over_the_vendors_own() -> None:
    own = {"system": "https://fhir.cerner.example/codeSet/4", "code": "10"}
    entry = identifier()
    entry["type"]["coding"].insert(0, own)
    assert said(patient(identifier=[entry])).identifiers[0].type == "MR"


def test_patient_that_nothing_names_is_rejected() -> None:
    (item,) = read({"resourceType": "Patient", "identifier": [{"value": "1"}], "telecom": []})
    assert isinstance(item, Unmappable)
    assert (item.reason, item.locator) == ("patient_id_missing", "file:1")
    assert b"Patient" in item.payload


# Phones and e-mail


def test_mobile_is_a_cell_phone_and_textable() -> None:
    assert phones(use="mobile", rank=1) == (Phone("+12175550123", "cell", "217-555-0123", 1, True),)


@pytest.mark.parametrize(
    ("use", "kind"), [("home", "home"), ("work", "work"), ("temp", "other"), (None, "other"), ("mobile", "cell"), (7, "other")]
)
def test_use_says_what_a_phone_is_for(use: Any, kind: str) -> None:
    (phone,) = phones(use=use)
    assert phone.kind == kind


def test_home_phone_is_not_textable_for_all_we_know() -> None:
    assert not phones(use="home")[0].textable


def test_number_for_sms_is_textable() -> None:
    assert phones(system="sms", use="home")[0].textable


def test_number_of_a_mobile_range_is_textable() -> None:
    assert phones(value="+447911123456", use="home")[0].textable


def test_one_number_listed_twice_is_one_phone_with_what_both_say() -> None:
    entries = [{"system": "phone", "value": "217-555-0123", "rank": 2}, {"system": "sms", "value": "(217) 555-0123", "use": "mobile"}]
    assert stated(patient(telecom=entries))["phones"].value == (Phone("+12175550123", "cell", "217-555-0123", 2, True),)


@pytest.mark.parametrize(
    ("rank", "kept"), [(1, 1), ("2", 2), (0, None), (-1, None), (True, None), ("first", None), (1.5, None), (None, None)]
)
def test_rank_is_a_positive_number_or_none_stated(rank: Any, kept: int | None) -> None:
    assert phones(rank=rank)[0].rank == kept


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "old"},
        {"period": {"end": "2026-10-31"}},
        {"period": {"end": "2026-09"}},
        {"period": {"end": "2025"}},
        {"use": "old", "system": "fax"},
        {"period": {"end": "2026-10-31"}, "system": "pager"},
    ],
)
def test_phone_not_in_use_is_left_out(changes: dict[str, Any]) -> None:
    assert telecom(**changes)["phones"] == Statement(None, "Patient.telecom")


@pytest.mark.parametrize("system", ["fax", "pager", "other"])
def test_a_number_that_is_no_phone_is_kept_as_a_fax_and_never_preferred(system: str) -> None:
    found = telecom(system=system, rank=1)
    assert [(phone.kind, phone.textable, phone.rank) for phone in found["phones"].value] == [("fax", False, None)]
    assert "preferred_phone" not in found


@pytest.mark.parametrize("end", ["2026-11-01", "2026-11", "2026", "2027-01-01T00:00:00Z"])
def test_period_includes_its_end(end: str) -> None:
    assert len(phones(period={"end": end})) == 1


def test_period_is_kept_as_dates() -> None:
    (phone,) = phones(period={"start": "2026", "end": "2028-02"})
    assert (phone.start, phone.end) == ("2026-01-01", "2028-02-29")


def test_emails_are_listed_most_preferred_first() -> None:
    ranks: dict[str, Any] = {"b": {"rank": 2}, "c": {"rank": 1}}
    entries = [{"system": "email", "value": f"{name}@example.org", **ranks.get(name, {})} for name in "abc"]
    assert stated(patient(telecom=entries))["email"].value == ("c@example.org", "b@example.org", "a@example.org")


def test_telecom_that_is_there_states_both_lists() -> None:
    assert stated(patient(telecom=[]))["phones"] == stated(patient(telecom=[]))["email"] == Statement(None, "Patient.telecom")


def test_telecom_that_is_absent_states_nothing() -> None:
    assert not stated(patient())


@pytest.mark.parametrize(
    ("point", "untouched"),
    [
        ({"system": "phone", "_value": ABSENT}, {"phones"}),
        ({"system": "email", "_value": ABSENT}, {"email"}),
        ({"_system": ABSENT, "_value": ABSENT}, {"phones", "email"}),
        ({"system": "sms"}, {"phones"}),
    ],
)
def test_withheld_value_takes_nothing_back(point: dict[str, Any], untouched: set[str]) -> None:
    assert {"phones", "email"} - stated(patient(telecom=[point])).keys() == untouched


def test_restricted_record_without_telecom_takes_nothing_back() -> None:
    found = said(patient(meta=RESTRICTED, telecom=[]))
    assert found.restricted
    assert found.statements == {"restricted": Statement(True, "Patient.meta.security[0]")}


def test_restricted_record_still_states_the_phones_it_has() -> None:
    point = {"system": "phone", "value": "217-555-0123"}
    assert "phones" in stated(patient(meta=RESTRICTED, telecom=[point]))


def test_record_opened_again_says_so() -> None:
    meta = {"security": [{"system": "http://hl7.org/fhir/v3/Confidentiality", "code": "N"}]}
    found = said(patient(meta=meta))
    assert not found.restricted
    assert found.statements["restricted"].value is False


@pytest.mark.parametrize("code", ["R", "V", "r"])
def test_restriction_counts_beside_any_other_label(code: str) -> None:
    labels = [{"system": CONFIDENTIALITY, "code": one} for one in ("N", code, "N")]
    assert said(patient(meta={"security": labels}, telecom=[])).statements == {"restricted": Statement(True, "Patient.meta.security[1]")}


@pytest.mark.parametrize("meta", [{"security": "R"}, {"security": [{"system": CONFIDENTIALITY, "code": "X"}]}, "x"])
def test_label_that_cannot_be_read_is_a_problem_and_takes_nothing_back(meta: Any) -> None:
    found = said(patient(meta=meta, telecom=[]))
    assert [(one.reason, one.attribute) for one in found.problems] == [("label_unreadable", "restricted")]
    assert not found.statements


@pytest.mark.parametrize(("where", "code"), [("tag", "SUBSETTED"), ("security", "REDACTED"), ("security", "MASKED")])
def test_record_that_was_cut_down_takes_nothing_back(where: str, code: str) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": code}
    rule = {"do_not_contact": {"from": "Patient.extension('http://x.example/dnc').valueCode", "values": {"Y": "yes"}, "on_absent": "clear"}}
    assert not said(patient(meta={where: [label]}, telecom=[]), mapping=rule).statements
    assert set(said(patient(meta={where: []}, telecom=[]), mapping=rule).statements) == {"phones", "email", "do_not_contact"}


def test_label_of_another_system_is_not_a_restriction() -> None:
    meta = {"security": [{"system": "https://other.example", "code": "R"}, "R", None]}
    assert "restricted" not in stated(patient(meta=meta))


def test_unusable_contact_points_are_problems_and_the_rest_counts() -> None:
    entries = [
        {"system": "phone", "value": "call the neighbour"},
        {"system": "email", "value": "nobody"},
        {"value": "217-555-0100"},
        "217-555-0101",
        {"system": "phone", "value": "217-555-0102"},
    ]
    resource = patient(telecom=entries)
    assert reasons(resource) == [
        ("phone_unusable", "Patient.telecom[0].value"),
        ("email_unusable", "Patient.telecom[1].value"),
        ("contact_system_missing", "Patient.telecom[2].system"),
        ("contact_point_unreadable", "Patient.telecom[3]"),
    ]
    assert [phone.number for phone in stated(resource)["phones"].value] == ["+12175550102"]


def test_problems_never_quote_the_value() -> None:
    problems = said(patient(telecom=[{"system": "phone", "value": "call 5-5-5"}])).problems
    assert "5-5-5" not in repr(problems)


def test_telecom_that_is_no_list_is_a_problem_and_states_nothing() -> None:
    resource = patient(telecom={"system": "phone", "value": "217-555-0123"})
    assert reasons(resource) == [("telecom_unreadable", "Patient.telecom")]
    assert not stated(resource)


@pytest.mark.parametrize(
    ("point", "untouched"),
    [
        ({"system": "phone", "value": "call the neighbour"}, {"phones"}),
        ({"system": "email", "value": "nobody"}, {"email"}),
        ({"value": "217-555-0100"}, {"phones", "email"}),
        ("217-555-0101", {"phones", "email"}),
    ],
)
def test_what_cannot_be_read_takes_nothing_back(point: Any, untouched: set[str]) -> None:
    assert {"phones", "email"} - stated(patient(telecom=[point])).keys() == untouched


def test_problems_name_their_attribute() -> None:
    entries = [{"system": "phone", "value": "none"}, {"system": "email", "value": "nobody"}, {"value": "1"}, "x"]
    found = said(patient(telecom=entries, communication=language(("qqq9", None))))
    assert [one.attribute for one in found.problems] == ["phones", "email", "phones", "phones", "language"]


DIRECT = [{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-direct", "valueBoolean": True}]


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, True),
        ({"extension": DIRECT}, False),
        ({"extension": [DIRECT[0] | {"valueBoolean": False}]}, True),
        ({"value": "pat@direct.hospital.example.org"}, False),
        ({"value": "pat@mail.Direct.example.org"}, False),
        ({"value": "pat@direct.example"}, True),
        ({"value": "direct@example.org"}, True),
        ({"period": {"start": "2026-11-02"}}, False),
        ({"period": {"start": "2027"}}, False),
        ({"period": {"start": "2026-11-01"}}, True),
        ({"period": {"start": "2020", "end": "2026-11"}}, True),
        ({"period": {"end": "2026-10-31"}}, False),
        ({"use": "old"}, False),
    ],
)
def test_address_is_used_in_its_period_and_no_direct_address_is(changes: dict[str, Any], used: bool) -> None:
    entries = [{"system": "email", "value": "a@example.org"}, {"system": "email", "value": "pat@example.org", **changes}]
    assert (len(stated(patient(telecom=entries))["email"].value) == 2) is used


# Preferred phone


def test_lowest_rank_is_the_preferred_phone() -> None:
    entries = [
        {"system": "phone", "value": "217-555-0101"},
        {"system": "phone", "value": "217-555-0102", "rank": 3},
        {"system": "phone", "value": "217-555-0103", "rank": 2},
        {"system": "email", "value": "a@example.org", "rank": 1},
    ]
    assert stated(patient(telecom=entries))["preferred_phone"] == Statement("+12175550103", "Patient.telecom[2].rank")


@pytest.mark.parametrize("ranks", [(None, None), (1, 1)])
def test_no_rank_or_a_shared_one_prefers_no_phone(ranks: tuple[int | None, int | None]) -> None:
    entries = [{"system": "phone", "value": f"217-555-010{index}", "rank": rank} for index, rank in enumerate(ranks)]
    assert "preferred_phone" not in stated(patient(telecom=entries))


# Language, life, name


def language(*entries: tuple[str, bool | None]) -> list[dict[str, Any]]:
    made = [{"language": {"coding": [{"code": code}]}, "preferred": preferred} for code, preferred in entries]
    return [{key: value for key, value in one.items() if value is not None} for one in made]


@pytest.mark.parametrize(
    ("entries", "tag"),
    [
        (language(("en", None), ("es", True)), "es"),
        (language(("spa", None)), "es"),
        (language(("en", None), ("es", None)), None),
        (language(("en", False)), None),
        ([{"language": {"coding": [{"system": "https://own.example", "code": "151"}, {"system": "urn:ietf:bcp:47", "code": "vi"}]}}], "vi"),
        ([{"language": {"text": "Spanish"}}], "es"),
        ([None, {"preferred": True}], None),
        ("en", None),
    ],
)
def test_language_is_the_preferred_or_the_only_one(entries: Any, tag: str | None) -> None:
    found = stated(patient(communication=entries)).get("language")
    assert (found.value if found else None) == tag


def test_code_that_names_no_language_is_a_problem() -> None:
    assert reasons(patient(communication=language(("qqq9", None)))) == [("language_unusable", "Patient.communication[0].language")]


@pytest.mark.parametrize(
    ("elements", "statement"),
    [
        ({"deceasedBoolean": False}, Statement(False, "Patient.deceasedBoolean")),
        ({"deceasedBoolean": True}, Statement(True, "Patient.deceasedBoolean")),
        ({"deceasedDateTime": "2020"}, Statement(True, "Patient.deceasedDateTime")),
        ({"deceasedBoolean": "true"}, Statement(True, "Patient.deceasedBoolean")),
        ({"deceasedBoolean": "False"}, Statement(False, "Patient.deceasedBoolean")),
        ({"deceasedBoolean": False, "deceasedDateTime": "2020"}, Statement(True, "Patient.deceasedDateTime")),
        ({"_deceasedDateTime": ABSENT}, Statement(True, "Patient.deceasedDateTime")),
        ({"_deceasedDateTime": absent("unknown"), "deceasedBoolean": False}, Statement(True, "Patient.deceasedDateTime")),
        ({"_deceasedDateTime": absent("asked-unknown")}, Statement(True, "Patient.deceasedDateTime")),
        ({"_deceasedDateTime": absent(None)}, Statement(True, "Patient.deceasedDateTime")),
        ({"_deceasedDateTime": absent("not-applicable")}, None),
        ({"_deceasedBoolean": absent("unknown")}, None),
        ({"_deceasedDateTime": {"extension": [{"url": "https://other.example", "valueCode": "unknown"}]}}, None),
        ({"_deceasedDateTime": "x"}, None),
        ({}, None),
    ],
)
def test_deceased_is_stated_only_when_said(elements: dict[str, Any], statement: Statement | None) -> None:
    assert stated(patient(**elements)).get("deceased") == statement


@pytest.mark.parametrize(
    "elements", [{"deceasedBoolean": "Y"}, {"deceasedBoolean": 1}, {"deceasedDateTime": ""}, {"deceasedDateTime": 2020}]
)
def test_deceased_that_cannot_be_read_is_a_problem_of_its_attribute(elements: dict[str, Any]) -> None:
    found = said(patient(active=True, **elements))
    assert [(one.reason, one.attribute) for one in found.problems] == [("deceased_unreadable", "deceased")]
    assert set(found.statements) == {"active"}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"family": "Testcase", "given": ["Ann", "B"]}], "Ann B Testcase"),
        ([{"use": "usual", "text": "Annie"}, {"use": "official", "family": "Testcase", "given": ["Ann"]}], "Ann Testcase"),
        ([{"use": "old", "family": "Before"}, {"family": "Now"}], "Now"),
        ([{"family": ["van", "Testcase"], "given": ["Ann"]}], "Ann van Testcase"),
        ([{"period": {"end": "2001"}, "family": "Before"}], None),
        ([{}, None, "Ann"], None),
    ],
)
def test_name_is_the_official_one_in_use(names: Any, shown: str | None) -> None:
    found = stated(patient(name=names)).get("display_name")
    assert (found.value if found else None) == shown


def test_names_are_not_kept_where_that_is_switched_off() -> None:
    assert "display_name" not in stated(patient(name=[{"family": "Testcase"}]), keep_names=False)


# When, and which version


def test_time_and_version_are_the_resources_own() -> None:
    found = said(patient())
    whole_second = times.Time(datetime(2026, 10, 31, 8, tzinfo=UTC), datetime(2026, 10, 31, 8, 0, 0, 999_999, UTC))
    assert (found.effective, found.version, found.evidence_id) == (whole_second, 3, "Patient/p1/_history/3")


def test_time_of_receipt_counts_where_the_servers_is_not_trusted() -> None:
    assert said(patient(), options={"trust_last_updated": False}).effective == times.at(RECEIVED)


def test_time_from_the_future_is_a_problem() -> None:
    resource = patient(meta={"lastUpdated": (RECEIVED + timedelta(minutes=16)).isoformat()})
    assert said(resource).effective.earliest == RECEIVED + timedelta(minutes=16), "the store ends it at receipt"
    assert reasons(resource) == [("time_in_future", "Patient.meta.lastUpdated")]


def test_clock_that_runs_a_little_ahead_is_no_problem() -> None:
    ahead = RECEIVED + timedelta(minutes=14)
    resource = patient(meta={"lastUpdated": ahead.isoformat()})
    assert (said(resource).effective.earliest, reasons(resource)) == (ahead, [])


@pytest.mark.parametrize("meta", [{}, None, "x"])
def test_patient_without_usable_meta_is_dated_by_receipt(meta: Any) -> None:
    found = said(patient(meta=meta))
    assert (found.effective, found.version) == (times.at(RECEIVED), 0)


def test_a_time_that_cannot_be_read_is_any_time_until_receipt_and_a_problem() -> None:
    resource = patient(meta={"versionId": "W/abc", "lastUpdated": "yesterday"})
    assert said(resource).effective == times.unknown(RECEIVED)
    assert reasons(resource) == [("time_unreadable", "Patient.meta.lastUpdated")]


def test_file_without_a_time_of_its_own_was_true_at_any_time_until_it_was_written() -> None:
    written = RECEIVED - timedelta(days=3)
    (item,) = mapper().read(payload(patient(meta={}))._replace(written=written))
    assert isinstance(item, PatientStatements)
    assert item.effective == times.unknown(written)


def test_a_record_that_was_cut_down_says_nothing_of_what_it_lacks() -> None:
    rule = {"from": "Patient.extension('https://e.example/dnc').valueCode", "values": {"Y": "yes"}, "on_absent": "clear"}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    item = said(patient(meta={"versionId": "3", "tag": [tag]}), mapping={"do_not_contact": rule})
    assert (item.statements, item.codes, item.problems) == ({}, {}, ())


@pytest.mark.parametrize("system", ["Phone", "PHONE", " phone ", "SMS"])
def test_the_system_of_a_contact_point_is_read_without_regard_to_case(system: str) -> None:
    points = [{"system": system, "use": "Mobile", "value": "217-555-0123"}, {"system": "Email", "value": "pat@example.org"}]
    found = said(patient(telecom=points))
    assert [(one.number, one.kind, one.textable) for one in found.statements["phones"].value] == [("+12175550123", "cell", True)]
    assert found.statements["email"].value == ("pat@example.org",)
    assert found.problems == ()


def test_a_system_that_is_no_code_is_a_problem_and_clears_nothing() -> None:
    found = said(patient(telecom=[{"system": "telephone", "value": "217-555-0123"}]))
    assert [(one.reason, one.path) for one in found.problems] == [("contact_system_unknown", "Patient.telecom[0].system")]
    assert not {"phones", "email"} & set(found.statements)


def test_an_old_number_is_old_in_any_case() -> None:
    assert stated(patient(telecom=[{"system": "phone", "use": "Old", "value": "217-555-0123"}]))["phones"].value is None


@pytest.mark.parametrize(
    ("system", "value", "reason"),
    [
        ("phone", "999-999-9999", "phone_placeholder"),
        ("phone", "0000000000", "phone_placeholder"),
        ("email", "none@none.com", "email_placeholder"),
    ],
)
def test_a_placeholder_is_no_address_and_clears_nothing(system: str, value: str, reason: str) -> None:
    found = said(patient(telecom=[{"system": system, "value": value}]))
    assert [one.reason for one in found.problems] == [reason]
    assert {"phone": "phones", "email": "email"}[system] not in found.statements


def test_several_numbers_and_addresses_in_one_value_are_read_each() -> None:
    points = [{"system": "phone", "value": "217-555-0123 / 217-555-0124"}, {"system": "email", "value": "a@example.org; b@example.org"}]
    found = stated(patient(telecom=points))
    assert [one.number for one in found["phones"].value] == ["+12175550123", "+12175550124"]
    assert found["email"].value == ("a@example.org", "b@example.org")


def test_a_remark_refuses_at_its_number_whatever_a_rule_grants_there() -> None:
    rule = {"consent.voice#*": {"from": "Patient.telecom.extension('https://x.example/ok').valueBoolean", "values": {"true": "granted"}}}
    point = {"system": "phone", "value": "217-555-0123 do not call", "extension": [{"url": "https://x.example/ok", "valueBoolean": True}]}
    found = said(patient(telecom=[point]), mapping=rule)
    assert found.statements["consent.voice#+12175550123"].value == "denied"
    assert [one.number for one in found.statements["phones"].value] == ["+12175550123"]
    assert [one.reason for one in found.problems] == ["phone_refused"]


def test_languages_of_a_site_and_texts_beside_codes() -> None:
    spoken = [{"language": {"coding": [{"code": "CRE", "display": "Haitian Creole"}]}}]
    assert stated(patient(communication=spoken))["language"].value == "ht"
    own = [{"language": {"coding": [{"code": "KRN"}]}}]
    assert said(patient(communication=own), languages={"KRN": "ksw"}).statements["language"].value == "ksw"
    assert [one.reason for one in said(patient(communication=[{"language": {"text": "eee"}}])).problems] == ["language_unusable"]
