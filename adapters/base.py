"""The contract of an adapter: read an EMR, say what it said in the words of ``store.preference``.

An adapter that polls implements :class:`Adapter`; one that is called implements :class:`Listener`. Both hand over
:data:`Item` values; neither knows the store. The one error is :class:`AdapterError`, with one bit: ``permanent`` means
that a person must act (credentials, configuration, mapping: *stop*), otherwise the run may be tried again (*retry*).
A payload that cannot be used is not an error but an :class:`Unmappable` item (*skip*).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from store import times
from store.preference import Codes, PatientMerge, PatientStatements, Problem, Statement, issuer, issuers
from store.times import Time


class Unmappable(NamedTuple):
    """A payload that cannot be used. ``detail`` says what to mend and never quotes the payload; ``payload`` is kept apart."""

    reason: str
    detail: str
    locator: str
    payload: bytes = b""
    path: str = ""


class Filtered(NamedTuple):
    """A payload that is well and none of our concern (another event, another resource)."""

    reason: str
    locator: str


Item = PatientStatements | PatientMerge | Filtered | Unmappable


class Payload(NamedTuple):
    """One message or resource as it came. ``locator`` finds it again and names no patient.

    ``written`` is when its file was last written, for payloads that come in files. ``refused`` (reason, detail) is set for one that
    could not be received whole; then ``body`` is what is kept of it.
    """

    body: bytes
    locator: str
    received: datetime
    written: datetime | None = None
    refused: tuple[str, str] | None = None

    @property
    def undated(self) -> datetime:
        """The latest that it can have been stated, if it carries no time of its own. A file read twice states the same time twice."""
        return self.received if self.written is None else min(self.written, self.received)

    @property
    def stated(self) -> Time:
        """When it was stated, if it carries no time of its own: what a server answers is true now, a file was true before."""
        return times.at(self.received) if self.written is None else times.unknown(self.undated)


class AdapterError(Exception):
    """The EMR or the way to it failed. ``retry_after`` is in seconds, where the EMR named a time."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.permanent, self.retry_after = permanent, retry_after
        super().__init__(message)


