"""The contract of an adapter: read an EMR and express its data in the vocabulary of ``store.preference``.

An adapter that polls implements :class:`Adapter`. An adapter that receives implements :class:`Listener`. Both deliver :data:`Item`
values, and neither knows the store. The only error is :class:`AdapterError`. ``permanent`` means that a person must act (credentials,
configuration, mapping), so the run stops. Any other error may be retried. A payload that cannot be used is not an error but an
:class:`Unmappable` item: it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from store import times
from store.preference import Codes, Identifier, PatientMerge, PatientStatements, Problem, Statement, issuer, issuers
from store.times import Time

T = TypeVar("T")


class Unmappable(NamedTuple):
    """A payload that cannot be used. ``detail`` says what to fix and never quotes the payload; ``payload`` is stored separately."""

    reason: str
    detail: str
    locator: str
    payload: bytes = b""
    path: str = ""


class Filtered(NamedTuple):
    """A valid payload that is not relevant here (another event, another resource)."""

    reason: str
    locator: str


MOST_ISSUERS = 1_000
"""As many names of issuers are kept for each source: a payload may contain any."""

Item = PatientStatements | PatientMerge | Filtered | Unmappable


class Payload(NamedTuple):
    """One message or resource as received. ``locator`` identifies it without naming a patient.

    ``written`` is the modification time of its file, for payloads read from files. ``refused`` (reason, detail) is set for a payload
    that was not received completely; ``body`` is then the part that was kept.
    """

    body: bytes
    locator: str
    received: datetime
    written: datetime | None = None
    refused: tuple[str, str] | None = None

    @property
    def undated(self) -> datetime:
        """The latest time at which a payload without a timestamp can have been stated. Reading a file again gives the same time."""
        return self.received if self.written is None else min(self.written, self.received)

    @property
    def stated(self) -> Time:
        """When a payload without a timestamp was stated: a server's response is current, a file is older than its modification time."""
        return times.at(self.received) if self.written is None else times.unknown(self.undated)


class AdapterError(Exception):
    """The EMR or the connection to it failed. ``retry_after`` is in seconds, if the EMR gave a time."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.permanent, self.retry_after = permanent, retry_after
        super().__init__(message)


class Unanswered(AdapterError):
    """What was written got no answer: the EMR may have it."""


def all_written(writes: Iterable[Callable[[], bool]]) -> bool:
    """Writes one after the other; whether all of them changed something. :class:`Unanswered` if one fails after another did."""
    changed: list[bool] = []
    for write in writes:
        try:
            changed.append(write())
        except AdapterError as error:
            if not any(changed):
                raise
            raise Unanswered(str(error), permanent=error.permanent, retry_after=error.retry_after) from None
    return all(changed)


class IncompleteFetch(AdapterError):
    """The response is incomplete: fewer records than announced, an error among them, or pages that never end.

    The records received were delivered and are used. The cursor was not delivered, so the same records are read again: once in this
    run, then by the next run. With ``again`` false only the next run reads them, because the request is too expensive to repeat at once.
    """

    def __init__(self, message: str, *, again: bool = True) -> None:
        self.again = again
        super().__init__(message)


class MissingData(IncompleteFetch):
    """Something that should have been delivered is missing or was rejected. Reading again does not help: it must be delivered again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, again=False)


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to read: everything after ``cursor`` (opaque to everyone but the adapter), or everything if it is ``None``.

    ``since`` overrides the cursor's time. ``patient`` reads one patient by the source's own identifier value; ``resource`` by the id of
    their FHIR resource (only adapters of FHIR servers). The result of a ``dry`` read
    is discarded, so nothing may be acknowledged to an EMR that marks records as delivered (athenahealth ``/patients/changed``, see
    docs.athenahealth.com: reading marks them as processed unless ``leaveunprocessed`` is true).
    """

    cursor: str | None = None
    since: datetime | None = None
    full: bool = False
    patient: str | None = None
    resource: str | None = None
    dry: bool = False


class Wait(NamedTuple):
    """The EMR is not ready. ``seconds`` is the time until the next request; ``what`` describes the wait and names no patient."""

    seconds: float
    what: str


class Batch(NamedTuple):
    """Items that are committed together. ``cursor`` may be saved once they are committed; ``None`` keeps the previous one.

    An item may be a :class:`Payload` that the adapter did not read: whoever commits the batch reads or recognizes it.
    ``payloads`` are the raw bytes of each item (same length), stored only for rejected items.
    ``total`` is the number of items in the whole read, if the EMR reports it.
    A batch with ``wait`` contains only a cursor: the EMR has no data yet. The next batch is requested after the wait, or by a later run
    that continues from the cursor. ``note`` is one line for the page of the run; it names no patient.
    ``everybody_since``: the batch ends a list of all patients of the source, all of whom were delivered since that time.
    """

    items: Sequence[Item | Payload]
    cursor: str | None = None
    payloads: Sequence[bytes] = ()
    total: int | None = None
    wait: Wait | None = None
    note: str = ""
    everybody_since: datetime | None = None


def in_groups(stream: Iterable[T], count: int, size: int, size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Groups of at most ``count`` elements and ``size`` bytes. A larger element is a group of its own."""
    group: list[T] = []
    room = size
    for element in stream:
        needed = size_of(element)
        if group and (len(group) == count or needed > room):
            yield group
            group, room = [], size
        group.append(element)
        room -= needed
    if group:
        yield group


