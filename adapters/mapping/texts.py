"""Attributes that are not the text a rule finds, but what it means: phones, e-mail, the preferred phone, the language. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.mapping.language import Languages, is_declined
from adapters.mapping.telecom import resolve_preferred
from store.preference import LANGUAGE, LISTS, PREFERRED_PHONE, Phone, Problem, Statement

TEXTS = (*LISTS, LANGUAGE, PREFERRED_PHONE)


def with_texts(
    stated: Mapping[str, Statement], phones: Sequence[Phone], region: str | None, languages: Languages, problems: list[Problem]
) -> dict[str, Statement]:
    """The outcomes of rules, with the language and the preferred phone (written as a kind or a number) in our terms."""
    made = dict(stated)
    for attribute in (PREFERRED_PHONE, LANGUAGE):
        statement = made.get(attribute)
        if statement is None or statement.value is None:
            continue
        text = str(statement.value)
        value = languages.tag(text) if attribute == LANGUAGE else resolve_preferred(text, phones, region)
        if value is not None:
            made[attribute] = statement._replace(value=value)
            continue
        del made[attribute]
        if not (attribute == LANGUAGE and is_declined(text)):  # else the patient did not say: no statement, and nothing to fix
            problems.append(Problem(f"{attribute}_unusable", statement.path, "unknown value", attribute))
    return made
