"""The cursor of a delimited source: the newest set that was read, the set in progress, and the files that are done. Pure.

It is committed with the records, so it is never ahead of them. Files are known by digests of their names (``adapters.locators``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from adapters.files.names import NamedPlace
from adapters.files.sets import order
from adapters.folders.drop_folder import DroppedFile
from adapters.locators import key

REMEMBERED = 200
"""How many sets that were read are remembered, so that the same delivery is recognised."""


@dataclass(frozen=True, slots=True)
class ExtractProgress:
    """A set that was read in part. ``content`` is the digest of its files and time, ``done`` the number of payloads that were committed.

    ``mapping``: by which they were read. ``since``: when reading began, in ISO 8601. ``full``: in a full read.
    """

    content: str
    mapping: str
    since: str
    done: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class ExtractState:
    """``settled``: files that are read and only have to be moved: digest of the name -> size, time, folder."""

    newest: NamedPlace = field(default_factory=NamedPlace)
    progress: ExtractProgress | None = None
    read: tuple[str, ...] = ()
    settled: dict[str, tuple[float, float, str]] = field(default_factory=dict)

    def folder_of(self, file: DroppedFile) -> str:
        """The folder that a file which was read goes to; empty for a file that was not read."""
        size, written, folder = self.settled.get(key(file.name), (-1, 0, ""))
        return folder if (size, written) == (file.size, file.written) else ""

    def finished(self, content: str, place: NamedPlace, files: list[DroppedFile], folder: str) -> ExtractState:
        """The state after a set; ``content`` is empty if it was rejected."""
        done = {key(file.name): (file.size, file.written, folder) for file in files}
        read = (*self.read, content)[-REMEMBERED:] if content else self.read
        return replace(self, newest=max(self.newest, place, key=order), progress=None, read=read, settled=self.settled | done)

    def only(self, present: list[DroppedFile]) -> ExtractState:
        """The state without files that are gone."""
        names = {key(file.name) for file in present}
        return replace(self, settled={name: one for name, one in self.settled.items() if name in names})

    def text(self) -> str:
        """The cursor."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read(cursor: str | None) -> ExtractState:
    """The state of a cursor. One of another kind of source means that nothing was read; reading a file again is harmless."""
    try:
        found: dict[str, Any] = json.loads(cursor or "{}")
        return ExtractState(
            NamedPlace(*found.get("newest", ())),
            ExtractProgress(**found["progress"]) if found.get("progress") else None,
            tuple(found.get("read", ())),
            {str(name): (one[0], one[1], str(one[2])) for name, one in found.get("settled", {}).items()},
        )
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return ExtractState()
