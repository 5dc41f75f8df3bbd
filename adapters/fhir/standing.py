"""Consent and Flag: are they about messages, and do they count now? Pure.

No code system says "may be texted" and no Flag category says "do not contact" (Flag category ``contact`` is infection control), so
a site names its own. Sources: FHIR R4 6.2 (Consent: status, provision.type), R5 6.2 (Consent: decision), R4 9.11 (Flag).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from adapters.base import Filtered, Item
from adapters.fhir.link import is_opt_out
from adapters.fhir.moment import first_day, last_day
from adapters.fhir.options import MOST_RESTRICTIVE, ConsentOptions, FlagOptions
from store.preference import CONSENT, DENIED, DO_NOT_CONTACT, GRANTED, PREFERRED_METHOD, TOPIC, YES, Method, PatientStatements, Statement

R5_DECISION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.decision"
# The decision of R4 (provision.type, nested provisions are exceptions), of R5 (decision) and of R5 carried in R4. Of several the most
# restrictive counts. An R5 permit with exceptions that do not say what they permit is no permission to rely on: it is not read.
DECISION = (
    f"Consent.where(provision.empty()).decision | Consent.where(decision = 'deny').decision | Consent.extension('{R5_DECISION}').value"
    " | Consent.provision.type | Consent.provision.provision.type | Consent.provision.provision.provision.type"
)


class Standing(StrEnum):
    """What a record's status and period make of what it says."""

    IN_FORCE = "in_force"
    REFUSED = "refused"
    ENDED = "ended"
    NOT_YET = "not_yet"


def consent_rules(options: ConsentOptions) -> dict[str, dict[str, Any]]:
    """The rule that ``consent.attribute`` stands for."""
    if not options.attribute:
        return {}
    values = {"permit": GRANTED, "deny": DENIED}
    return {options.attribute: {"from": DECISION, "values": values, "on_absent": "reject", "on_unknown": "reject"}}


def flag_rules(options: FlagOptions) -> dict[str, dict[str, Any]]:
    """The rule that ``flag.codes`` stand for: a Flag of one of them is a no. Raises ``ValueError`` for what cannot be refused."""
    if not options.codes:
        return {}
    refusal = _refused(options.attribute)
    if refusal is None:
        raise ValueError("flag.attribute cannot be refused by a Flag: use do_not_contact, preferred_method, consent.… or topic.…")
    path = " | ".join(f"Flag.code.coding.where({_is(code)}).code" for code in options.codes)
    values = {code.rpartition("|")[2]: refusal for code in options.codes}
    return {options.attribute: {"from": path, "values": values, "on_unknown": "no_statement"}}


def _is(token: str) -> str:
    system, bar, code = token.rpartition("|")
    return (f"system = {_quoted(system)} and " if bar else "") + f"code = {_quoted(code)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def is_about_messages(consent: dict[str, Any], options: ConsentOptions) -> bool:
    """Whether category and scope are the site's own for messages; what the site does not name is not asked."""
    return all(
        not wanted or _has_code(consent.get(element), wanted)
        for element, wanted in (("category", options.category), ("scope", options.scope))
    )


def _has_code(concepts: Any, wanted: tuple[str, ...]) -> bool:
    listed = concepts if type(concepts) is list else [concepts]
    codings = [coding for one in listed if type(one) is dict for coding in _list(one.get("coding")) if type(coding) is dict]
    return any(coding.get("code") in wanted or f"{coding.get('system')}|{coding.get('code')}" in wanted for coding in codings)


def consent_standing(consent: dict[str, Any], options: ConsentOptions, today: str) -> Standing:
    status = consent.get("status")
    if status in options.statuses:
        provision = consent.get("provision")
        periods = [one.get("period") for one in (consent, *(provision if type(provision) is list else [provision])) if type(one) is dict]
        return _within(periods, today)
    if status == "rejected":
        return Standing.REFUSED
    return Standing.ENDED if status in ("inactive", "entered-in-error") else Standing.NOT_YET


def flag_standing(flag: dict[str, Any], today: str) -> Standing:
    status = flag.get("status")
    if status == "active":
        return _within([flag.get("period")], today)
    return Standing.ENDED if status in ("inactive", "entered-in-error") else Standing.NOT_YET


def _within(periods: list[Any], today: str) -> Standing:
    found = Standing.IN_FORCE
    for period in periods:
        if type(period) is dict:
            start, end = first_day(period.get("start")), last_day(period.get("end"))
            if end is not None and end < today:
                return Standing.ENDED
            if start is not None and start > today:
                found = Standing.NOT_YET
    return found


def out_of_force(attributes: list[str], standing: Standing, path: str) -> dict[str, Statement]:
    """What a record states that no longer counts: a refusal stands as the most restrictive value, an end takes back what it said."""
    if standing is Standing.REFUSED:
        return {attribute: Statement(_refused(attribute), path) for attribute in attributes}
    return {attribute: Statement(None, path) for attribute in attributes}


def to_confirm(item: PatientStatements, choose: str) -> bool:
    """Whether the patient's other records must be asked: one takes something back, or permits while the most restrictive counts."""
    return any(not _certain(attribute, one, choose) for attribute, one in item.statements.items())


def _certain(attribute: str, statement: Statement, choose: str) -> bool:
    """Whether a statement holds whatever other records say."""
    return is_opt_out(attribute, statement.value) if choose == MOST_RESTRICTIVE else statement.value is not None


def certain_only(item: PatientStatements, choose: str) -> Item:
    """What a record states that needs no other record to be asked: its refusals, where the most restrictive counts."""
    kept = {attribute: one for attribute, one in item.statements.items() if _certain(attribute, one, choose)}
    return replace(item, statements=kept) if kept else Filtered("not_confirmed", item.locator)


def unless_refused(said: PatientStatements, others: Iterable[Item], choose: str) -> Item:
    """What a record takes back, or permits while the most restrictive counts, less what another record of its patient refuses."""
    refused = {
        attribute
        for other in others
        if isinstance(other, PatientStatements) and other.identifiers == said.identifiers
        for attribute, statement in other.statements.items()
        if is_opt_out(attribute, statement.value)
    }
    kept = {name: one for name, one in said.statements.items() if _certain(name, one, choose) or name not in refused}
    return replace(said, statements=kept) if kept else Filtered("still_refused", said.locator)


def _refused(attribute: str) -> str | None:
    if attribute.startswith((CONSENT, TOPIC)):
        return DENIED
    return {DO_NOT_CONTACT: YES, PREFERRED_METHOD: Method.NONE.value}.get(attribute)


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
