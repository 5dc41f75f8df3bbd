"""Consents and Flags: which are about messages, which are in force, and what they decide. Pure.

No code system has a code for "may be texted", and no Flag category means "do not contact" (Flag category ``contact`` is infection control).
So a site configures its own. Sources: FHIR R4 6.2 (Consent: status, provision.type), R5 6.2 (Consent: decision), R4 9.11 (Flag).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from adapters.base import Filtered, Item
from adapters.fhir import absent
from adapters.fhir.fhirpath import compile_expression
from adapters.fhir.modifiers import Understood, not_understood
from adapters.fhir.options import MOST_RESTRICTIVE, ConsentOptions, FlagOptions
from adapters.fhir.periods import RecordStatus, When, status_at
from store.preference import DENIED, GRANTED, PatientStatements, Statement, is_opt_out, opt_out

R5_DECISION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.decision"
ACT_CODE = ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "http://hl7.org/fhir/v3/ActCode", "urn:oid:2.16.840.1.113883.5.4")
OPT_IN, OPT_OUT = "http://hl7.org/fhir/ConsentPolicy/opt-in", "http://hl7.org/fhir/ConsentPolicy/opt-out"  # STU3, whose policyRule is a uri
# The paths of a decision: R5 decision, also as an extension in R4; the base rule (R4 policyRule, R5 regulatoryBasis) with its exceptions at
# any depth (R4 provision, STU3 except). Of several, the most restrictive counts: an opt-out with exceptions is an opt-out. Two cases are
# no reliable permission: an R5 permit with exceptions that do not state what they permit, and an opt-in with restrictions (OPTINR, in no
# table).
_BASE_RULE = f"Consent.policyRule.where($this in ('{OPT_IN}' | '{OPT_OUT}')) | Consent.policy.uri.where($this = '{OPT_OUT}')" + "".join(
    f" | Consent.{element}.coding.where(code in ('OPTOUT' | 'OPTOUTE' | 'OPTINR')).code"
    f" | Consent.{element}.coding.where(code = 'OPTIN' and system in ({' | '.join(repr(one) for one in ACT_CODE)})).code"
    f" | Consent.{element}.where(text ~ 'optout' or text ~ 'opt-out' or text ~ 'opt out').text"
    for element in ("policyRule", "regulatoryBasis")
)
DECISION = (
    f"Consent.where(provision.empty()).decision | Consent.where(decision = 'deny').decision | Consent.extension('{R5_DECISION}').value"
    f" | Consent.repeat(provision).type | Consent.repeat(except).type | {_BASE_RULE}"
)
_base_rule = compile_expression(_BASE_RULE).evaluate
WRITTEN_BY_US = "urn:emr-sync:opt-out"
"""The system of the identifier of Consents that were written to the EMR (``adapters.fhir.write_back``)."""
NOT_UNDERSTOOD = "not understood"  # a type that is in no code table
MODIFIED: dict[str, Any] = {"modifierExtension": [{}]}  # an exception with nothing but its modifier
DECISIONS = {
    **dict.fromkeys(("permit", "OPTIN", OPT_IN), GRANTED),
    **dict.fromkeys(("deny", "OPTOUT", "OPTOUTE", OPT_OUT, "opt-out", "opt out"), DENIED),
}


def consent_rules(options: ConsentOptions) -> dict[str, dict[str, Any]]:
    """The rule for the option ``consent.attribute``."""
    if not options.attribute:
        return {}
    return {options.attribute: {"from": DECISION, "values": DECISIONS, "on_absent": "reject", "on_unknown": "reject"}}


def flag_rules(options: FlagOptions) -> dict[str, dict[str, Any]]:
    """The rule for ``flag.codes``: a Flag with one of them refuses. Raises ``ValueError`` for an attribute that cannot be refused."""
    if not options.codes:
        return {}
    refusal = opt_out(options.attribute)
    if refusal is None:
        raise ValueError("flag.attribute cannot be set by a Flag: use do_not_contact, preferred_method, consent.… or topic.…")
    path = " | ".join(f"Flag.code.coding.where({_criterion(code)}).code" for code in options.codes)
    values = {code.rpartition("|")[2]: refusal for code in options.codes}
    return {options.attribute: {"from": path, "values": values, "on_unknown": "no_statement"}}


def _criterion(token: str) -> str:
    system, bar, code = token.rpartition("|")
    return (f"system = {_quoted(system)} and " if bar else "") + f"code = {_quoted(code)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def is_about_messages(consent: dict[str, Any], options: ConsentOptions) -> bool:
    """Whether category and scope are those that the site configured for messages. An element without configuration matches."""
    return all(
        not codes or _has_code(consent.get(element), codes) for element, codes in (("category", options.category), ("scope", options.scope))
    )


def is_written_by_us(record: dict[str, Any]) -> bool:
    """Whether it is a Consent that was written to the EMR."""
    return any(type(one) is dict and one.get("system") == WRITTEN_BY_US for one in _listed(record.get("identifier")))


def subject_withheld(kind: str, record: dict[str, Any], options: ConsentOptions) -> str:
    """The element that tells what a Consent or Flag is about, if it was withheld; else empty."""
    names = [name for name, codes in (("category", options.category), ("scope", options.scope)) if codes and kind == "Consent"]
    return next((f"{kind}.{name}" for name in names or ["code"] if any(map(_is_withheld, _listed(record.get(name))))), "")


def _is_withheld(concept: Any) -> bool:
    codings = _list(concept.get("coding")) if type(concept) is dict else []
    parts = [concept, *codings, *(coding.get("_code") for coding in codings if type(coding) is dict)]
    return any(map(absent.is_withheld, parts))


def _has_code(concepts: Any, codes: tuple[str, ...]) -> bool:
    codings = [coding for one in _listed(concepts) if type(one) is dict for coding in _list(one.get("coding")) if type(coding) is dict]
    return any(coding.get("code") in codes or f"{coding.get('system')}|{coding.get('code')}" in codes for coding in codings)


def consent_status(consent: dict[str, Any], options: ConsentOptions, when: When) -> RecordStatus:
    status = consent.get("status")
    if status in options.statuses:
        holders = (consent,) if _is_of_r5(consent) or _is_opt_out_by_rule(consent) else (consent, *_listed(consent.get("provision")))
        return status_at([one.get("period") for one in holders if type(one) is dict], when)
    if status == "rejected":
        return RecordStatus.REFUSED
    if status in ("draft", "proposed"):
        return RecordStatus.NOT_YET
    return RecordStatus.ENDED if status in ("inactive", "entered-in-error", "not-done") else RecordStatus.UNREADABLE


def with_active_provisions(consent: dict[str, Any], when: When, understood: Understood) -> dict[str, Any]:
    """The Consent without the exceptions that are not in force at that moment: each is replaced with an empty one.

    An exception is not in force before or after its period, with all its nested ones. But a modifier in it that is not understood counts
    even before its period (``adapters.fhir.modifiers``).
    """
    result = dict(consent)
    if "except" in consent:
        result["except"] = _active_provisions(consent["except"], when, understood)
    if "provision" in consent:
        read = _active_provisions if _is_of_r5(consent) else _with_active_nested
        result["provision"] = read(consent["provision"], when, understood)
        if not any(_listed(result["provision"])):
            del result["provision"]
    return result


def _is_of_r5(consent: dict[str, Any]) -> bool:
    """Whether all provisions are exceptions to a decision (R5). In R4, the root provision is the whole Consent, with its period."""
    return "decision" in consent


def _is_opt_out_by_rule(consent: dict[str, Any]) -> bool:
    """Whether its base rule refuses: then the provisions, with their periods, are exceptions to that."""
    return any(DECISIONS.get(str(node.value).casefold(), DECISIONS.get(node.value)) == DENIED for node in _base_rule(consent))


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [value]


def _active_provisions(provisions: Any, when: When, understood: Understood) -> Any:
    if type(provisions) is list:
        return [_active_provisions(one, when, understood) for one in provisions]
    if type(provisions) is not dict:
        return provisions
    found = status_at([provisions.get("period")], when)
    if found is RecordStatus.NOT_YET:
        return MODIFIED if not_understood(provisions, "Consent.provision", understood) else {}
    if found is RecordStatus.ENDED:
        return {}
    if found is RecordStatus.DOUBTFUL and provisions.get("type") == "permit":
        return provisions | {"type": NOT_UNDERSTOOD}
    return _with_active_nested(provisions, when, understood)


def _with_active_nested(provisions: Any, when: When, understood: Understood) -> Any:
    """The provision with only the active ones of its nested provisions."""
    if type(provisions) is list:
        return [_with_active_nested(one, when, understood) for one in provisions]
    if type(provisions) is not dict:
        return provisions
    return (
        provisions | {"provision": _active_provisions(provisions["provision"], when, understood)}
        if "provision" in provisions
        else provisions
    )


def flag_status(flag: dict[str, Any], when: When) -> RecordStatus:
    status = flag.get("status")
    if status == "active":
        return status_at([flag.get("period")], when)
    return RecordStatus.ENDED if status in ("inactive", "entered-in-error") else RecordStatus.UNREADABLE


def period(record: dict[str, Any]) -> dict[str, Any]:
    """The period of the whole record: its own, or that of an R4 Consent's root provision."""
    holders = [record, *(() if _is_of_r5(record) else _listed(record.get("provision")))]
    found = [one["period"] for one in holders if type(one) is dict and type(one.get("period")) is dict]
    return found[0] if found else {}


