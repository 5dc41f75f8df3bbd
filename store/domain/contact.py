"""What is in force for one patient: all that a decision looks at.

A ``msgspec`` struct, since every decision reads one from the patient's row.
"""

from __future__ import annotations

from msgspec import Struct

from store.preference import UNKNOWN, Phone


class ContactPreferences(Struct, frozen=True, gc=False):
    """``consents`` and ``topics`` map the attribute's tail (``sms``, ``sms#+12175550100``; ``billing.sms``) to ``granted`` or ``denied``.

    What is missing is unknown. ``unreadable``: attributes of which newer evidence could not be read.
    """

    do_not_contact: str = UNKNOWN
    preferred_method: str | None = None
    preferred_phone: str | None = None
    phones: tuple[Phone, ...] = ()
    emails: tuple[str, ...] = ()
    language: str | None = None
    consents: dict[str, str] = {}
    topics: dict[str, str] = {}
    deceased: bool = False
    restricted: bool = False
    active: bool = True
    unreadable: tuple[str, ...] = ()
