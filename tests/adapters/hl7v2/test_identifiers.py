from __future__ import annotations

import pytest

from store.preference import Identifier
from tests.adapters.hl7v2.messages import adt, refused, stated

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
def test_every_way_to_name_the_issuer_is_one_patient(pid_3: str) -> None:
    assert stated(adt(f3=pid_3)).identifiers == (OWN,)


def test_the_configured_identifier_stands_first_and_other_issuers_follow() -> None:
    said = stated(adt(f3="77^^^CLINIC^MR~10001^^^GENHOSP^MR~88^^^STATE^PI~10001^^^GENHOSP^MR"))
    assert said.identifiers == (OWN, Identifier("CLINIC", "MR", "77"), Identifier("STATE", "PI", "88"))


@pytest.mark.parametrize("kind", ["AN", "VN", "SS", "DL", "PPN", "MC", "NIIP"])
def test_accounts_and_what_families_share_are_no_patient_identifiers(kind: str) -> None:
    assert stated(adt(f3=f"10001^^^GENHOSP^MR~999^^^GENHOSP^{kind}")).identifiers == (OWN,)
    assert refused(adt(f3=f"999^^^X^{kind}"), authority="", identifier_type="").reason == "patient_id_missing"


def test_the_same_value_of_two_issuers_is_two_patients() -> None:
    first, second = (stated(adt(f3=f"1^^^{name}^MR"), authority="").identifiers for name in ("EAST", "WEST"))
    assert first != second


def test_an_identifier_that_has_expired_is_not_used() -> None:
    assert stated(adt(f3="1^^^GENHOSP^MR^^20200101^20210101~10001^^^GENHOSP^MR^^^20991231")).identifiers == (OWN,)


def test_without_configuration_the_first_usable_identifier_counts() -> None:
    said = stated(adt(f3="9^^^BANK^AN~5^^^EAST^PI~6^^^WEST^MR"), authority="", identifier_type="")
    assert said.identifiers[0] == Identifier("EAST", "PI", "5")


def test_without_configuration_a_type_of_the_sites_own_counts_when_there_is_nothing_better() -> None:
    assert stated(adt(f3="5^^^EAST^LOCAL"), authority="", identifier_type="").identifiers == (Identifier("EAST", "LOCAL", "5"),)


def test_without_configuration_an_identifier_without_an_issuer_is_nobodys() -> None:
    item = refused(adt(f3="5^^^^MR"), authority="", identifier_type="")
    assert (item.reason, item.path) == ("identifier_without_authority", "PID-3")


def test_an_issuer_known_by_oid_alone_keeps_it() -> None:
    said = stated(adt(f3="5^^^&1.2.3.4&ISO^MR"), authority="", identifier_type="")
    assert said.identifiers == (Identifier("urn:oid:1.2.3.4", "MR", "5"),)


def test_the_identifier_of_an_old_message_is_in_pid_2() -> None:
    assert stated(adt(f2="10001", f3="")).identifiers == (OWN,)
    assert refused(adt(f2="10001", f3=""), authority="", identifier_type="").reason == "patient_id_missing"


def test_escaped_identifiers_are_unescaped() -> None:
    assert stated(adt(f3="10\\T\\01^^^GENHOSP^MR")).identifiers[0].value == "10&01"
