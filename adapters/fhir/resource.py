"""What is needed to map any resource: where it came from, and the compiled settings of its source. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from adapters.base import SourceSettings, Unmappable
from adapters.fhir import identity, modifiers, reference
from adapters.fhir.decode import NotReadable, encode
from adapters.fhir.modifiers import Understood
from adapters.fhir.options import MapperOptions
from adapters.fhir.reference import ReferenceContext
from adapters.fhir.repeat_keys import RepeatKeys
from adapters.fhir.site_rules import RuleSet
from adapters.mapping import iso_time
from adapters.mapping.partial import Stated
from adapters.mapping.rules import Read
from store import times
from store.preference import Identifier, PatientStatements, Problem
from store.times import Time


class ResourceSource(NamedTuple):
    """Where a resource came from. ``body`` is empty for an entry of a Bundle, which is encoded again if it is rejected.

    ``day``: the ISO date on which it was received. ``undated``: its time, if it has none of its own. ``flaw``: why the payload is legible
    only in part. ``modifiers``: the paths of those in the enclosing Bundle that are not understood.
    """

    locator: str
    received: datetime
    day: str
    body: bytes
    undated: Time
    context: ReferenceContext
    flaw: NotReadable | None
    modifiers: tuple[str, ...] = ()

    def unmappable(self, reason: str, detail: str, resource: Any) -> Unmappable:
        return Unmappable(reason, detail, self.locator, self.body or encode(resource))

    def without_patient(self, reason: str, detail: str, resource: Any) -> Unmappable:
        """The rejection of a record without a patient. If the record is illegible, that is the reason."""
        return self.unmappable(self.flaw.reason if self.flaw else reason, str(self.flaw) if self.flaw else detail, resource)


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """The compiled settings of one source. ``rules`` and ``understood``: by resource type. ``name`` identifies the mapping.

    ``repeat_keys``: what tells a record that came before.
    """

    settings: SourceSettings
    options: MapperOptions
    rules: RuleSet
    understood: Mapping[str, Understood]
    zone: ZoneInfo
    name: str
    repeat_keys: RepeatKeys

    def time(self, value: Any) -> Time | None:
        return iso_time.read(value, self.zone) if isinstance(value, str) else None

    def patient(self, value: Any, resource: dict[str, Any], source: ResourceSource) -> tuple[Identifier, ...]:
        """The identifiers of the patient that a Reference in the resource refers to."""
        return reference.patient(value, self.settings, source.context, resource, source.day)

    def not_understood(self, kind: str, resource: dict[str, Any], source: ResourceSource) -> list[str]:
        """The paths of all modifiers in a resource, and in its Bundle, that are not understood."""
        if source.body and source.flaw is None and not modifiers.may_be_in(source.body):
            return list(source.modifiers)
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
        is_whole: bool = False,
    ) -> PatientStatements:
        """The statements of a resource. ``asserted``: its time and the path of that, if it is not the time of its last change.

        ``is_whole``: the payload states nothing else. If all of it was read too, it is recognized when it comes again.
        """
        effective, evidence_id, version = self._stamp(resource, source, problems, asserted)
        return PatientStatements(
            identifiers,
            stated,
            effective,
            evidence_id,
            version,
            restricted,
            tuple(problems),
            source.locator,
            codes or {},
            self.name,
            repeat_key=self.repeat_keys.of(source.body, source.day) if is_whole and not problems else "",
        )

    def glance(self, resource: dict[str, Any], source: ResourceSource) -> PatientStatements | None:
        """A Patient from its head: whom it is about, when it changed, and its repeat key, but nothing that it states.

        ``None`` if it is about several patients or nobody, or if its time cannot be used.
        """
        (identifiers, others), problems = identity.identifiers(resource, self.settings, source.day), list[Problem]()
        stamp = self._stamp(resource, source, problems)
        if not identifiers or others or problems:
            return None
        return PatientStatements(
            identifiers, {}, *stamp, locator=source.locator, repeat_key=self.repeat_keys.of(source.body, source.day), is_read=False
        )

    def _stamp(
        self, resource: dict[str, Any], source: ResourceSource, problems: list[Problem], asserted: tuple[Time, str] | None = None
    ) -> tuple[Time, str, int]:
        """The time, evidence id and version of a resource."""
        meta = resource.get("meta")
        meta = meta if type(meta) is dict else {}
        kind, version = resource["resourceType"], meta.get("versionId")
        effective, path = asserted or (self._last_updated(kind, meta.get("lastUpdated"), source, problems), f"{kind}.meta.lastUpdated")
        if times.is_ahead(effective, source.received):
            problems.append(Problem("time_in_future", path, "the server's clock or ours is wrong; only refusals apply"))
        number = int(version) if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 16 else 0
        return effective, _evidence(kind, _id(kind, resource), version), number

    def _last_updated(self, kind: str, written: Any, source: ResourceSource, problems: list[Problem]) -> Time:
        """When the resource last changed, by the server; when it was received, if the server's times are not trusted."""
        if written is None or not self.options.trust_last_updated:
            return source.undated
        found = self.time(written)
        if found is None:
            problems.append(Problem("time_unreadable", f"{kind}.meta.lastUpdated", "it is not an instant; only refusals apply"))
            return times.unknown(source.undated.latest)
        return found


def _evidence(kind: str, name: Any, version: Any) -> str:
    """``Patient/<id>/_history/<version>``, as far as known."""
    evidence = f"{kind}/{name}" if isinstance(name, str) and name else kind
    return f"{evidence}/_history/{version}" if isinstance(version, str) and version else evidence


def _id(kind: str, resource: dict[str, Any]) -> Any:
    """The id of a resource. A patient may have several Consents and Flags, so one without an id gets a digest of its content.

    Status and times are not part of it, so that the end of a record is recognized as the same record.
    """
    found = resource.get("id")
    if kind not in ("Consent", "Flag") or (isinstance(found, str) and found):
        return found
    content = {element: resource[element] for element in sorted(resource) if element not in ("id", "meta", "status", "text")}
    return f"#{blake2b(encode(content), digest_size=8).hexdigest()}"
