"""Which patient a payload is about. Pure: identifiers and what is known of them -> one patient, none yet, or a conflict.

Patients meet by identifiers only, never by name. Key: issuer, type, value; where one side did not say the type, issuer
and value decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from store.errors import IdentifierConflict
from store.preference import Identifier


class Directory:
    """The identifiers that one batch may touch, and the patients they belong to."""

    def __init__(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """``rows``: (value, authority, type, patient id)."""
        self._by_value: dict[str, list[tuple[str, str, int]]] = {}
        for value, authority, kind, patient in rows:
            self._by_value.setdefault(value, []).append((authority, kind, patient))

    def find(self, identifier: Identifier) -> int | None:
        """The patient an identifier belongs to. The exact type wins over an unsaid one.

        Raises :class:`IdentifierConflict` where an unsaid type fits several patients: a guess would change somebody else's record.
        """
        fitting = self._fitting(identifier)
        if len(fitting) > 1:
            raise IdentifierConflict("an identifier without a type fits several patients here: map its type")
        return next(iter(fitting), None)

    def resolve(self, identifiers: Sequence[Identifier]) -> int | None:
        """The patient of a payload: by its first identifier, else by the others if they agree."""
        first = self.find(identifiers[0])
        if first is not None:
            return first
        others = {patient for patient in map(self.find, identifiers[1:]) if patient is not None}
        if len(others) > 1:
            raise IdentifierConflict("its identifiers belong to different patients here: a merge may be missing")
        return others.pop() if others else None

    def _fitting(self, identifier: Identifier) -> set[int]:
        loose = set()
        for authority, kind, patient in self._by_value.get(identifier.value, ()):
            if authority == identifier.authority:
                if kind == identifier.type:
                    return {patient}
                if not kind or not identifier.type:
                    loose.add(patient)
        return loose

    def missing(self, identifiers: Sequence[Identifier]) -> list[Identifier]:
        """Those that nobody has yet, each once."""
        return [one for one in dict.fromkeys(identifiers) if not self._fitting(one)]

    def add(self, identifier: Identifier, patient: int) -> None:
        """From now on the identifier belongs to the patient."""
        self._by_value.setdefault(identifier.value, []).append((identifier.authority, identifier.type, patient))
