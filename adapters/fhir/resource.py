"""What every resource is read with: where it came from, and what the settings of its source make of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from adapters.base import SourceSettings, Unmappable
from adapters.fhir import modifiers, reference
from adapters.fhir.decode import NotReadable, encode
from adapters.fhir.modifiers import Understood
from adapters.fhir.options import MapperOptions
from adapters.fhir.reference import ReferenceContext
from adapters.fhir.site_rules import RuleSet
from adapters.mapping import iso_time
from adapters.mapping.partial import Stated
from adapters.mapping.site_rules import Read
from store import times
from store.preference import Identifier, PatientStatements, Problem
from store.times import Time


class ResourceSource(NamedTuple):
    """Where a resource came from; ``body`` is empty for an entry of a Bundle, which is written again when it is rejected.

    ``undated`` is when it was stated if it carries no time of its own. ``flaw`` is why the payload is legible only in part; ``modifiers``
    are the paths of those that stand round the resource, in its Bundle, and are not understood.
    """

    locator: str
    received: datetime
    body: bytes
    undated: Time
    context: ReferenceContext
    flaw: NotReadable | None
    modifiers: tuple[str, ...] = ()

    @property
    def day(self) -> str:
        """The ISO date on which it came."""
        return _iso(self.received.year, self.received.month, self.received.day)

    def unmappable(self, reason: str, detail: str, resource: Any) -> Unmappable:
        return Unmappable(reason, detail, self.locator, self.body or encode(resource))

    def without_patient(self, reason: str, detail: str, resource: Any) -> Unmappable:
        """A record that names no patient; where it is illegible, for that reason."""
        return self.unmappable(self.flaw.reason if self.flaw else reason, str(self.flaw) if self.flaw else detail, resource)


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """The settings of one source, compiled; ``rules`` and ``understood`` by type of resource. ``name`` tells the mapping from others."""

    settings: SourceSettings
    options: MapperOptions
    rules: RuleSet
    understood: Mapping[str, Understood]
    zone: ZoneInfo
    name: str

    def time(self, value: Any) -> Time | None:
        return iso_time.read(value, self.zone) if isinstance(value, str) else None

    def patient(self, value: Any, resource: dict[str, Any], source: ResourceSource) -> tuple[Identifier, ...]:
        """The identifiers of the patient that a Reference of the resource names."""
        return reference.patient(value, self.settings, source.context, resource, source.day)

    def not_understood(self, kind: str, resource: dict[str, Any], source: ResourceSource) -> list[str]:
        """The paths of all modifiers in a resource and round it that are not understood."""
        return [*source.modifiers, *modifiers.not_understood(resource, kind, self.understood[kind])]

    def statements(
        self,
        resource: dict[str, Any],
        identifiers: tuple[Identifier, ...],
        stated: Stated,
        source: ResourceSource,
        problems: list[Problem],
        *,
        restricted: bool = False,
        codes: Read | None = None,
        asserted: tuple[Time, str] | None = None,
    ) -> PatientStatements:
        """The item of a resource. ``asserted`` is its time and where that is written, where it is not the time of its last change."""
        meta = resource.get("meta")
        meta = meta if type(meta) is dict else {}
        kind, version = resource["resourceType"], meta.get("versionId")
        effective, path = asserted or (self._last_updated(kind, meta.get("lastUpdated"), source, problems), f"{kind}.meta.lastUpdated")
        if times.is_ahead(effective, source.received):
            problems.append(Problem("time_in_future", path, "the server's clock or ours is wrong; only refusals apply"))
        return PatientStatements(
            identifiers,
            stated,
            effective,
            _evidence(kind, _id(kind, resource), version),
            int(version) if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 16 else 0,
            restricted,
            tuple(problems),
            source.locator,
            codes or {},
            self.name,
        )

    def _last_updated(self, kind: str, written: Any, source: ResourceSource, problems: list[Problem]) -> Time:
        """When the server says that a resource last changed; when it came, where its times are not trusted."""
        if written is None or not self.options.trust_last_updated:
            return source.undated
        found = self.time(written)
        if found is None:
            problems.append(Problem("time_unreadable", f"{kind}.meta.lastUpdated", "it is not an instant; only refusals apply"))
            return times.unknown(source.undated.latest)
        return found


def _evidence(kind: str, name: Any, version: Any) -> str:
    """``Patient/<id>/_history/<version>``, as far as the resource says."""
    made = f"{kind}/{name}" if isinstance(name, str) and name else kind
    return f"{made}/_history/{version}" if isinstance(version, str) and version else made


def _id(kind: str, resource: dict[str, Any]) -> Any:
    """The id of a resource. Of Consents and Flags a patient has several: one without an id is known by what it is about.

    Its status and when it was written do not count, so that its end is known as its own.
    """
    found = resource.get("id")
    if kind not in ("Consent", "Flag") or (isinstance(found, str) and found):
        return found
    content = {element: resource[element] for element in sorted(resource) if element not in ("id", "meta", "status", "text")}
    return f"#{blake2b(encode(content), digest_size=8).hexdigest()}"


@lru_cache(maxsize=64)
def _iso(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"
