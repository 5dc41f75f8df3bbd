"""What makes a patient more contactable (product section 8). Pure: what was in force, what would be -> what loosens, and how.

A loosening takes back a refusal that is in force (Do Not Contact, a denied consent or topic, "in no way", deceased), or puts another
number in the place of one. The value in force counts: where another authority still refuses, nothing is loosened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from store.preference import (
    CONSENT,
    DECEASED,
    DENIED,
    DO_NOT_CONTACT,
    PHONES,
    PREFERRED_METHOD,
    TOPIC,
    UNKNOWN,
    YES,
    Method,
    Preference,
    base,
)

REPLACED = "replaced"
InForce = Mapping[str, Preference]


def may_loosen(attribute: str, after: Any) -> bool:
    """Whether a new value of one authority can loosen at all; a quick look that spares most payloads the long one."""
    if base(attribute) == PHONES:
        return True
    refusal = _refusal(attribute)
    return refusal is not None and after != refusal


def loosened(before: InForce, after: InForce, attributes: Iterable[str]) -> dict[str, str]:
    """Those of the attributes by which a patient would become more contactable -> in which direction (``yes->no``…)."""
    found = {name: _direction(name, before, after) for name in attributes}
    return {name: direction for name, direction in found.items() if direction}


def _direction(attribute: str, before: InForce, after: InForce) -> str:
    if base(attribute) == PHONES:
        old, new = (_numbers(side) for side in (before, after))
        return REPLACED if old - new and new - old else ""
    refusal, had, has = _refusal(attribute), _value(before, attribute), _value(after, attribute)
    if refusal is None or had != refusal or has == refusal:
        return ""
    return f"{_word(had)}->{_word(has)}"


def _refusal(attribute: str) -> Any:
    """The value of an attribute that refuses contact; ``None`` where no value does."""
    if attribute.startswith((CONSENT, TOPIC)):
        return DENIED
    return {DO_NOT_CONTACT: YES, PREFERRED_METHOD: Method.NONE.value, DECEASED: True}.get(attribute)


def _value(in_force: InForce, attribute: str) -> Any:
    found = in_force.get(attribute)
    return None if found is None else found.value


def _numbers(in_force: InForce) -> set[str]:
    return {phone.number for phone in _value(in_force, PHONES) or ()}


def _word(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return str(value).lower() if isinstance(value, bool) else str(value)
