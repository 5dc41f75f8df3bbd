"""The registry of attributes: one entry each. Pure.

A new attribute is an entry here, and a name in ``store.preference``. If its values are codes, add what a mapping may write to
``adapters.mapping.rules.TARGETS``. If one of them refuses, add it to ``store.preference.REFUSALS``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from store.preference import (
    ACTIVE,
    BIRTH_DATE,
    CONSENT,
    DECEASED,
    DISPLAY_NAME,
    DO_NOT_CONTACT,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_METHOD,
    PREFERRED_PHONE,
    RESTRICTED,
    TOPIC,
    Channel,
    base,
    consent,
    family,
)


class Kind(Enum):
    """What the values of an attribute are."""

    YES_NO = auto()
    """``"yes"`` or ``"no"``"""
    METHOD = auto()
    """one of :class:`store.preference.Method`"""
    NUMBER = auto()
    """a number in E.164"""
    PHONES = auto()
    """a tuple of :class:`store.preference.Phone`: the whole list, or slot, as its source sent it"""
    ADDRESSES = auto()
    """a tuple of e-mail addresses: the whole list, or slot, most preferred first"""
    DATE = auto()
    """an ISO 8601 date, or only its year, or year and month"""
    LANGUAGE = auto()
    """a BCP-47 tag"""
    PERMISSION = auto()
    """``"granted"`` or ``"denied"``"""
    FLAG = auto()
    """a bool: something about the record or the person"""
    TEXT = auto()


class Attribute(NamedTuple):
    """An attribute, or a family of them (``consent.``, ``topic.``).

    ``title``: what people call it. ``needs_sync``: what an EMR says about it counts only in an enterprise that syncs preferences (product
    section 4). ``locks``: an EMR that states it masters it. ``by_precedence``: the value of the first source counts, even if another one
    refuses (product rule 5.5). Otherwise a refusal of any authority counts (rules 5.3 and 5.4).
    """

    name: str
    title: str = ""
    kind: Kind = Kind.TEXT
    needs_sync: bool = False
    locks: bool = True
    by_precedence: bool = False


REGISTRY = (
    Attribute(DO_NOT_CONTACT, "Do Not Contact", Kind.YES_NO, needs_sync=True),
    Attribute(PREFERRED_METHOD, "Preferred contact", Kind.METHOD, needs_sync=True, by_precedence=True),
    Attribute(PREFERRED_PHONE, "Preferred phone", Kind.NUMBER, needs_sync=True),
    Attribute(PHONES, "Phones", Kind.PHONES),
    Attribute(EMAIL, "E-mail", Kind.ADDRESSES),
    Attribute(LANGUAGE, "Language", Kind.LANGUAGE),
    Attribute(DECEASED, "Deceased", Kind.FLAG),
    Attribute(RESTRICTED, "Restricted record", Kind.FLAG),
    Attribute(ACTIVE, "Active record", Kind.FLAG),
    Attribute(DISPLAY_NAME, "Name"),
    Attribute(consent(Channel.SMS), "Consent to texts", Kind.PERMISSION, needs_sync=True, locks=False),
    Attribute(consent(Channel.VOICE), "Consent to calls", Kind.PERMISSION, needs_sync=True),
    Attribute(consent(Channel.EMAIL), "Consent to e-mail", Kind.PERMISSION, needs_sync=True),
)
"""The fixed attributes, in the order of display."""

PERSONAL = (Attribute(BIRTH_DATE, "Birth date", Kind.DATE, locks=False),)
"""What is kept as attributes are (stated, merged, corrected), and is no preference: never listed among them, and no rule can map it."""

FAMILIES = (
    Attribute(CONSENT, kind=Kind.PERMISSION, needs_sync=True),
    Attribute(TOPIC, kind=Kind.PERMISSION, needs_sync=True),
)

ATTRIBUTES = tuple(one.name for one in REGISTRY)

_ENTRIES = {one.name: one for one in (*REGISTRY, *PERSONAL, *FAMILIES)}


def entry(attribute: str) -> Attribute:
    """The entry of an attribute, with or without a slot or number. For an unknown name, one without a title."""
    return _ENTRIES.get(base(attribute)) or _ENTRIES.get(family(attribute)) or Attribute(attribute)


def is_known(attribute: str) -> bool:
    """Whether it is an attribute. The history also has lines about events, such as a merge."""
    return base(attribute) in _ENTRIES or family(attribute) in _ENTRIES


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """All fixed attributes, then the other preferences of ``names``, sorted."""
    listed = {*ATTRIBUTES, *(one.name for one in PERSONAL)}
    return (*ATTRIBUTES, *sorted(name for name in names if name not in listed))
