"""Patient identifiers in PID-3 and the fields of older versions."""

from __future__ import annotations

import pytest

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.mapping.identifiers import folded
from store.preference import Identifier, PatientStatements
from tests.adapters.hl7v2.messages import RECEIVED, adt, items, refused, settings, stated

OWN = Identifier("GENHOSP", "MR", "10001")


@pytest.mark.parametrize(
    "pid_3",
    [
        "10001^^^GENHOSP^MR",
        "10001^5^M11^GENHOSP^MR",
        "10001^^^GENHOSP&1.2.36.146.595&ISO^MR",
        "10001^^^&1.2.36.146.595&ISO^MR",
        "10001^^^Old Name&1.2.36.146.595&ISO^MR",
        "10001^^^urn:oid:1.2.36.146.595^MR",
        "10001^^^1.2.36.146.595^MR",
        "10001^^^https://genhosp.example/mrn^MR",
        "10001^^^&https://genhosp.example/mrn&URI^MR",
        "10001^^^^MR",
        "10001",
        "10001^^^GENHOSP",
        " 10001 ^^^GENHOSP^MR",
        "~10001^^^GENHOSP^MR",
    ],
)
def test_all_names_of_an_authority_identify_the_same_patient(pid_3: str) -> None:
    assert stated(adt(f3=pid_3)).identifiers == (OWN,)


def test_the_configured_identifier_comes_first() -> None:
    item = stated(adt(f3="77^^^CLINIC^MR~10001^^^GENHOSP^MR~88^^^STATE^PI~10001^^^GENHOSP^MR"))
    assert item.identifiers == (OWN, Identifier("CLINIC", "MR", "77"), Identifier("STATE", "PI", "88"))


@pytest.mark.parametrize("kind", ["AN", "VN", "SS", "DL", "PPN", "MC", "NIIP"])
def test_accounts_and_shared_numbers_are_not_patient_identifiers(kind: str) -> None:
    assert stated(adt(f3=f"10001^^^GENHOSP^MR~999^^^GENHOSP^{kind}")).identifiers == (OWN,)
    assert refused(adt(f3=f"999^^^X^{kind}"), authority="", identifier_type="").reason == "patient_id_missing"


def test_the_same_value_of_two_authorities_is_two_patients() -> None:
    first, second = (stated(adt(f3=f"1^^^{name}^MR"), authority="").identifiers for name in ("EAST", "WEST"))
    assert first != second


def test_an_identifier_that_has_expired_is_not_used() -> None:
    assert stated(adt(f3="1^^^GENHOSP^MR^^20200101^20210101~10001^^^GENHOSP^MR^^^20991231")).identifiers == (OWN,)


def test_without_configuration_the_mrn_is_used_otherwise_the_first_identifier() -> None:
    item = stated(adt(f3="9^^^BANK^AN~5^^^EAST^PI~6^^^WEST^MR"), authority="", identifier_type="")
    assert item.identifiers == (Identifier("WEST", "MR", "6"), Identifier("EAST", "PI", "5"))
    item = stated(adt(f3="9^^^BANK^AN~5^^^EAST^PI~6^^^WEST^PT"), authority="", identifier_type="")
    assert item.identifiers[0] == Identifier("EAST", "PI", "5")


def test_without_configuration_a_local_type_is_used_if_there_is_no_better_one() -> None:
    assert stated(adt(f3="5^^^EAST^LOCAL"), authority="", identifier_type="").identifiers == (Identifier("EAST", "LOCAL", "5"),)


def test_without_configuration_an_identifier_without_an_authority_is_refused() -> None:
    item = refused(adt(f3="5^^^^MR"), authority="", identifier_type="")
    assert (item.reason, item.path) == ("identifier_without_authority", "PID-3")


def test_an_unconfigured_oid_is_the_name_of_the_authority() -> None:
    item = stated(adt(f3="5^^^&1.2.3.4&ISO^MR"), authority="", identifier_type="")
    assert item.identifiers == (Identifier("urn:oid:1.2.3.4", "MR", "5"),)


def test_the_identifier_of_an_old_message_is_in_pid_2() -> None:
    assert stated(adt(f2="10001", f3="")).identifiers == (OWN,)
    assert refused(adt(f2="10001", f3=""), authority="", identifier_type="").reason == "patient_id_missing"


def test_escaped_identifiers_are_unescaped() -> None:
    assert stated(adt(f3="10\\T\\01^^^GENHOSP^MR")).identifiers[0].value == "10&01"


@pytest.mark.parametrize(
    ("pid_3", "types"),
    [
        ("10001^^^genhosp^MR", "MR"),
        ("10001^^^GENHOSP^mr", "MR"),
        ("10001^^^Genhosp&1.2.36.146.595&ISO^Mr", ("MRN", "MR")),
        ("10001^^^GENHOSP^MR~7^^^GENHOSP^PI", ("MR", "MRN")),
    ],
)
def test_case_does_not_matter_and_several_types_may_be_configured(pid_3: str, types: str | tuple[str, ...]) -> None:
    assert stated(adt(f3=pid_3), identifier_type=types).identifiers[0] == OWN


