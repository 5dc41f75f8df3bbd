"""What a Patient resource states by itself, before any site rule. Pure; R4 and R5, and DSTU2 and STU3 where they differ.

A resource is a whole snapshot: a telecom list that is there states the whole list, an empty one included; an element that is not
there states nothing. Source: FHIR R4 8.1 (Patient), security labels of v3-Confidentiality.
"""

from __future__ import annotations

from typing import Any

from adapters.base import SourceSettings
from adapters.fhir import contact
from adapters.fhir.moment import ended
from adapters.language import bcp47, is_declined
from store.preference import (
    ACTIVE,
    DECEASED,
    DISPLAY_NAME,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_PHONE,
    Problem,
    Statement,
)

CONFIDENTIALITY = ("v3-Confidentiality", "v3/Confidentiality", "2.16.840.1.113883.5.25")  # R4, STU3, as an OID
RESTRICTED_CODES = ("R", "V")
OPEN_CODES = ("N", "L", "M", "U")
NAME_USES = ("official", "usual")

Stated = dict[str, Statement]


def restriction(resource: dict[str, Any]) -> Statement | None:
    """Whether the record is restricted, from its confidentiality label. No such label is no statement."""
    meta = resource.get("meta")
    labels = meta.get("security") if type(meta) is dict else None
    found = None
    for index, label in enumerate(labels if type(labels) is list else ()):
        if type(label) is not dict or not any(name in str(label.get("system")) for name in CONFIDENTIALITY):
            continue
        if label.get("code") in RESTRICTED_CODES:
            return Statement(True, f"Patient.meta.security[{index}]")
        if label.get("code") in OPEN_CODES:
            found = Statement(False, f"Patient.meta.security[{index}]")
    return found


def statements(
    resource: dict[str, Any], settings: SourceSettings, today: str, problems: list[Problem], *, restricted: bool, preferred_by: str = "rank"
) -> Stated:
    """The standard elements' statements but for :func:`restriction`; what cannot be used is added to ``problems``.

    ``preferred_by`` is how the preferred phone is told: by ``rank``, or by being listed ``first``.
    """
    stated: Stated = {}
    found = _telecom(stated, resource, settings.default_region, today, problems, restricted)
    if found is not None:
        _preferred(stated, found, resource["telecom"], preferred_by)
    _language(stated, resource, problems)
    _life(stated, resource)
    name = _name(resource.get("name"), today) if settings.keep_names else None
    if name:
        stated[DISPLAY_NAME] = name
    return stated


def _telecom(
    stated: Stated, resource: dict[str, Any], region: str | None, today: str, problems: list[Problem], restricted: bool
) -> contact.Contacts | None:
    entries = resource.get("telecom")
    if entries is None:
        return None
    if type(entries) is not list:
        problems.append(Problem("telecom_unreadable", "Patient.telecom", "it is not a list of ContactPoints"))
        return None
    found = contact.read(entries, region, today)
    problems.extend(found.problems)
    withheld = found.withheld if not restricted else {""}
    _list(stated, PHONES, tuple(found.phones.values()), withheld, contact.PHONE_SYSTEMS)
    _list(stated, EMAIL, found.ordered_emails(), withheld, ("email",))
    return found


def _preferred(stated: Stated, found: contact.Contacts, entries: list[Any], by: str) -> None:
    """A phone that is listed first and cannot be used says nothing about the second."""
    if by == "first":
        index, number = found.leading or (0, None)
        if number:
            stated[PREFERRED_PHONE] = Statement(number, f"Patient.telecom[{index}]")
    elif preferred := found.preferred():
        path = f"Patient.telecom[{_rank_index(entries, found.phones[preferred].raw)}].rank"
        stated[PREFERRED_PHONE] = Statement(preferred, path)


def _list(stated: Stated, attribute: str, values: tuple[Any, ...], withheld: set[str], systems: tuple[str, ...]) -> None:
    """The whole list; an empty one takes back what was stated, unless entries were withheld from us."""
    if values:
        stated[attribute] = Statement(values, "Patient.telecom")
    elif not withheld.intersection(("", *systems)):
        stated[attribute] = Statement(None, "Patient.telecom")


def _rank_index(entries: list[Any], raw: str) -> int:
    return next(index for index, entry in enumerate(entries) if type(entry) is dict and entry.get("value") == raw)


def _language(stated: Stated, resource: dict[str, Any], problems: list[Problem]) -> None:
    entries = resource.get("communication")
    listed = [(i, one) for i, one in enumerate(entries) if type(one) is dict] if type(entries) is list else []
    preferred = [(i, one) for i, one in listed if one.get("preferred") is True]
    if not preferred and (len(listed) != 1 or listed[0][1].get("preferred") is False):
        return  # several languages and no word on which: nothing is stated
    index, entry = (preferred or listed)[0]
    path = f"Patient.communication[{index}].language"
    tag = _tag(entry.get("language"))
    if tag:
        stated[LANGUAGE] = Statement(tag, path)
    elif entry.get("language") is not None and not _declined(entry["language"]):
        problems.append(Problem("language_unusable", path, "no coding or text of it names a language"))


def _tag(concept: Any) -> str | None:
    """The first coding, display or text that names a language: Oracle Health codes it in a set of its own first."""
    if type(concept) is not dict:
        return None
    codings = concept.get("coding")
    listed = [one for one in codings if type(one) is dict] if type(codings) is list else []
    by_standard = listed if len(listed) < 2 else sorted(listed, key=lambda one: one.get("system") != "urn:ietf:bcp:47")
    texts = [one.get("code") for one in by_standard] + [concept.get("text")] + [one.get("display") for one in by_standard]
    return next((tag for text in texts if isinstance(text, str) and (tag := bcp47(text))), None)


def _declined(concept: Any) -> bool:
    """Whether the patient did not say: that is no statement, and nothing to mend."""
    codings = concept.get("coding") if type(concept) is dict else None
    listed = [one for one in codings if type(one) is dict] if type(codings) is list else []
    texts = [one.get(name) for one in listed for name in ("code", "display")] + ([concept.get("text")] if type(concept) is dict else [])
    return any(isinstance(text, str) and is_declined(text) for text in texts)


def _life(stated: Stated, resource: dict[str, Any]) -> None:
    deceased, died = resource.get("deceasedBoolean"), resource.get("deceasedDateTime")
    if isinstance(died, str) and died:
        stated[DECEASED] = Statement(True, "Patient.deceasedDateTime")
    elif isinstance(deceased, bool):
        stated[DECEASED] = Statement(deceased, "Patient.deceasedBoolean")
    if isinstance(resource.get("active"), bool):
        stated[ACTIVE] = Statement(resource["active"], "Patient.active")


def _name(names: Any, today: str) -> Statement | None:
    """The official name, else the usual one, else the first in use."""
    listed = [(i, one) for i, one in enumerate(names) if type(one) is dict and not ended(one, today)] if type(names) is list else []
    if len(listed) > 1:
        listed.sort(key=lambda one: NAME_USES.index(one[1]["use"]) if one[1].get("use") in NAME_USES else len(NAME_USES))
    return next((Statement(text, f"Patient.name[{index}]") for index, one in listed if (text := _written(one))), None)


def _written(name: dict[str, Any]) -> str:
    """Given names and family name; DSTU2 has a list of family names."""
    parts = [*_texts(name.get("given")), *_texts(name.get("family"))]
    text = name.get("text")
    return " ".join(parts) or (text.strip() if isinstance(text, str) else "")


def _texts(value: Any) -> list[str]:
    values = value if type(value) is list else [value]
    return [one.strip() for one in values if isinstance(one, str) and one.strip()]