class BrokeOff(AdapterError):
    """The answer is not whole: fewer records than the EMR announced, an error among them, or pages without an end.

    What came was handed over and counts; the cursor was not, so that the same is read again: once more now, then by the next run.
    Without ``again`` only by the next run: what was asked for is too much to be asked for twice.
    """

    def __init__(self, message: str, *, again: bool = True) -> None:
        self.again = again
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to read: everything after ``cursor`` (opaque, the adapter's own), or everything when it is ``None``.

    ``since`` overrides the cursor's time; ``patient`` reads one patient by the source's own identifier value. ``dry`` is a read whose
    result is thrown away: nothing may be acknowledged to an EMR that counts what it delivered (athenahealth).
    """

    cursor: str | None = None
    since: datetime | None = None
    full: bool = False
    patient: str | None = None
    dry: bool = False


class Wait(NamedTuple):
    """The EMR is not ready. ``seconds`` until it is worth asking on; ``what`` is waited for, in words that name no patient."""

    seconds: float
    what: str


class Batch(NamedTuple):
    """Items that belong together. ``cursor`` is safe to keep once they are committed; ``None`` keeps the old one.

    ``payloads`` are the raw bytes beside each item (same length), kept only for those that get rejected.
    ``total`` is how many items the whole read will bring, where the EMR says so.
    A batch with ``wait`` brings nothing but its cursor: the EMR has not spoken yet. The next batch is asked for after the wait,
    or by a later run that goes on from the cursor. ``note`` is one line for whoever looks at the run; it names no patient.
    """

    items: Sequence[Item]
    cursor: str | None = None
    payloads: Sequence[bytes] = ()
    total: int | None = None
    wait: Wait | None = None
    note: str = ""


class Finding(NamedTuple):
    """One line of ``check SOURCE``: what was tried, whether it is well, and what follows for the sync."""

    what: str
    ok: bool
    detail: str


class Mapper(Protocol):
    """Pure: one payload in, what it says out. Never raises for bad input: that is an :class:`Unmappable`.

    ``mapping`` tells its rules from others; ``reread`` says what they make of codes that were read before (``store.domain.source_codes``).
    """

    mapping: str

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None: ...

    def read(self, payload: Payload) -> list[Item]: ...

    def explain(self, payload: Payload) -> Explanation: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one payload says, for the person who writes the mapping.

    ``stated``: (attribute, value, path) rows; ``unused``: (path, shape) of everything present that nothing reads — the
    engineer's own screen, so it may show values; ``unmapped``: (path, code) pairs that no ``values`` table knows.
    """

    items: Sequence[Item]
    stated: Sequence[tuple[str, Any, str]] = ()
    unused: Sequence[tuple[str, str]] = ()
    unmapped: Sequence[tuple[str, str]] = ()


class Adapter(Protocol):
    """An EMR that is polled."""

    mapper: Mapper

    def fetch(self, request: Fetch) -> Iterator[Batch]: ...

    def check(self) -> Iterator[Finding]: ...

    def payloads(self, path: Path) -> Iterator[Payload]:
        """The messages or resources in one file, streamed; every byte ends in some payload."""
        ...


class IngestResult(NamedTuple):
    """What became of one received payload: ``applied | unchanged | stale | merged | filtered | rejected``, and why.

    ``problems`` are the parts of it that could not be used, while the rest was. ``undecided``: for how many attributes nobody could
    tell whether it is newer than what stands.
    """

    outcome: str
    reason: str = ""
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    undecided: int = 0


Ingest = Callable[[Sequence[Payload]], Sequence[IngestResult]]
"""Maps, applies and **commits** a group of received payloads; the answers are in the order of the payloads."""


@runtime_checkable
class Listener(Protocol):
    """An EMR that calls us. ``serve`` returns when ``stop`` was called; it answers a payload only after ``ingest`` returned."""

    mapper: Mapper

    def serve(self, ingest: Ingest) -> None: ...

    def stop(self) -> None: ...

    def check(self) -> Iterator[Finding]: ...

    def payloads(self, path: Path) -> Iterator[Payload]: ...


@runtime_checkable
class TellsOfPeers(Protocol):
    """A listener that tells of what is no payload: broken frames, connections that it refused (why), messages answered AR (how many)."""

    on_frame_errors: Callable[[Sequence[Unmappable]], None] | None
    on_refused: Callable[[str], None]
    on_unavailable: Callable[[int], None]


@runtime_checkable
class TakesConnections(Protocol):
    """A listener that others connect to: how many connections may be open, and that they shall be fewer."""

    @property
    def connections(self) -> int: ...

    def narrow(self, connections: int) -> None: ...


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What an adapter is built from: one source's configuration, checked, and already joined with its preset (named by ``preset``).

    ``options`` holds the adapter's own settings (``base_url``, ``auth``, ``listen`` …) as plain data, secrets resolved.
    ``mapping`` is attribute -> rule as in the configuration (``from``, ``values``, ``on_absent``, ``on_unknown``).
    ``authorities`` maps every alias of an identifier's issuer to its canonical name (folded, see :meth:`issuer`).
    ``authority`` and ``identifier_type`` (one, or several) name the identifier that the source knows its patients by; ``linking`` are the
    issuers whose identifiers join patients of several sources; ``placeholders`` identify nobody, beside those that are listed
    (``adapters.placeholders``). ``contact`` (``use``, ``equipment``, ``remarks``, ``placeholders``) and ``languages`` are the site's own
    codes (``adapters.mapping.contact_tables``, ``adapters.mapping.language``).
    """

    name: str
    adapter: str
    authority: str = ""
    identifier_type: str | tuple[str, ...] = ""
    mapping: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    authorities: Mapping[str, str] = field(default_factory=dict)
    default_region: str | None = None
    time_zone: str = "UTC"
    keep_names: bool = True
    linking: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()
    contact: Mapping[str, Any] = field(default_factory=dict)
    languages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorities", issuers(self.authorities))

    @property
    def codes(self) -> tuple[Mapping[str, Any], ...]:
        """The site's own codes: nothing where it has none, so that they tell mappings apart only where they do."""
        return (self.contact, self.languages) if self.contact or self.languages else ()

    @property
    def identifier_types(self) -> tuple[str, ...]:
        """The types of the source's own identifier, as they are configured; empty where any will do."""
        return tuple(kind for kind in ((self.identifier_type,) if isinstance(self.identifier_type, str) else self.identifier_type) if kind)

    @property
    def own_authority(self) -> str:
        """The canonical name of the issuer of the source's own identifier, or empty."""
        return self.issuer(self.authority) if self.authority else ""

    def issuer(self, name: str) -> str:
        """The canonical name of an issuer; case does not matter."""
        return issuer(self.authorities, name)

    def links(self, authority: str) -> bool:
        """Whether identifiers of this issuer join patients."""
        return bool(self.linking) and authority.casefold() in {name.casefold() for name in self.linking}
