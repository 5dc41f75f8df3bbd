"""Reads the standard elements of a Patient, before any site rule. Pure; R4 and R5, and DSTU2 and STU3 where they differ.

A resource is a whole snapshot: a telecom list states the whole list, even if it is empty; a missing element states nothing.
Source: FHIR R4 8.1 (Patient), security labels of v3-Confidentiality.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir import absent, contact
from adapters.fhir.contact_points import ContactPoints, Point
from adapters.fhir.dates import ended
from adapters.mapping import birth_date, iso_time
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.language import Languages, is_declined, is_standard
from adapters.mapping.legible import MARK
from store.preference import (
    ACTIVE,
    BIRTH_DATE,
    DECEASED,
    DENIED,
    DISPLAY_NAME,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_PHONE,
    RESTRICTED,
    Later,
    Problem,
    Statement,
)

CONFIDENTIALITY = ("v3-Confidentiality", "v3/Confidentiality", "2.16.840.1.113883.5.25")  # R4, STU3, as an OID
RESTRICTED_CODES = ("R", "V")
OPEN_CODES = ("N", "L", "M", "U")
TRUTH = {"true": True, "false": False}
VALUES, LEFT_OUT = "ObservationValue", ("SUBSETTED", "REDACTED", "MASKED", "ABSTRACTED")  # FHIR R4 3.1.1.5.8 (summary), v3-ObservationValue
MOST_DAYS = 50
NAME_USES = ("official", "usual")
ANY_SYSTEM = frozenset({""})

Stated = dict[str, Statement]


def restriction(resource: dict[str, Any], problems: list[Problem]) -> Statement | None:
    """Whether the record is restricted, from its confidentiality label. Without such a label nothing is stated."""
    meta = resource.get("meta")
    labels = meta.get("security") if type(meta) is dict else None
    if (meta is not None and type(meta) is not dict) or (labels is not None and type(labels) is not list):
        problems.append(Problem("label_unreadable", "Patient.meta.security", "it is not a list of labels", RESTRICTED))
        return None
    if not labels:
        return None
    found = [one for index, label in enumerate(labels) if (one := _label(label, f"Patient.meta.security[{index}]", problems))]
    return max(found, key=lambda one: one.value is True, default=None)


def _label(label: Any, path: str, problems: list[Problem]) -> Statement | None:
    if type(label) is not dict or not any(name in str(label.get("system")) for name in CONFIDENTIALITY):
        return None
    code = str(label.get("code")).upper()
    if code in RESTRICTED_CODES or code in OPEN_CODES:
        return Statement(code in RESTRICTED_CODES, path)
    problems.append(Problem("label_unreadable", path, "it is not a confidentiality code", RESTRICTED))
    return None


def is_incomplete(resource: dict[str, Any]) -> bool:
    """Whether the server states that it omitted something: the record is a summary, masked or redacted."""
    meta = resource.get("meta")
    labels = [*_dicts(meta.get("tag")), *_dicts(meta.get("security"))] if type(meta) is dict else []
    return bool(labels) and any(one.get("code") in LEFT_OUT and VALUES in str(one.get("system")) for one in labels)


def statements(
    resource: dict[str, Any],
    points: ContactPoints,
    settings: SourceSettings,
    today: str,
    problems: list[Problem],
    tables: ContactTables,
    languages: Languages,
    *,
    restricted: bool,
    preferred_by: str = "rank",
) -> Stated:
    """The statements of the standard elements, except :func:`restriction`. What cannot be used is added to ``problems``.

    ``preferred_by``: how the preferred phone is determined: by ``rank``, or as the one listed ``first``.
    """
    stated: Stated = {}
    problems.extend(points.problems)
    if points.is_stated:
        found = contact.read(points.points, settings.default_region, today, tables)
        problems.extend(found.problems)
        _lists(stated, found, points, restricted)
        stated |= {name: Statement(DENIED, path) for name, path in found.refused}
        _preferred(stated, found, points.points, preferred_by)
    _language(stated, resource, problems, languages)
    _life_status(stated, resource, problems)
    name = _name(resource.get("name"), today) if settings.keep_names else None
    if name:
        stated[DISPLAY_NAME] = name
    if settings.keep_birth_dates:
        _birth_date(stated, resource.get("birthDate"), today, problems)
    return stated


def later(points: ContactPoints, region: str | None, today: str, tables: ContactTables, *, restricted: bool) -> tuple[Later, ...]:
    """Future lists of phones and e-mail addresses, by their periods: from the start (UTC) of each day on which a list changes.

    Phones keep their periods, so a list may be the same as before; the day is reported nevertheless.
    """
    found = []
    for day, attribute in contact.change_days(points.points, today)[:MOST_DAYS]:
        stated_later: Stated = {}
        _lists(stated_later, contact.read(points.points, region, day, tables), points, restricted)
        if attribute in stated_later:
            found.append(Later(attribute, datetime.fromisoformat(day).replace(tzinfo=UTC), stated_later[attribute].value, points.path))
    return tuple(found)


def _lists(stated: Stated, found: contact.Contacts, points: ContactPoints, restricted: bool) -> None:
    withheld = found.withheld if points.is_whole and not restricted else ANY_SYSTEM
    # a list without usable entries clears, unless entries were withheld
    if found.phones or withheld.isdisjoint(("", *contact.PHONE_SYSTEMS)):
        stated[PHONES] = Statement(found.numbers() or None, points.path)
    if found.emails or withheld.isdisjoint(("", "email")):
        stated[EMAIL] = Statement(found.ordered_emails() or None, points.path)


def _preferred(stated: Stated, found: contact.Contacts, points: Sequence[Point], by: str) -> None:
    """States the preferred phone. If the one listed first cannot be used, the second is not preferred instead."""
    if by == "first":
        path, number = found.first_phone or ("", None)
        if number:
            stated[PREFERRED_PHONE] = Statement(number, path)
    elif preferred := found.preferred():
        raw = found.phones[preferred].raw
        path = next(path for entry, path, _ in points if type(entry) is dict and entry.get("value") == raw)
        stated[PREFERRED_PHONE] = Statement(preferred, f"{path}.rank")


def _language(stated: Stated, resource: dict[str, Any], problems: list[Problem], languages: Languages) -> None:
    entries = resource.get("communication")
    listed = [(i, one) for i, one in enumerate(entries) if type(one) is dict] if type(entries) is list else []
    preferred = [(i, one) for i, one in listed if one.get("preferred") is True]
    if not preferred and (len(listed) != 1 or listed[0][1].get("preferred") is False):
        return  # several languages and none is preferred: nothing is stated
    index, entry = (preferred or listed)[0]
    path = f"Patient.communication[{index}].language"
    tag = _tag(entry.get("language"), languages)
    if tag:
        stated[LANGUAGE] = Statement(tag, path)
    elif entry.get("language") is not None and not _declined(entry["language"]):
        problems.append(Problem("language_unusable", path, "no coding or text contains a known language", LANGUAGE))


def _tag(concept: Any, languages: Languages) -> str | None:
    """The first coding, or text, that names a language. Oracle Health lists a code of its own system first.

    A code without a standard system may be the EMR's own, so its text is tried first.
    """
    if type(concept) is not dict:
        return None
    listed, text = _dicts(concept.get("coding")), _text(concept.get("text"))
    by_standard = listed if len(listed) < 2 else sorted(listed, key=lambda one: not is_standard(_text(one.get("system"))))
    for one in by_standard:
        if tag := languages.coded(_text(one.get("code")), _text(one.get("display")) or text, _text(one.get("system"))):
            return tag
    return languages.tag(text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _declined(concept: Any) -> bool:
    """Whether the patient declined to answer: that is no statement, and no problem."""
    listed = _dicts(concept.get("coding")) if type(concept) is dict else []
    texts = [one.get(name) for one in listed for name in ("code", "display")] + ([concept.get("text")] if type(concept) is dict else [])
    return absent.reason(concept) in absent.NOT_KNOWN or any(isinstance(text, str) and is_declined(text) for text in texts)


def _life_status(stated: Stated, resource: dict[str, Any], problems: list[Problem]) -> None:
    died, reason = resource.get("deceasedDateTime"), absent.reason(resource.get("_deceasedDateTime"))
    if (isinstance(died, str) and died) or (died is None and reason not in ("", "not-applicable")):
        stated[DECEASED] = Statement(True, "Patient.deceasedDateTime")  # an unknown date still means that there is one
    elif died is not None:
        problems.append(Problem("deceased_unreadable", "Patient.deceasedDateTime", "it is not a date", DECEASED))
    else:
        _boolean(stated, DECEASED, resource, "deceasedBoolean", problems)
    _boolean(stated, ACTIVE, resource, "active", problems)


def _boolean(stated: Stated, attribute: str, resource: dict[str, Any], name: str, problems: list[Problem]) -> None:
    """States a boolean, also one written as text."""
    value = resource.get(name)
    value_read = value if isinstance(value, bool) else TRUTH.get(value.strip().casefold()) if isinstance(value, str) else None
    if value_read is not None:
        stated[attribute] = Statement(value_read, f"Patient.{name}")
    elif value is not None:
        problems.append(Problem(f"{attribute}_unreadable", f"Patient.{name}", "it is not true or false", attribute))
    elif absent.is_withheld(resource.get(f"_{name}")):
        problems.append(Problem(absent.REASON, f"Patient.{name}", absent.DETAIL, attribute))


def _name(names: Any, today: str) -> Statement | None:
    """The official name, else the usual one, else the first in use."""
    listed = [(i, one) for i, one in enumerate(names) if type(one) is dict and not ended(one, today)] if type(names) is list else []
    if len(listed) > 1:
        listed.sort(key=lambda one: NAME_USES.index(one[1]["use"]) if one[1].get("use") in NAME_USES else len(NAME_USES))
    return next((Statement(text, f"Patient.name[{index}]") for index, one in listed if (text := _written(one))), None)


def _written(name: dict[str, Any]) -> str:
    """Given names and family name; DSTU2 has a list of family names."""
    parts = [*_texts(name.get("given")), *_texts(name.get("family"))]
    return " ".join(parts or _texts(name.get("text"))[:1])


def _birth_date(stated: Stated, value: Any, today: str, problems: list[Problem]) -> None:
    """The day as it is written: a date has no time zone. Some servers send a dateTime. An illegible text is reported elsewhere."""
    if value is None or value in ("", MARK):
        return
    day = value.strip().partition("T")[0] if isinstance(value, str) else ""
    found = birth_date.plain(day, date.fromisoformat(today)) or birth_date.written(iso_time.read(day, UTC), UTC, date.fromisoformat(today))
    if found is None:
        problems.append(birth_date.UNUSABLE._replace(path="Patient.birthDate"))
    else:
        stated[BIRTH_DATE] = Statement(found, "Patient.birthDate")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _texts(value: Any) -> list[str]:
    values = value if type(value) is list else [value]
    return [one.strip() for one in values if isinstance(one, str) and one.strip() not in ("", MARK)]
