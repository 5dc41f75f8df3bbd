"""What values in force depend on besides what was asserted: whether EMRs have effect, and the sources by precedence. Pure."""

from __future__ import annotations

from typing import NamedTuple

SYNC, LOCAL = "sync", "local"


class Basis(NamedTuple):
    """``sources``: names, the most trusted first. As text ``sync:adt,fhir``; names hold neither comma nor colon."""

    syncs: bool
    sources: tuple[str, ...]

    @property
    def text(self) -> str:
        """As rows keep it."""
        return f"{SYNC if self.syncs else LOCAL}:{','.join(self.sources)}"

    @property
    def words(self) -> str:
        """As people read it."""
        named = f"sources {', '.join(self.sources)}" if self.sources else "no source"
        return f"contact preferences {'synced' if self.syncs else 'not synced'}, {named}"


def parse(text: str) -> Basis:
    """The basis back from its text; of one that is stored with what waited beside it, the one that was in force."""
    kind, _, names = text.partition("|")[0].partition(":")
    return Basis(kind == SYNC, tuple(name for name in names.split(",") if name))
