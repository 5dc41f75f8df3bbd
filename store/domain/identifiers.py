"""Which patient a payload is about (product rule 5.9): its identifiers -> one patient, none yet, or a conflict. Pure.

Patients are matched by identifiers only, never by name. Two identifiers are the same if issuer and type (ignoring case) and value are
equal; if one has no type, issuer and value decide. Only an *own* identifier of the source, or one of a *linking* authority, decides which
patient it is. Others are for look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.errors import IdentifierConflict
from store.preference import Identifier

OWN = "own"
FORMER = "former"
"""An own identifier that its EMR replaced by another one of the same record (A47, a FHIR record with another number, or a merge)."""
LINKING = "linking"
LOOKUP = "lookup"
LEGACY = ""
"""Stored before kinds existed. It still decides, like an own one."""

RECORD_ID = "ri"
"""The folded type under which adapters name a record's own id; its authority is the source."""

DECIDING = frozenset({OWN, FORMER, LEGACY})
_WEIGHT = {LEGACY: 0, LOOKUP: 1, LINKING: 2, FORMER: 3, OWN: 3}


class KnownIdentifier(NamedTuple):
    """An identifier as stored. ``origin``: the record that it came with, before any merge."""

    value: str
    authority: str
    type: str
    patient: int
    origin: int
    kind: str


class Resolved(NamedTuple):
    """The patient a payload is about, if there is one. ``linked``: only by an identifier of a linking authority.

    ``separate_record``: the record id of the payload, if it is still a patient of its own, because it came before the record's other
    identifiers.
    """

    patient: int | None
    linked: bool = False
    separate_record: Identifier | None = None


class LinkRefused(IdentifierConflict):
    """The linking identifier is that of a patient who already has another own identifier of the same authority and type."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The identifiers by which one source knows its patients, and those that link. All case-folded; a type of ``""`` is any."""

    source: str
    own: frozenset[tuple[str, str]] = frozenset()
    linking: frozenset[str] = frozenset()

    def kinds(self, identifiers: Sequence[Identifier]) -> list[str]:
        """The kind of each identifier. The first counts as the source's own, unless it links."""
        if len(identifiers) == 1 and not self.linking:  # the usual case
            return [OWN]
        found = [self.kind(one) for one in identifiers]
        if found and found[0] == LOOKUP:
            found[0] = OWN
        return found

    def kind(self, one: Identifier) -> str:
        """The kind of one identifier, regardless of its position in the payload."""
        authority, kind = one.authority.casefold(), one.type.casefold()
        if (kind == RECORD_ID and authority == self.source) or (authority, kind) in self.own or (authority, "") in self.own:
            return OWN
        return LINKING if authority in self.linking else LOOKUP

    def is_record_id(self, one: Identifier) -> bool:
        """Whether it is a record id of the source."""
        return one.type.casefold() == RECORD_ID and one.authority.casefold() == self.source