class Finding(NamedTuple):
    """One line of ``check SOURCE``: what was checked, whether it succeeded, and what it means for the sync."""

    what: str
    ok: bool
    detail: str


class Mapper(Protocol):
    """Maps one payload to items. Pure. Bad input never raises: it becomes an :class:`Unmappable`.

    ``mapping`` is the fingerprint of its rules. ``reread`` applies the rules to codes read earlier (``store.domain.source_codes``).
    """

    mapping: str

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None: ...

    def read(self, payload: Payload) -> list[Item]: ...

    def explain(self, payload: Payload) -> Explanation: ...


class UnknownCode(NamedTuple):
    """A code in a payload that its source does not know yet, and where its configuration would explain it.

    ``setting``: ``mapping``, ``languages``, ``contact.use``, ``contact.equipment``, ``patient_id``, ``consent.category`` or ``flag.codes``.
    ``path``: as a rule names it in ``from``. ``attribute``: that of the rule whose table lacks the code; empty if no rule reads the path.
    ``code`` is empty if the payload has a value there that is no code, or repeats what the payload says about the person.
    """

    setting: str
    path: str
    code: str
    attribute: str = ""


@runtime_checkable
class Recognizes(Protocol):
    """A mapper that can tell a payload that came before, byte for byte, without mapping it."""

    def glance(self, payload: Payload) -> PatientStatements | None:
        """Whom a payload is about, its time and its ``repeat_key``, not ``is_read``; ``None`` if only ``read`` can tell.

        If ``read`` gave an item of the same ``repeat_key`` before, it would give one that states the same now, and no other item.
        """
        ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one payload states, for the person who writes the mapping.

    ``stated``: (attribute, value, path) rows. ``unused``: (path, shape) of every value that nothing reads. Only the engineer's screen shows
    it, so it may contain values. ``unmapped``: (path, code) pairs that are not in a ``values`` table. ``unknown``: these, and the codes
    that other settings would explain, or a rule for a field that nothing reads.
    """

    items: Sequence[Item]
    stated: Sequence[tuple[str, Any, str]] = ()
    unused: Sequence[tuple[str, str]] = ()
    unmapped: Sequence[tuple[str, str]] = ()
    unknown: Sequence[UnknownCode] = ()


class Adapter(Protocol):
    """An EMR that is polled."""

    mapper: Mapper

    def fetch(self, request: Fetch) -> Iterator[Batch]: ...

    def check(self) -> Iterator[Finding]: ...

    def payloads(self, path: Path) -> Iterator[Payload]:
        """The messages or resources in one file, streamed; every byte of the file is part of a payload."""
        ...


class IngestResult(NamedTuple):
    """The outcome of one received payload: ``applied | unchanged | stale | merged | filtered | rejected``, and why.

    ``problems`` are the parts that could not be used when the rest was. ``undecided`` counts the attributes for which it is unknown
    whether the payload is newer than the value in force. ``patient_id``: the store's number of its patient, if one is known.
    """

    outcome: str
    reason: str = ""
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    undecided: int = 0
    patient_id: int | None = None


class Refusal(NamedTuple):
    """A patient's opt-out that their EMR is to know. ``identifiers``: those by which the EMR knows the patient.

    ``key`` is the same whenever the opt-out is written again. ``at``: when the patient opted out.
    """

    key: str
    attribute: str
    identifiers: tuple[Identifier, ...]
    at: datetime


class Sink(Protocol):
    """Writes opt-outs to an EMR, at least once each. There is no way to write a permission."""

    def write(self, refusal: Refusal) -> bool:
        """Returns when the EMR has it: whether it was written. ``False``: the EMR denied already, which may be its own denial.

        Raises :class:`AdapterError`; ``permanent`` means that trying again does not help.
        """


Ingest = Callable[[Sequence[Payload]], Sequence[IngestResult]]
"""Maps, applies and **commits** a group of received payloads; the results are in the order of the payloads."""


@runtime_checkable
class Listener(Protocol):
    """An adapter that receives data from an EMR. ``serve`` returns after ``stop``; it answers a payload only after ``ingest`` returned."""

    mapper: Mapper

    def serve(self, ingest: Ingest) -> None: ...

    def stop(self) -> None: ...

    def check(self) -> Iterator[Finding]: ...

    def payloads(self, path: Path) -> Iterator[Payload]: ...


@runtime_checkable
class ReportsPeerErrors(Protocol):
    """A listener that reports events without a payload: invalid frames, refused connections (reason), messages answered AR (count)."""

    on_frame_errors: Callable[[Sequence[Unmappable]], None] | None
    on_refused: Callable[[str], None]
    on_unavailable: Callable[[int], None]


@runtime_checkable
class Adopts(Protocol):
    """A listener that can take over changed settings while it keeps its connections."""

    def adopt(self, settings: SourceSettings) -> bool:
        """Uses these settings from the next group of messages on. ``False`` if they need a new listener; then nothing is changed."""


@runtime_checkable
class AcceptsConnections(Protocol):
    """A listener that accepts connections: the maximum number of open connections, and a way to lower it."""

    @property
    def connections(self) -> int: ...

    def limit_connections(self, connections: int) -> None: ...


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What an adapter is built from: one source's validated configuration, already joined with its preset (named by ``preset``).

    ``options`` are the adapter's own settings (``base_url``, ``auth``, ``listen`` …) as plain data with secrets resolved.
    ``mapping`` is attribute -> rule as in the configuration (``from``, ``values``, ``on_absent``, ``on_unknown``).
    ``authorities`` maps every alias of an assigning authority to its canonical name (folded, see :meth:`issuer`).
    ``authority`` and ``identifier_type`` (one or several) select the source's own patient identifier. ``linking`` are
    the authorities whose identifiers link patients of several sources. ``placeholders`` are values that identify nobody, in addition to
    ``adapters/mapping/placeholder_identifiers.txt``. ``contact`` (``use``, ``equipment``, ``remarks``, ``placeholders``) and ``languages``
    are the site's own codes (``adapters.mapping.contact_tables``, ``adapters.mapping.language``).
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
    keep_birth_dates: bool = True
    linking: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()
    contact: Mapping[str, Any] = field(default_factory=dict)
    languages: Mapping[str, str] = field(default_factory=dict)
    _issuers: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _types: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorities", issuers(self.authorities))
        object.__setattr__(self, "_types", {kind.casefold(): kind for kind in reversed(self.identifier_types)})

    @property
    def codes(self) -> tuple[Mapping[str, Any], ...]:
        """The site's own codes, empty if it has none: then they do not change the fingerprint of the mapping."""
        return (self.contact, self.languages) if self.contact or self.languages else ()

    @property
    def identifier_types(self) -> tuple[str, ...]:
        """The configured types of the source's own identifier; empty if any type is accepted."""
        return tuple(kind for kind in ((self.identifier_type,) if isinstance(self.identifier_type, str) else self.identifier_type) if kind)

    def configured_type(self, kind: str) -> str | None:
        """The configured type of the source's own identifier that is this one, without regard to case."""
        return self._types.get(kind.casefold())

    def takes_type(self, kind: str) -> bool:
        """Whether the source's own identifier may have this type."""
        return not self._types or kind.casefold() in self._types

    @property
    def own_authority(self) -> str:
        """The canonical name of the assigning authority of the source's own identifier, or empty."""
        return self.issuer(self.authority) if self.authority else ""

    def issuer(self, name: str) -> str:
        """The canonical name of an assigning authority; case does not matter. A source names few, so each is looked for once."""
        known = self._issuers.get(name)
        if known is None:
            known = issuer(self.authorities, name)
            if len(self._issuers) < MOST_ISSUERS:
                self._issuers[name] = known
        return known

    def links(self, authority: str) -> bool:
        """Whether identifiers of this authority link patients of several sources."""
        return bool(self.linking) and authority.casefold() in {name.casefold() for name in self.linking}