def test_each_of_several_types_is_a_namespace() -> None:
    item = stated(adt(f3="5^^^GENHOSP^MRN~6^^^GENHOSP^MR"), identifier_type=("MR", "MRN"))
    assert item.identifiers == (Identifier("GENHOSP", "MRN", "5"), Identifier("GENHOSP", "MR", "6"))
    assert item.problems == ()


@pytest.mark.parametrize("value", ["0", "000000", "00-00-0000", "9999999", "UNKNOWN", "unk", "N/A", "null", "(none)", "-", "Test", "n.a."])
def test_a_placeholder_is_not_an_identifier(value: str) -> None:
    record = stated(adt(f3=f"10001^^^GENHOSP^MR~{value}^^^FMP^PN"))
    assert record.identifiers == (OWN,)
    item = refused(adt(f3=f"{value}^^^GENHOSP^MR"))
    assert item.reason == "patient_id_missing"
    assert "GENHOSP/MR (placeholder)" in item.detail


@pytest.mark.parametrize("value", ["10000000", "100", "77777", "A0", "X100", "TESTER1"])
def test_a_value_that_resembles_a_placeholder_is_an_identifier(value: str) -> None:
    assert stated(adt(f3=f"{value}^^^GENHOSP^MR")).identifiers[0].value == value


def test_a_site_has_placeholders_of_its_own() -> None:
    assert stated(adt(f3="10001^^^GENHOSP^MR~ask.me^^^STATE^NI"), placeholders=folded(["ASK ME"])).identifiers == (OWN,)


def test_two_universal_ids_of_one_namespace_are_two_authorities() -> None:
    items = [stated(adt(f3=f"77^^^MRN&{oid}&ISO^MR"), authority="", identifier_type="") for oid in ("1.2.3.1", "1.2.3.2")]
    assert [item.identifiers[0].authority for item in items] == ["urn:oid:1.2.3.1", "urn:oid:1.2.3.2"]


@pytest.mark.parametrize("hd", ["GENHOSP&9.9.9.9&ISO", "genhosp&other.example&DNS"])
def test_a_namespace_with_a_different_universal_id_is_another_authority(hd: str) -> None:
    assert refused(adt(f3=f"10001^^^{hd}^MR")).reason == "patient_id_missing"


def test_a_namespace_configured_without_universal_ids_accepts_any() -> None:
    assert stated(adt(f3="10001^^^GENHOSP&9.9.9.9&ISO^MR"), authorities={}).identifiers == (OWN,)


def test_the_reason_lists_received_authorities_and_types_and_ended_identifiers() -> None:
    detail = refused(adt(f3="10001^^^GENHOSP^MR^^^20200101~5551234^^^OTHER^PI~777^^^12345678^MR~88^^^GENHOSP^AN")).detail
    assert detail.endswith("received: GENHOSP/MR (ended), OTHER/PI, another issuer/MR, GENHOSP/AN (does not identify a patient)")


@pytest.mark.parametrize("kind", ["XX", "AN", "SS"])
def test_the_reason_lists_identifiers_that_do_not_identify_a_patient(kind: str) -> None:
    item = refused(adt(f3=f"5^^^GENHOSP^{kind}"))
    assert (item.reason, item.detail.partition("; ")[2]) == (
        "patient_id_missing",
        f"received: GENHOSP/{kind} (does not identify a patient)",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"f2": "10001"},
        {"f2": "10001^^^GENHOSP^MR"},
        {"f2": '""', "f4": "10001^^^GENHOSP^MR"},
        {"f4": "9^^^OTHER^MR~10001^^^GENHOSP^MR"},
        {"f3": "^^^GENHOSP^MR", "f2": "10001"},
    ],
)
def test_without_pid_3_the_fields_of_older_versions_are_read(fields: dict[str, str]) -> None:
    assert stated(adt(**({"f3": ""} | fields))).identifiers[0] == OWN


@pytest.mark.parametrize("fields", [{"f2": "998877^^^OTHERHOSP^MR"}, {"f2": "998877^^^GENHOSP^PI"}, {"f4": "998877^^^OTHERHOSP^MR"}])
def test_an_old_field_with_another_authority_is_not_the_sources_own(fields: dict[str, str]) -> None:
    item = refused(adt(f3="", **fields))
    assert item.reason == "patient_id_missing"
    assert "998877" not in item.detail


@pytest.mark.parametrize("second", ["PID", "PID|2", "PID|||", "PID|2||MRN10001^^^GENHOSP^MR"])
def test_an_empty_or_repeated_second_pid_is_ignored(second: str) -> None:
    assert stated(adt("A08", second)).identifiers == (OWN._replace(value="MRN10001"),)


