"""What a Consent decides: by its base rule, by exceptions at any depth, in each release's way."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Filtered
from store.preference import PatientStatements
from tests.adapters.fhir.made import read
from tests.adapters.fhir.test_records import SMS, consent

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
OVER, TO_COME, NOW = {"end": "2026-10-31"}, {"start": "2026-12-01"}, {"start": "2026-10", "end": "2026-11"}


def rule(code: str, system: str | None = ACT_CODE) -> dict[str, Any]:
    return {"coding": [{"code": code} if system is None else {"system": system, "code": code}]}


def nested(*kinds: str, period: dict[str, str] | None = None) -> dict[str, Any]:
    """An exception within an exception ...; the innermost has the period."""
    first, *rest = kinds
    inner = {"provision": [nested(*rest, period=period)]} if rest else {"period": period} if period else {}
    return ({"type": first} if first else {}) | inner


def test_of_a_consent_that_was_cut_down_only_refusals_count() -> None:
    """A search for some elements, or a mask: FHIR R4 3.1.1.5.8."""
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    cut = {"meta": {"versionId": "2", "tag": [tag]}}
    (permits,) = read(consent(provision={"type": "permit"}, **cut), options=SMS)
    assert isinstance(permits, Filtered)
    assert decided(provision={"type": "deny"}, **cut) == "denied"


def decided(**elements: Any) -> str | None:
    """``granted``, ``denied``, ``taken back``, ``not yet``, ``ahead``, or ``None`` where it is unreadable and a problem of consent.sms."""
    (item,) = read(consent(**elements), options=SMS)
    if isinstance(item, Filtered):
        return "not yet"
    assert isinstance(item, PatientStatements)
    if not item.statements and not item.problems:
        return "ahead"
    if item.statements:
        return str(item.statements["consent.sms"].value or "taken back")
    assert {one.attribute for one in item.problems} == {"consent.sms"}
    return None


@pytest.mark.parametrize(
    ("elements", "decision"),
    [
        ({"policyRule": rule("OPTOUT")}, "denied"),
        ({"policyRule": rule("OPTOUT"), "provision": nested("permit")}, "denied"),
        ({"policyRule": rule("OPTOUT"), "provision": nested("", "permit")}, "denied"),
        ({"policyRule": rule("OPTOUTE"), "provision": nested("", "permit")}, "denied"),
        ({"policyRule": rule("OPTOUT", "https://own.example")}, "denied"),
        ({"policyRule": rule("OPTOUT", None)}, "denied"),
        ({"policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN"}, {"system": ACT_CODE, "code": "OPTOUT"}]}}, "denied"),
        ({"policyRule": {"text": "Opt-Out"}}, "denied"),
        ({"policy": [{"uri": "http://hl7.org/fhir/ConsentPolicy/opt-out"}], "provision": nested("permit")}, "denied"),
        ({"policy": [{"uri": "https://own.example/privacy"}], "provision": nested("permit")}, "granted"),
        ({"policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-out"}, "denied"),
        ({"policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-out", "except": [{"type": "permit"}]}, "denied"),
        ({"regulatoryBasis": [rule("OPTOUT")], "decision": "permit"}, "denied"),
        ({"policyRule": rule("OPTIN")}, "granted"),
        ({"policyRule": rule("OPTIN", "urn:oid:2.16.840.1.113883.5.4")}, "granted"),
        ({"policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-in"}, "granted"),
        ({"policyRule": rule("OPTIN"), "provision": nested("", "deny")}, "denied"),
        ({"policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-in", "except": [{"type": "deny"}]}, "denied"),
        ({"policyRule": rule("OPTIN", "https://own.example")}, None),
        ({"policyRule": rule("OPTIN", None)}, None),
        ({"policyRule": rule("OPTINR"), "provision": nested("permit")}, None),
        ({"policyRule": rule("OPTINR"), "provision": nested("deny")}, "denied"),
        ({"policyRule": {"coding": [{"system": ACT_CODE, "code": "hipaa-auth"}]}}, None),
        ({"policyRule": {"text": "see the paper"}}, None),
    ],
)
def test_base_rule_decides_and_its_exceptions_only_restrict(elements: dict[str, Any], decision: str | None) -> None:
    assert decided(**elements) == decision


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_deny_at_any_depth_denies(depth: int) -> None:
    assert decided(provision=nested(*["permit"] * depth, "deny")) == "denied"
    assert decided(provision=nested(*[""] * depth, "deny")) == "denied"
    assert decided(provision=nested(*["permit"] * (depth + 1))) == "granted"


@pytest.mark.parametrize(
    ("elements", "decision"),
    [
        ({"provision": nested("permit", "deny", period=OVER)}, "granted"),
        ({"provision": nested("permit", "deny", period=NOW)}, "denied"),
        ({"provision": nested("permit", "deny", period=TO_COME)}, "granted"),
        ({"provision": nested("permit", "permit", "deny", period=OVER)}, "granted"),
        ({"provision": nested("", "permit", period=NOW)}, "granted"),
        ({"provision": nested("", "permit", period=TO_COME)}, None),
        ({"provision": nested("", "permit", period=OVER)}, None),
        ({"provision": nested("", "permit", period={"end": "soon"})}, None),
        ({"provision": nested("permit", "deny", period={"end": "soon"})}, "denied"),
        ({"provision": {"type": "permit", "provision": [nested("permit") | {"period": OVER, "provision": [nested("deny")]}]}}, "granted"),
        ({"policyRule": rule("OPTOUT"), "provision": nested("permit", period=OVER)}, "denied"),
        ({"policyRule": rule("OPTOUT"), "provision": nested("permit", period=TO_COME)}, "denied"),
        ({"policyRule": rule("OPTIN"), "provision": nested("permit", period=OVER)}, "taken back"),
        ({"provision": nested("permit", period=OVER)}, "taken back"),
        ({"provision": nested("deny", period=TO_COME)}, "ahead"),
        ({"decision": "deny", "provision": [{"period": OVER}]}, "denied"),
        ({"decision": "permit", "provision": [{"period": OVER}]}, "granted"),
        ({"decision": "permit", "provision": [{"period": NOW}]}, None),
        ({"decision": "permit", "period": OVER}, "taken back"),
        ({"policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-in", "except": [{"type": "deny", "period": OVER}]}, "granted"),
    ],
)
def test_exceptions_count_in_their_period(elements: dict[str, Any], decision: str | None) -> None:
    assert decided(**elements) == decision


def test_the_path_names_the_provision_as_it_was_sent() -> None:
    provisions = {"type": "permit", "provision": [nested("deny") | {"period": OVER}, nested("permit", "deny")]}
    (item,) = read(consent(provision=provisions), options=SMS)
    assert isinstance(item, PatientStatements)
    assert item.statements["consent.sms"].path == "Consent.provision.provision[1].provision[0].type"
