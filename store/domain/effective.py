"""What is in force for a patient, from the assertions of all authorities (product section 5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from store import times
from store.domain import unreadable
from store.domain.assertions import BY_MERGE, INHERITED, SourceAssertions
from store.domain.attributes import entry
from store.domain.contact import ContactPreferences
from store.domain.contactability import is_refusable, more_restrictive, permitting_changes
from store.domain.enterprise import Enterprise
from store.domain.phone_numbers import for_contact
from store.preference import (
    ACTIVE,
    CONSENT,
    DECEASED,
    DO_NOT_CONTACT,
    EMAIL,
    EMR,
    LANGUAGE,
    LISTS,
    PHONES,
    PREFERRED_METHOD,
    PREFERRED_PHONE,
    RESTRICTED,
    STAFF,
    TOPIC,
    UNKNOWN,
    YES,
    Assertion,
    Preference,
    base,
)
from store.times import Time

_new = tuple.__new__  # see ``store.domain.assertions``

Ranked = list[tuple[str, Mapping[str, Assertion]]]
"""(authority, its assertions), by precedence."""


def in_force(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> dict[str, Preference]:
    """The preferences in force: attribute -> value and origin. Slots of a list are joined; attributes without a value are left out."""
    found = _under_rules(by_authority, enterprise)
    if enterprise.held is None:
        return found
    held = _under_rules(by_authority, enterprise.held)  # held by the safeguard: its refusals count, its permissions do not
    return found | {name: held[name] for name in permitting_changes(held, found, held) if name != PHONES}


def unread(asserted: Mapping[str, SourceAssertions], enterprise: Enterprise) -> tuple[str, ...]:
    """The attributes about which newer evidence could not be read, as far as they count in the enterprise."""
    if not any(one.unreadable for one in asserted.values()):
        return ()
    return unreadable.in_force(((authority, one.unreadable) for authority, one in asserted.items()), enterprise)


def _under_rules(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> dict[str, Preference]:
    """The preferences in force under one configuration."""
    ranked = _by_precedence(by_authority, enterprise)
    result: dict[str, Preference] = {}
    for authority, assertions in ranked:
        emr_has_effect = enterprise.syncs or not authority.startswith(EMR)
        for attribute in sorted(assertions):  # so that slots join in one order, whichever was stated first
            assertion = assertions[attribute]
            value = assertion.value
            if value is None or not (emr_has_effect or not entry(attribute).needs_sync):
                continue
            value = for_contact(value) if attribute.startswith(PHONES) else value
            candidate = _new(Preference, (value, authority, assertion))
            if attribute not in result and "#" not in attribute:
                result[attribute] = candidate  # the usual case
            else:
                _join(result, attribute, candidate)
    if enterprise.syncs:
        _end_staff_refusals(result, ranked)
    return result


def _by_precedence(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> Ranked:
    """The authorities in order of precedence: configured sources, sources no longer configured, then people."""
    if len(by_authority) == 1:
        return list(by_authority.items())
    order = {authority: place for place, authority in enumerate(enterprise.precedence)}
    return sorted(by_authority.items(), key=lambda one: (order.get(one[0], len(order) + (not one[0].startswith(EMR))), one[0]))


def _join(result: dict[str, Preference], attribute: str, candidate: Preference) -> None:
    name = base(attribute) if attribute.startswith(LISTS) else attribute
    current = result.get(name)
    if current is None:
        result[name] = candidate
    elif name in LISTS:
        if current.authority == candidate.authority:
            result[name] = current._replace(value=_joined(current.value, candidate.value))
    elif is_refusable(attribute) and more_restrictive(attribute, candidate.value, current.value):
        result[name] = candidate


def _joined(first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, ...]:
    """Joins two slots of one list. A number or address in both is kept once, as the first slot has it."""
    kept = {one[0] if isinstance(one, tuple) else one: one for one in first}
    for one in second:
        kept.setdefault(one[0] if isinstance(one, tuple) else one, one)
    return tuple(kept.values())


def yields(attribute: str, of_staff: Assertion) -> bool:
    """Whether an EMR's later statement ends an assertion of staff: a local Do Not Contact, or one inherited from a retired source."""
    return is_refusable(attribute) and (attribute == DO_NOT_CONTACT or of_staff.path.startswith(INHERITED))


def _end_staff_refusals(result: dict[str, Preference], ranked: Ranked) -> None:
    """Ends staff's assertions once an EMR has stated a value that is certainly later (product section 4)."""
    of_staff = next((assertions for authority, assertions in ranked if authority == STAFF), {})
    for name, one in of_staff.items():
        current = result.get(name)
        if current is not None and current.authority == STAFF and yields(name, one) and (one.value, one.path) != (YES, BY_MERGE):
            _replace_by_emr(result, name, current.assertion, ranked)


def _replace_by_emr(result: dict[str, Preference], name: str, of_staff: Assertion, ranked: Ranked) -> None:
    for authority, assertions in ranked:
        one = assertions.get(name)
        if authority.startswith(EMR) and one is not None and one.value is not None and one.effective.is_after(_until(of_staff, authority)):
            result[name] = Preference(one.value, authority, one)
            return


def _until(of_staff: Assertion, authority: str) -> Time:
    """The time that a source's statement must be later than. What was inherited from another source holds at least until its release."""
    source = authority.removeprefix(EMR)
    is_of_another = of_staff.path.startswith(INHERITED) and not of_staff.path.startswith(f"{INHERITED}{source}:")
    return times.newest(of_staff.effective, times.at(of_staff.recorded)) if is_of_another else of_staff.effective


def contact(preferences: Mapping[str, Preference], unreadable: tuple[str, ...] = ()) -> ContactPreferences:
    """The preferences in force for a decision. An attribute without a value gets a default, which never permits contact."""
    values: dict[str, Any] = {}
    consents, topics = dict[str, str](), dict[str, str]()
    for name, (value, _, _) in preferences.items():
        if "." not in name:
            values[name] = value
        elif name.startswith(CONSENT):
            consents[name[len(CONSENT) :]] = value
        elif name.startswith(TOPIC):
            topics[name[len(TOPIC) :]] = value
    phones, preferred = values.get(PHONES, ()), values.get(PREFERRED_PHONE)
    return ContactPreferences(
        do_not_contact=values.get(DO_NOT_CONTACT, UNKNOWN),
        preferred_method=values.get(PREFERRED_METHOD),
        preferred_phone=preferred if preferred is not None and any(phone.number == preferred for phone in phones) else None,
        phones=phones,
        emails=values.get(EMAIL, ()),
        language=values.get(LANGUAGE),
        consents=consents,
        topics=topics,
        deceased=values.get(DECEASED, False),
        restricted=values.get(RESTRICTED, False),
        active=values.get(ACTIVE, True),
        unreadable=unreadable,
    )
