"""An enterprise as the store needs to know it: what it syncs, in which order, and which policies it chose.

Built by ``sync.config`` from the configuration file; the store never reads a file or the environment.

What values in force depend on besides what was asserted: whether EMRs have effect, and the sources by precedence. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from store.domain.identifiers import Naming
from store.domain.policies import DEFAULTS, Policy
from store.preference import emr, issuers

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


@dataclass(frozen=True, slots=True)
class Source:
    """A configured EMR feed. ``masters`` are attributes it owns even before it first states them.

    ``patient_id``: authorities and types of the identifiers that it knows its patients by; a type of ``""`` is any.
    """

    name: str
    display_name: str
    freshness: timedelta | None = None
    masters: frozenset[str] = frozenset()
    patient_id: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Enterprise:
    """``sources`` are in order of precedence. ``authorities`` maps every alias of an issuer to its canonical name.

    ``linking`` are the issuers whose identifiers may join the patients of two sources (canonical names).
    """

    name: str
    display_name: str = ""
    syncs: bool = False
    do_not_contact_toggle: bool = False
    sources: tuple[Source, ...] = ()
    authorities: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    linking: frozenset[str] = frozenset()
    policy: Policy = DEFAULTS
    time_zone: str = "UTC"
    default_region: str | None = None
    opt_in_words: frozenset[str] = frozenset({"START", "UNSTOP", "YES"})
    opt_out_words: frozenset[str] = frozenset()
    """Beside those that everybody has (``store.domain.reply_recognition``)."""
    order: tuple[str, ...] | None = None
    """The names of the sources by precedence, where what is in force is not what is configured (``store.holds.configuration``)."""
    waiting: Enterprise | None = None
    """The configuration that the safeguard holds: what it refuses counts at once, what it allows does not
    (``store.holds.configuration``)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorities", MappingProxyType(issuers(self.authorities)))

    def source(self, name: str) -> Source | None:
        """The source of that name, or ``None`` when the configuration no longer has it."""
        return next((source for source in self.sources if source.name == name), None)

    def naming(self, source: str) -> Naming:
        """How one source names patients."""
        known = self.source(source)
        own = frozenset((authority.casefold(), kind.casefold()) for authority, kind in (known.patient_id if known else ()))
        return Naming(source.casefold(), own, frozenset(name.casefold() for name in self.linking))

    @property
    def locks(self) -> bool:
        """Whether EMRs master preferences here: from the moment sync is configured, until it is off and that is in force."""
        return self.syncs or (self.waiting is not None and self.waiting.syncs)

    @property
    def ranked(self) -> tuple[str, ...]:
        """Names of the sources, the most trusted first."""
        return self.order if self.order is not None else tuple(source.name for source in self.sources)

    @property
    def precedence(self) -> tuple[str, ...]:
        """The same as authorities."""
        return tuple(emr(name) for name in self.ranked)

    @property
    def basis(self) -> str:
        """What the value in force depends on besides assertions. A stored value of another basis is computed anew."""
        mine = self.own_basis.text
        return mine if self.waiting is None else f"{mine}|{self.waiting.basis}"

    @property
    def own_basis(self) -> Basis:
        """The same without what waits beside it."""
        return Basis(self.syncs, self.ranked)

    def under(self, basis: Basis) -> Enterprise:
        """The enterprise by another basis than the configured one."""
        return self if basis == self.own_basis else replace(self, syncs=basis.syncs, order=basis.sources)
