"""The part of the preferences in force that decisions use. Pure."""

from __future__ import annotations

from collections.abc import Mapping

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


def contact(preferences: Mapping[str, Preference], unreadable: tuple[str, ...] = ()) -> ContactPreferences:
    """The preferences in force for a decision. An attribute without a value gets a default, which never permits contact."""
    values = {name: one.value for name, one in preferences.items()}
    phones, preferred = values.get(PHONES, ()), values.get(PREFERRED_PHONE)
    return ContactPreferences(
        do_not_contact=values.get(DO_NOT_CONTACT, UNKNOWN),
        preferred_method=values.get(PREFERRED_METHOD),
        preferred_phone=preferred if preferred is not None and any(phone.number == preferred for phone in phones) else None,
        phones=phones,
        emails=values.get(EMAIL, ()),
        language=values.get(LANGUAGE),
        consents={name[len(CONSENT) :]: value for name, value in values.items() if name.startswith(CONSENT)},
        topics={name[len(TOPIC) :]: value for name, value in values.items() if name.startswith(TOPIC)},
        deceased=values.get(DECEASED, False),
        restricted=values.get(RESTRICTED, False),
        active=values.get(ACTIVE, True),
        unreadable=unreadable,
    )
