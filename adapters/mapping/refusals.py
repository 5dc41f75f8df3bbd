"""Defines which values stop contact, and which attributes can have such a value. Pure."""

from __future__ import annotations

from typing import Any

from store.preference import CONSENT, DECEASED, DENIED, DO_NOT_CONTACT, PREFERRED_METHOD, RESTRICTED, TOPIC, YES, Method

_REFUSALS: dict[str, Any] = {DO_NOT_CONTACT: YES, PREFERRED_METHOD: Method.NONE.value, DECEASED: True, RESTRICTED: True}
_FACTS = (DECEASED, RESTRICTED)


def refusal(attribute: str) -> Any:
    """The value of an attribute that stops contact, or ``None`` when it has no such value."""
    return DENIED if attribute.startswith((CONSENT, TOPIC)) else _REFUSALS.get(attribute)


def refuses(attribute: str, value: Any) -> bool:
    """Whether the value stops contact."""
    return value is not None and bool(value == refusal(attribute))


def can_refuse(attribute: str) -> bool:
    """Whether the attribute is a choice of the patient that can refuse contact. Death and protection are facts, not choices."""
    return attribute not in _FACTS and refusal(attribute) is not None


def is_opt_out(attribute: str, value: Any) -> bool:
    """Whether the value is a choice of the patient (:func:`can_refuse`) that refuses contact."""
    return can_refuse(attribute) and refuses(attribute, value)