@pytest.mark.parametrize("second", ["PID|||MRN2^^^GENHOSP^MR", "PID|||||DOE^JOE", "PID|||7^^^GENHOSP^AN||DOE^JOE"])
def test_a_second_pid_of_another_or_unknown_patient_is_refused(second: str) -> None:
    assert refused(adt("A08", second)).reason == "several_patients"


@pytest.mark.parametrize(
    "second",
    ["PID|2||MRN10001^^^GENHOSP^MR|||||F", "PID|2||7^^^GENHOSP^AN~MRN10001^^^genhosp^mr||DOE^JOE", "PID|2|MRN10001^^^GENHOSP^MR||||||F"],
)
@pytest.mark.parametrize("event", ["A08", "A23", "A28"])
def test_a_second_pid_of_the_same_own_identifier_is_the_same_patient(event: str, second: str) -> None:
    rules = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes"}}}
    for lines in ((second, "ZCP|1|DNC"), ("ZCP|1|DNC", second)):
        item = stated(adt(event, *lines, f8="M"), mapping=rules)
        assert (item.identifiers[0], item.statements["do_not_contact"].value) == (OWN._replace(value="MRN10001"), "yes")


def test_death_in_either_pid_is_used() -> None:
    second = "PID|2||MRN10001^^^GENHOSP^MR" + "|" * 27
    for first, last in (("N", "Y"), ("Y", "N"), ("", "Y"), ("Y", "")):
        assert stated(adt("A08", second + last, f30=first, f8="M")).statements["deceased"].value is True
    for first, last in (("N", "?"), ("?", "N")):
        found = stated(adt("A08", second + last, f30=first, f8="M"))
        assert ("deceased" in found.statements, [one.attribute for one in found.problems]) == (False, ["deceased"])


def test_a_consent_in_either_pid_is_read() -> None:
    rules = {"consent.sms#*": {"from": "PID-13.9", "values": {"Y": "granted", "N": "denied"}}}
    second = "PID|2||MRN10001^^^GENHOSP^MR||||||||||^PRN^CP^^1^217^5550124^^N"
    found = stated(adt("A08", second, f13="^PRN^CP^^1^217^5550123^^Y"), mapping=rules)
    assert (found.statements["consent.sms#+12175550123"].value, found.statements["consent.sms#+12175550124"].value) == ("granted", "denied")


def test_with_several_own_identifiers_the_first_active_one_is_used_and_refusals_apply_to_all() -> None:
    body = adt("A08", "ZCP|1|DNC|T", f3="1^^^GENHOSP^MR^^^20200101~2^^^GENHOSP^MR~3^^^GENHOSP^MR~2^^^GENHOSP^MR", f15="es")
    rules = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes"}}, "preferred_method": {"from": "ZCP-3", "values": {"T": "sms"}}}
    first, other = items(body, mapping=rules)
    assert isinstance(first, PatientStatements)
    assert isinstance(other, PatientStatements)
    assert first.identifiers == (OWN._replace(value="2"),)
    assert [one.reason for one in first.problems] == ["several_own_identifiers"]
    assert set(first.statements) == {"do_not_contact", "preferred_method", "language"}
    assert (other.identifiers, set(other.statements)) == ((OWN._replace(value="3"),), {"do_not_contact"})


def test_with_several_own_identifiers_and_no_refusal_only_the_first_is_used() -> None:
    item = stated(adt(f3="2^^^GENHOSP^MR~3^^^GENHOSP^MR", f15="es"))
    assert [one.reason for one in item.problems] == ["several_own_identifiers"]


def test_an_issuer_in_hexadecimal_is_read_in_the_character_set_of_its_own_message() -> None:
    def message(charset: str) -> bytes:
        header = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^A08|MSG00001|P|2.5.1||||||{charset}"
        return adt(header=header, f3="10001^^^M\\XFC\\NCHEN^MR")

    mapper = Hl7Mapper(settings(authority="", identifier_type=""))
    (latin, cyrillic) = (mapper.read(Payload(message(charset), "test#1", RECEIVED))[0] for charset in ("8859/1", "8859/5"))
    assert isinstance(latin, PatientStatements)
    assert isinstance(cyrillic, PatientStatements)
    assert latin.identifiers == (Identifier("M\u00fcNCHEN", "MR", "10001"),)
    assert cyrillic.identifiers == (Identifier("M\u045cNCHEN", "MR", "10001"),)


@pytest.mark.parametrize(
    "pid_3",
    [
        "10001^^^GENHOSP^MR~555^^^SSA^SS~777^^^GENHOSP^AN",
        "555^^^SSA^SS~10001^^^GENHOSP^MR",
        "~10001^^^GENHOSP^MR",
        "9^^^GENHOSP^MR^^20200101^20210101~10001^^^GENHOSP^MR",
        "0000^^^GENHOSP^MR~10001^^^GENHOSP^MR",
    ],
)
def test_identifiers_that_are_no_patient_s_beside_the_only_usable_one_change_nothing(pid_3: str) -> None:
    assert stated(adt(f3=pid_3)).identifiers == (OWN,)
