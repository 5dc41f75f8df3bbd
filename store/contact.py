"""The part of the preferences in force that decisions look at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.preference import (
    ACTIVE,
    CONSENT,
    DECEASED,
    DO_NOT_CONTACT,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_METHOD,
    PREFERRED_PHONE,
    RESTRICTED,
    TOPIC,
    UNKNOWN,
    ContactPreferences,
    Preference,
)


def contact(preferences: Mapping[str, Preference]) -> ContactPreferences:
    """Every attribute with a value where nothing is known: never one that permits."""

    def value(attribute: str, default: Any) -> Any:
        found = preferences.get(attribute)
        return default if found is None else found.value

    phones = value(PHONES, ())
    preferred = value(PREFERRED_PHONE, None)
    return ContactPreferences(
        do_not_contact=value(DO_NOT_CONTACT, UNKNOWN),
        preferred_method=value(PREFERRED_METHOD, None),
        preferred_phone=preferred if any(phone.number == preferred for phone in phones) else None,
        phones=phones,
        emails=value(EMAIL, ()),
        language=value(LANGUAGE, None),
        consents=_family(preferences, CONSENT),
        topics=_family(preferences, TOPIC),
        deceased=value(DECEASED, False),
        restricted=value(RESTRICTED, False),
        active=value(ACTIVE, True),
    )


def _family(preferences: Mapping[str, Preference], prefix: str) -> dict[str, str]:
    return {name[len(prefix) :]: found.value for name, found in preferences.items() if name.startswith(prefix)}
