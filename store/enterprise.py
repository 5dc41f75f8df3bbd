"""An enterprise as the store needs to know it: what it syncs, in which order, and which policies it chose.

Built by ``sync.config`` from the configuration file; the store never reads a file or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType

from store.preference import emr


@dataclass(frozen=True, slots=True)
class Policy:
    """The named choices of product rule 7; every default is the safe one."""

    when_stale: str = "flag"  # flag | refuse
    when_preferred_impossible: str = "refuse"  # refuse | next
    appointment_may_lift_dnc: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A configured EMR feed. ``masters`` are attributes it owns even before it first states them."""

    name: str
    display_name: str
    freshness: timedelta | None = None
    masters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Enterprise:
    """``sources`` are in order of precedence. ``authorities`` maps every alias of an issuer to its canonical name."""

    name: str
    display_name: str = ""
    syncs: bool = False
    do_not_contact_toggle: bool = False
    sources: tuple[Source, ...] = ()
    authorities: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    policy: Policy = Policy()
    time_zone: str = "UTC"
    default_region: str | None = None
    opt_in_words: frozenset[str] = frozenset({"START", "UNSTOP", "YES"})
    receipts: bool = False
    """Whether every decision is kept with its ask (``store.receipts``)."""
    revoke_all_from: date | None = None
    """From this day, in the enterprise's time zone, an opt-out word that is texted to one line counts for all lines."""

    def source(self, name: str) -> Source | None:
        """The source of that name, or ``None`` when the configuration no longer has it."""
        return next((source for source in self.sources if source.name == name), None)

    @property
    def precedence(self) -> tuple[str, ...]:
        """Authorities of the sources, the most trusted first."""
        return tuple(emr(source.name) for source in self.sources)

    @property
    def basis(self) -> str:
        """What the value in force depends on besides assertions. A stored value of another basis is computed anew."""
        return f"{'sync' if self.syncs else 'local'}:{','.join(source.name for source in self.sources)}"