class Directory:
    """The identifiers that one batch may touch, and the patients they belong to."""

    def __init__(self, rows: Iterable[KnownIdentifier]) -> None:
        self._by_value: dict[str, list[KnownIdentifier]] = {}
        self._own: dict[int, list[KnownIdentifier]] = {}
        for row in rows:
            self._by_value.setdefault(row.value, []).append(row)

    def load(self, rows: Iterable[KnownIdentifier]) -> None:
        """Adds all rows of some patients, except those already known."""
        for row in rows:
            known = self._by_value.setdefault(row.value, [])
            if row not in known:
                known.append(row)
            if row.kind in DECIDING:
                self._own.setdefault(row.patient, []).append(row)

    def add(self, row: KnownIdentifier) -> None:
        """Adds one identifier of a patient, or replaces its kind."""
        _put(self._by_value.setdefault(row.value, []), row)
        if row.kind in DECIDING:
            _put(self._own.setdefault(row.patient, []), row)

    def move(self, patient: int, survivor: int) -> None:
        """Moves all identifiers of a merged patient to the survivor."""
        for rows in (*self._by_value.values(), *self._own.values()):
            rows[:] = [row._replace(patient=survivor) if row.patient == patient else row for row in rows]

    def find(self, identifier: Identifier) -> int | None:
        """The patient whose own identifier it is. The exact type wins over a missing one.

        Raises :class:`IdentifierConflict` if it matches several patients: a guess could change somebody else's record.
        """
        return _only({row.patient for row in self._matching(identifier, DECIDING)}, identifier)

    def origin(self, identifiers: Sequence[Identifier], naming: Naming) -> int | None:
        """The record that a payload is about, if its patient consists of several: by the first own identifier that is known."""
        for one, kind in zip(identifiers, naming.kinds(identifiers), strict=True):
            found = {row.origin for row in self._matching(one, DECIDING)} if kind == OWN else set()
            if found:
                return found.pop() if len(found) == 1 else None
        return None

    def record_of(self, identifier: Identifier) -> int | None:
        """The record that an identifier came with, before any merge, if there is exactly one."""
        found = {row.origin for row in self._matching(identifier, None)}
        return found.pop() if len(found) == 1 else None

    def candidates(self, identifiers: Sequence[Identifier]) -> set[int]:
        """The patients a payload may belong to, if its first identifier is new. Call :meth:`load` for them before :meth:`resolve`."""
        if not identifiers[1:] or self._matching(identifiers[0], DECIDING):
            return set()
        return {row.patient for one in identifiers for row in self._matching(one, None)}

    def others(self, patient: int, identifiers: Sequence[Identifier]) -> set[int]:
        """The other patients who own an identifier of a payload about ``patient``."""
        return {row.patient for one in identifiers for row in self._matching(one, DECIDING)} - {patient}

    def owners(self, identifiers: Sequence[Identifier], naming: Naming) -> set[int]:
        """The patients who have the source's own identifiers of a payload."""
        kinds = naming.kinds(identifiers)
        own = [one for one, kind in zip(identifiers, kinds, strict=True) if kind == OWN]
        return {row.patient for one in own for row in self._matching(one, DECIDING)}

    def resolve(self, identifiers: Sequence[Identifier], naming: Naming) -> Resolved:
        """The patient of a payload: by its own identifiers in order, else by those that link, if they agree.

        Raises :class:`IdentifierConflict`, and :class:`LinkRefused`.
        """
        first = self.find(identifiers[0])
        if first is not None:
            return Resolved(first, separate_record=self._separate_record(first, identifiers, naming))
        if len(identifiers) == 1 and not naming.linking:
            return Resolved(None)
        kinds = naming.kinds(identifiers)
        own = [one for one, kind in zip(identifiers, kinds, strict=True) if kind == OWN]
        by_own = {patient for patient in map(self.find, own) if patient is not None}
        links = [one for one in identifiers if one.authority.casefold() in naming.linking] if naming.linking else []
        by_link = {row.patient for one in links for row in self._matching(one, None)} if not by_own else set()
        for found, by in ((by_own, own), (by_link, links)):
            if len(found) > 1:
                raise IdentifierConflict(f"identifiers of {_named(by)} belong to different patients: a merge may be missing")
            if found:
                patient = found.pop()
                # Not checked for a known record id: its number may have been corrected, and a refusal must not be rejected.
                if by is links or not any(naming.is_record_id(one) and self._matching(one, DECIDING) for one in own):
                    self._check(patient, own, by)
                return Resolved(patient, linked=by is links and kinds[0] == OWN)
        return Resolved(None)

    def missing(
        self, patient: int, identifiers: Sequence[Identifier], kinds: Sequence[str]
    ) -> list[tuple[Identifier, str, KnownIdentifier | None]]:
        """The identifiers that the patient does not have yet, each once with its kind; and those with a weaker kind, with their row."""
        found: dict[Identifier, tuple[Identifier, str, KnownIdentifier | None]] = {}
        for one, kind in zip(identifiers, kinds, strict=True):
            matching = self._matching(one, None)
            rows = [row for row in matching if row.patient == patient]
            if matching and kind == OWN and self.others(patient, [one]):
                continue  # it stays with the patient who has it
            if not rows:
                found.setdefault(one, (one, kind, None))
                found |= {former[0]: former for former in self._replaced(patient, one)} if kind == OWN else {}
            elif all(_WEIGHT[row.kind] < _WEIGHT[kind] for row in rows):
                found.setdefault(one, (one, kind, rows[0]))
        return list(found.values())

    def _replaced(self, patient: int, new: Identifier) -> list[tuple[Identifier, str, KnownIdentifier]]:
        """The own identifiers that a new one replaces. They still identify the patient."""
        rows = [
            row for row in self._own.get(patient, ()) if row.kind != FORMER and row.value != new.value and new.type and is_alike(row, new)
        ]
        return [(Identifier(row.authority, row.type, row.value), FORMER, row) for row in rows if row.type.casefold() != RECORD_ID]

    def _separate_record(self, patient: int, identifiers: Sequence[Identifier], naming: Naming) -> Identifier | None:
        """The payload's record id, if it alone identifies another patient: a Consent may arrive before its Patient.

        Raises :class:`LinkRefused` if that patient has further identifiers: the source has two identifiers for one record, or one for two.
        """
        for one in identifiers[1:]:
            if naming.is_record_id(one):
                others = self.others(patient, [one])
                known = [row for other in others for row in self._own.get(other, ()) if (row.type, row.value) != (one.type, one.value)]
                if known or len(others) > 1:
                    raise LinkRefused(f"{_named([one])} matches a patient with a different identifier of this source: nothing was changed")
                if others:
                    return one
                self._check_former(patient, identifiers[0], one)
        return None

    def _check_former(self, patient: int, first: Identifier, record: Identifier) -> None:
        """Raises :class:`LinkRefused` if a number that was replaced in one record of the source comes with another record."""
        is_former = all(row.kind == FORMER for row in self._matching(first, DECIDING))
        if is_former and not self._matching(record, DECIDING) and any(is_alike(row, record) for row in self._own.get(patient, ())):
            raise LinkRefused(f"{_named([first])} was replaced in its record: its current owner is unknown")

    def _check(self, patient: int, own: Sequence[Identifier], by: Sequence[Identifier]) -> None:
        """Raises :class:`LinkRefused` if the patient has a different own identifier of the same authority and type."""
        for one in own:
            others = [row for row in self._own.get(patient, ()) if is_alike(row, one)]
            if others and all(row.value != one.value for row in others):
                name = _named([one])
                raise LinkRefused(f"{_named(by)} matches a patient who already has another identifier of {name}: nothing was linked")

    def _matching(self, identifier: Identifier, kinds: frozenset[str] | None) -> list[KnownIdentifier]:
        """Rows of that authority and value, of these kinds (``None``: any): with exactly that type, else with a missing type."""
        found = self._by_value.get(identifier.value)
        if found is None:
            return []
        exact, untyped = [], []
        for row in found:
            if (kinds is None or row.kind in kinds) and _same(row.authority, identifier.authority):
                if _same(row.type, identifier.type):
                    exact.append(row)
                elif not row.type or not identifier.type:
                    untyped.append(row)
        return exact or untyped


def _put(rows: list[KnownIdentifier], row: KnownIdentifier) -> None:
    """Adds a row, or replaces that of the same identifier and record."""
    if rows:
        rows[:] = [one for one in rows if (one[:3], one.origin) != (row[:3], row.origin)]
    rows.append(row)


def is_alike(one: KnownIdentifier | Identifier, other: KnownIdentifier | Identifier) -> bool:
    """Whether two identifiers have the same authority and type; a missing type matches any."""
    return _same(one.authority, other.authority) and (_same(one.type, other.type) or not one.type or not other.type)


def _same(one: str, other: str) -> bool:
    return one == other or one.casefold() == other.casefold()


def _only(patients: set[int], identifier: Identifier) -> int | None:
    if len(patients) > 1:
        raise IdentifierConflict(f"an identifier of {_named([identifier])} matches several patients: map its type")
    return next(iter(patients), None)


def _named(identifiers: Sequence[Identifier]) -> str:
    """Authorities and types for an error message; never a value."""
    return ", ".join(sorted({f"{one.authority}/{one.type or 'no type'}" for one in identifiers}))
