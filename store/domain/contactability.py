"""What permits more contact, and what permits less (product section 8). Pure.

:func:`more_restrictive` compares two values of one attribute. :func:`permitting_changes` compares what is in force before and after a
change: a patient becomes more contactable when a refusal ends (Do Not Contact, a denied consent or topic, the method "none", deceased) or
a phone number is replaced. While another authority still refuses, that refusal is in force. ``store.preference.REFUSALS`` lists what
refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from store.domain.attributes import entry
from store.preference import PHONES, RESTRICTED, UNKNOWN, Preference, base, refusal, refuses, stops_contact

REPLACED = "replaced"
InForce = Mapping[str, Preference]


def is_refusable(attribute: str) -> bool:
    """Whether a refusal of any authority counts. Then any two values differ in how much contact they permit, unknown included."""
    return refusal(attribute) is not None and not entry(attribute).by_precedence


def more_restrictive(attribute: str, value: Any, than: Any) -> bool:
    """Whether a value permits less contact than another: a refusal less than any other, and unknown less than a permission."""
    worst = refusal(attribute)
    if worst is None or value == than:
        return False
    return bool(value == worst) if worst in (value, than) else value is None and is_refusable(attribute)


def may_permit_more(attribute: str, after: Any) -> bool:
    """Whether a new value of one authority can permit more contact. A quick check: most payloads then need no full comparison."""
    if base(attribute) == PHONES:
        return True
    return attribute != RESTRICTED and refusal(attribute) is not None and not refuses(attribute, after)


def permitting_changes(before: InForce, after: InForce, attributes: Iterable[str]) -> dict[str, str]:
    """Those of the attributes by which a patient would become more contactable -> in which direction (``yes->no``…)."""
    found = {name: _direction(name, before, after) for name in attributes}
    return {name: direction for name, direction in found.items() if direction}


def _direction(attribute: str, before: InForce, after: InForce) -> str:
    if base(attribute) == PHONES:
        removed, added = (_numbers(one) - _numbers(other) for one, other in ((before, after), (after, before)))
        return REPLACED if removed and added else ""
    old, new = _value(before, attribute), _value(after, attribute)
    if not stops_contact(attribute, old) or refuses(attribute, new):
        return ""
    return f"{_as_text(old)}->{_as_text(new)}"


def _value(in_force: InForce, attribute: str) -> Any:
    found = in_force.get(attribute)
    return None if found is None else found.value


def _numbers(in_force: InForce) -> set[str]:
    return {phone.number for phone in _value(in_force, PHONES) or ()}


def _as_text(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return str(value).lower() if isinstance(value, bool) else str(value)
