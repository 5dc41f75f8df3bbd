"""Who joined a group since its last export, and what of them is read already. Kept with the source (``adapters.notes``).

Three lists of numbers (``group.packed``): the members at the last export that is stored, those at the one under way, and those who
joined since and were read apart from both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapters.fhir import group
from adapters.notes import Notes

EACH, PENDING, READ = "group.members", "group.members.pending", "group.members.read"


class Joiners:
    """Of one source; ``notes`` gives where they are kept, since that can be exchanged."""

    def __init__(self, notes: Callable[[], Notes]) -> None:
        self._notes = notes

    def new(self, names: Sequence[str]) -> list[str] | None:
        """Members who were neither there at the last export nor read since; ``None`` when it is not known who was there."""
        joined = group.newcomers(names, self._notes().read(EACH))
        unread = group.newcomers(joined, self._notes().read(READ)) if joined else None
        return joined if unread is None else unread

    def asked_for(self, names: Sequence[str] | None) -> None:
        """Who was in the group when its export was asked for. It counts only when the export is stored."""
        self._notes().change(PENDING, lambda _: "" if names is None else group.packed(names))

    def stored(self) -> None:
        """The export is stored, and so is everybody who was in the group when it was asked for."""
        if pending := self._notes().read(PENDING):
            self._notes().change(EACH, lambda _: pending)
            self._notes().change(READ, lambda _: "")

    def read(self, numbers: str) -> None:
        """Some who joined are stored (``group.packed``), apart from an export of the group."""
        self._notes().change(READ, lambda kept: group.united(kept, numbers))
