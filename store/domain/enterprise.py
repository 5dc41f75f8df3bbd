"""The configuration of an enterprise: what it syncs, the order of its sources, and its policies. Pure.

``sync.config`` builds it from the configuration file; the store never reads a file or the environment. The values in force depend on the
assertions and on a :class:`Basis`: whether the enterprise syncs, and its sources by precedence.
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
    """What the values in force depend on besides assertions. ``sources``: names, the most trusted first.

    As text ``sync:adt,fhir``; names contain neither comma nor colon.
    """

    syncs: bool
    sources: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text that is stored."""
        return f"{SYNC if self.syncs else LOCAL}:{','.join(self.sources)}"

    @property
    def description(self) -> str:
        """The text for people."""
        named = f"sources {', '.join(self.sources)}" if self.sources else "no source"
        return f"contact preferences {'synced' if self.syncs else 'not synced'}, {named}"


def parse_basis(text: str) -> Basis:
    """The basis from its text. If a held one was stored beside it, the one in force."""
    kind, _, names = text.partition("|")[0].partition(":")
    return Basis(kind == SYNC, tuple(name for name in names.split(",") if name))


@dataclass(frozen=True, slots=True)
class Source:
    """A configured EMR feed. ``masters``: attributes that it masters even before it first states them.

    ``patient_id``: authorities and types of the identifiers by which it knows its patients; a type of ``""`` is any. ``contact``: who
    changes a value there, as text for people ("call the registration desk, 555-0100"). ``writes``: the attributes whose refusals are
    written to its EMR. ``echoes``: the sources whose writing it repeats, since they are the same EMR. ``worklist``: staff type them in.
    ``writes_record_ids``: its EMR is told which record by the record's id, not by ``patient_id``.
    """

    name: str
    display_name: str
    freshness: timedelta | None = None
    masters: frozenset[str] = frozenset()
    patient_id: tuple[tuple[str, str], ...] = ()
    contact: str = ""
    writes: frozenset[str] = frozenset()
    echoes: frozenset[str] = frozenset()
    worklist: bool = False
    writes_record_ids: bool = False


@dataclass(frozen=True, slots=True)
class Enterprise:
    """One enterprise. ``sources``: in order of precedence. ``authorities``: every alias of an issuer -> its canonical name.

    ``linking``: the issuers whose identifiers may link the patients of two sources (canonical names).
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
    """In addition to the standard words (``store.domain.reply_recognition``)."""
    order: tuple[str, ...] | None = None
    """The names of the sources by precedence, if the basis in force is not the configured one (``store.holds.configuration``)."""
    held: Enterprise | None = None
    """The configuration that the safeguard holds: its refusals count at once, its permissions do not (``store.holds.configuration``)."""
    basis: str = field(init=False, repr=False, compare=False)
    """The text of the basis, with that of a held configuration. A stored value of another basis is recomputed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorities", MappingProxyType(issuers(self.authorities)))
        own = self.own_basis.text
        object.__setattr__(self, "basis", own if self.held is None else f"{own}|{self.held.basis}")

    def source(self, name: str) -> Source | None:
        """The source of that name, or ``None`` if the configuration no longer has it."""
        return next((source for source in self.sources if source.name == name), None)

    def naming(self, source: str) -> Naming:
        """The identifiers by which one source knows its patients."""
        known = self.source(source)
        own = frozenset((authority.casefold(), kind.casefold()) for authority, kind in (known.patient_id if known else ()))
        return Naming(source.casefold(), own, frozenset(name.casefold() for name in self.linking))

    @property
    def locks(self) -> bool:
        """Whether EMRs master preferences here: from when sync is configured until it is off and that change is in force."""
        return self.syncs or (self.held is not None and self.held.syncs)

    @property
    def source_order(self) -> tuple[str, ...]:
        """Names of the sources, the most trusted first."""
        return self.order if self.order is not None else tuple(source.name for source in self.sources)

    @property
    def precedence(self) -> tuple[str, ...]:
        """The same, as authorities."""
        return tuple(emr(name) for name in self.source_order)

    @property
    def own_basis(self) -> Basis:
        """The basis without a held configuration."""
        return Basis(self.syncs, self.source_order)

    def with_basis(self, basis: Basis) -> Enterprise:
        """The enterprise with another basis than the configured one."""
        return self if basis == self.own_basis else replace(self, syncs=basis.syncs, order=basis.sources)