def out_of_force(attributes: list[str], status: RecordStatus, path: str) -> dict[str, Statement]:
    """The statements of a record that is not in force: a refused one states the opt-out, an ended one removes what it stated."""
    if status is RecordStatus.REFUSED:
        return {attribute: Statement(opt_out(attribute), path) for attribute in attributes}
    return {attribute: Statement(None, path) for attribute in attributes}


def needs_confirmation(item: PatientStatements, choose: str) -> bool:
    """Whether the patient's other records must be read: the record permits now, or removes later, and the most restrictive counts.

    A record that has ended needs no other record: the store removes only what the same record stated.
    """
    uncertain = any(not _certain(attribute, one.value, choose) for attribute, one in item.statements.items())
    return uncertain or (choose == MOST_RESTRICTIVE and any(not is_opt_out(one.attribute, one.value) for one in item.later))


def _certain(attribute: str, value: Any, choose: str) -> bool:
    """Whether a statement holds regardless of other records."""
    return value is None or choose != MOST_RESTRICTIVE or is_opt_out(attribute, value)


def certain_only(item: PatientStatements, choose: str) -> Item:
    """The statements that do not depend on other records: refusals and the end, if the most restrictive counts."""
    kept = {attribute: one for attribute, one in item.statements.items() if _certain(attribute, one.value, choose)}
    later = tuple(one for one in item.later if choose != MOST_RESTRICTIVE or is_opt_out(one.attribute, one.value))
    return replace(item, statements=kept, later=later) if kept or later or item.problems else Filtered("not_confirmed", item.locator)


def unless_refused(item: PatientStatements, others: Iterable[Item], choose: str) -> Item:
    """The record without what another record of its patient refuses, if the most restrictive counts.

    A record that cannot be read counts as refusing. A refusal that starts later counts for later permissions.
    """
    same = [other for other in others if isinstance(other, PatientStatements) and other.identifiers == item.identifiers]
    others_of = [other for other in same if other.evidence_id != item.evidence_id]
    refused = {name for other in same for name, one in other.statements.items() if is_opt_out(name, one.value)}
    refused |= {problem.attribute for other in same for problem in other.problems}
    refused_later = {one.attribute for other in others_of for one in other.later if is_opt_out(one.attribute, one.value)}
    refused_later |= {name for other in others_of for name, one in other.statements.items() if is_opt_out(name, one.value)}
    kept = {name: one for name, one in item.statements.items() if _certain(name, one.value, choose) or name not in refused}
    later = tuple(one for one in item.later if is_opt_out(one.attribute, one.value) or one.attribute not in refused_later)
    return replace(item, statements=kept, later=later) if kept or later or item.problems else Filtered("still_refused", item.locator)


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
