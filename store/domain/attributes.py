"""Every attribute, and what is true of all its values: one entry each. Pure.

A new attribute is an entry here and, where code has to name it, a name in ``store.preference``. If its values are codes, a mapping must
be able to write them (``adapters.mapping.site_rules.TARGETS``); if one of them refuses, it is in ``store.preference.REFUSALS``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, NamedTuple

from store.preference import (
    ACTIVE,
    CONSENT,
    DECEASED,
    DISPLAY_NAME,
    DO_NOT_CONTACT,
    EMAIL,
    GRANTED,
    LANGUAGE,
    NO,
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
    LANGUAGE = auto()
    """a BCP-47 tag"""
    PERMISSION = auto()
    """``"granted"`` or ``"denied"``"""
    FLAG = auto()
    """a bool: something about the record or the person"""
    TEXT = auto()


class Attribute(NamedTuple):
    """An attribute, or a family of them (``consent.``, ``topic.``).

    ``title``: what people call it. ``permits``: the value that allows more than unknown does. Where there is one, any authority's refusal
    counts (product rules 5.3 and 5.4); else the value of the first source that states any. ``needs_sync``: what an EMR says about it
    counts only in an enterprise that syncs preferences (product section 4). ``locks``: an EMR that states it masters it.
    """

    name: str
    title: str = ""
    kind: Kind = Kind.TEXT
    permits: Any = None
    needs_sync: bool = False
    locks: bool = True


REGISTRY = (
    Attribute(DO_NOT_CONTACT, "Do Not Contact", Kind.YES_NO, permits=NO, needs_sync=True),
    Attribute(PREFERRED_METHOD, "Preferred contact", Kind.METHOD, needs_sync=True),
    Attribute(PREFERRED_PHONE, "Preferred phone", Kind.NUMBER, needs_sync=True),
    Attribute(PHONES, "Phones", Kind.PHONES),
    Attribute(EMAIL, "E-mail", Kind.ADDRESSES),
    Attribute(LANGUAGE, "Language", Kind.LANGUAGE),
    Attribute(DECEASED, "Deceased", Kind.FLAG, permits=False),
    Attribute(RESTRICTED, "Restricted record", Kind.FLAG, permits=False),
    Attribute(ACTIVE, "Active record", Kind.FLAG),
    Attribute(DISPLAY_NAME, "Name"),
    Attribute(consent(Channel.SMS), "Consent to texts", Kind.PERMISSION, permits=GRANTED, needs_sync=True, locks=False),
    Attribute(consent(Channel.VOICE), "Consent to calls", Kind.PERMISSION, permits=GRANTED, needs_sync=True),
    Attribute(consent(Channel.EMAIL), "Consent to e-mail", Kind.PERMISSION, permits=GRANTED, needs_sync=True),
)
"""The fixed attributes, in the order in which they are shown."""

FAMILIES = (
    Attribute(CONSENT, kind=Kind.PERMISSION, permits=GRANTED, needs_sync=True),
    Attribute(TOPIC, kind=Kind.PERMISSION, permits=GRANTED, needs_sync=True),
)

ATTRIBUTES = tuple(one.name for one in REGISTRY)

_ENTRIES = {one.name: one for one in (*REGISTRY, *FAMILIES)}


def entry(attribute: str) -> Attribute:
    """The entry of an attribute, whatever its slot or number. One without a title for a name that is no attribute."""
    return _ENTRIES.get(base(attribute)) or _ENTRIES.get(family(attribute)) or Attribute(attribute)


def is_known(attribute: str) -> bool:
    """Whether it is an attribute at all. Histories also have lines about events, like a merge."""
    return base(attribute) in _ENTRIES or family(attribute) in _ENTRIES


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The fixed attributes, then the others of a patient that are named."""
    return (*ATTRIBUTES, *sorted(name for name in names if name not in ATTRIBUTES))
