"""Where a record has a patient's standard parts: the settings in ``record``, read and checked once. Pure.

A preset provides them. A wrong setting raises ``ValueError`` with its name and what it accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.base import SourceSettings
from adapters.mapping.birth_date import ISO
from adapters.options import listed
from store.preference import PhoneKind

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PhonePaths:
    """Paths of phones. Without ``each``: one phone at ``number``. With it: one in each entry of that list.

    ``kind``: the use of the number; ``kinds`` translates the text at ``kind_from``. An entry with a value at ``unless`` is not in use.
    """

    number: str
    kind: str = PhoneKind.OTHER.value
    each: str = ""
    kind_from: str = ""
    kinds: Plain = field(default_factory=dict)
    rank: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class EmailPaths:
    """Paths of e-mail addresses, in the same way."""

    address: str
    each: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Paths of a record's standard parts (``adapters/record/path.py``); empty if the EMR has none.

    ``patient_id``: the identifier that the source's ``patient_id`` selects. ``updated``: when the record last changed, the first of these
    paths that has a text; without one the time of the response counts. ``merged_into``: the id of the record that this one was merged into.
    ``birth_date_format``: one of ``adapters.mapping.birth_date``.
    """

    id: str
    patient_id: str = ""
    name: tuple[str, ...] = ()
    phones: tuple[PhonePaths, ...] = ()
    emails: tuple[EmailPaths, ...] = ()
    updated: tuple[str, ...] = ()
    merged_into: str = ""
    birth_date: str = ""
    birth_date_format: str = ISO


def record_options(settings: SourceSettings) -> RecordOptions:
    part = settings.options.get("record") or {}
    if not part.get("id"):
        raise ValueError("record.id is missing: set the path of the record's own id, or use a preset")
    plain = {name: str(part.get(name) or "") for name in ("id", "merged_into", "birth_date")}
    return RecordOptions(
        **plain,
        patient_id=str(settings.options.get("patient_id_from") or part.get("patient_id") or ""),
        name=listed(part, "name"),
        updated=listed(part, "updated"),
        birth_date_format=str(part.get("birth_date_format") or ISO),
        phones=tuple(_phone(one) for one in part.get("phones") or ()),
        emails=tuple(EmailPaths(**written(one)) for one in part.get("emails") or ()),
    )


def _phone(part: Plain) -> PhonePaths:
    kinds = {code.casefold(): kind for code, kind in (part.get("kinds") or {}).items()}
    return PhonePaths(**{**written(part), "kinds": kinds})


def written(part: Plain) -> dict[str, Any]:
    """The settings that have a value, by name."""
    return {name: value for name, value in part.items() if value is not None}
