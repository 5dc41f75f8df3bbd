"""The configuration, read and checked: frozen values that the rest of the program is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.address import Address
from adapters.base import SourceSettings
from store.domain.enterprise import Enterprise
from store.runs.encryption import Sealing
from store.runs.rejection_room import Room
from store.users.openid import OpenId
from store.users.unknown_alarm import Alarm
from sync.config.cron import Cron
from sync.config.problems import ConfigProblem
from sync.logs import Logging

if TYPE_CHECKING:
    from adapters.fhir.notification import PushCredentials
    from adapters.providers.format import ProviderFormat
    from adapters.providers.signatures import ProviderCredentials

LOOPBACK = Address("127.0.0.1", 8080)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something happens: every so often, or by a cron line in a time zone."""

    every: timedelta | None = None
    cron: Cron | None = None
    jitter: timedelta | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ConfiguredWriteBack:
    """How opt-outs are written to a source's EMR. ``attributes``: what is written for each; ``options``: the sink's own settings.

    An opt-out that the EMR does not take within ``give_up_after`` waits for a person.
    """

    sink: str
    attributes: Mapping[str, Any]
    give_up_after: timedelta
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def by_staff(self) -> bool:
        """Whether staff type the opt-outs into the EMR, from the worklist. Then nothing is sent."""
        return self.sink == "worklist"


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """One source as it is run: whose it is, what its adapter is built from, and when it is read.

    ``plain``: the configuration allows it to cross a network unencrypted. ``push``: its EMR also sends notifications, signed so.
    ``write_back``: opt-outs are written to its EMR.
    """

    name: str
    enterprise: str
    settings: SourceSettings
    schedule: Schedule | None = None
    full_resync: Schedule | None = None
    plain: bool = False
    push: PushCredentials | None = None
    write_back: ConfiguredWriteBack | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """A messaging provider whose webhooks are received. ``public_url``: how it reaches this service; empty if it signs no URL.

    ``group``: the lines that it treats as one. ``line_of``: lines by what it calls them.
    """

    name: str
    enterprise: str
    format: ProviderFormat
    credentials: ProviderCredentials
    public_url: str = ""
    group: tuple[str, ...] = ()
    line_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfiguredWebhook:
    """An endpoint of a sender. ``secrets``: each message is signed with every one. ``private``: it may be an address of this network.

    ``ca``: certificates (PEM) to trust in addition to the public ones.
    """

    name: str
    enterprise: str
    url: str
    secrets: tuple[bytes, ...] = field(repr=False)
    ca: str = ""
    private: bool = False


@dataclass(frozen=True, slots=True)
class ConfiguredExport:
    """A suppression list that is written on a schedule. ``delta``: only what changed since the one before.

    ``sftp``: where lists go from ``folder``; ``None`` if somebody fetches them there.
    """

    name: str
    enterprise: str
    folder: str
    schedule: Schedule
    channel: str
    line: str | None
    message_type: str
    delta: bool = False
    sftp: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SafeguardRule:
    """How many patients one run (of a live feed: an hour) may make more contactable: the larger of the two.

    What is held back waits ``expires`` for a person; then it counts as rejected.
    """

    floor: int = 50
    percent: float = 5.0
    expires: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Whom to tell what (``sync.alerting``): addresses, how often again while it lasts, and the kinds."""

    to: tuple[str, ...] = ()
    repeat: timedelta = timedelta(days=1)
    about: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections the API takes. ``per_address`` is for other machines: on this one is a proxy, and everybody behind it.

    ``header_seconds``: from the beginning of a connection, or of a request on it, to the end of its headers.
    """

    connections: int = 512
    per_address: int = 128
    header_seconds: float = 10.0

    def narrowed(self, connections: int) -> ConnectionLimits:
        """The same for a process that may have only so many: of one machine fewer in proportion."""
        fewer = max(1, min(self.per_address, self.per_address * connections // self.connections))
        return replace(self, connections=min(self.connections, connections), per_address=fewer)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a failed run is tried, and the waits between: doubling from the first to the longest."""

    attempts: int = 5
    first_wait: timedelta = timedelta(seconds=2)
    longest_wait: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was configured. Sources are in the order written, which is their precedence."""

    file: str
    database: str
    enterprises: Mapping[str, Enterprise]
    feeds: Mapping[str, ConfiguredSource]
    listen: Address = LOOPBACK
    tls: Mapping[str, str] | None = None
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    plain: bool = False
    public_url: str | None = None
    providers: Mapping[str, ConfiguredProvider] = field(default_factory=dict)
    webhooks: Mapping[str, ConfiguredWebhook] = field(default_factory=dict)
    exports: Mapping[str, ConfiguredExport] = field(default_factory=dict)
    logs: Logging = field(default_factory=Logging)
    access_log: bool = False
    connections: ConnectionLimits = ConnectionLimits()
    unknown: Alarm = field(default_factory=Alarm)
    session_idle: timedelta = timedelta(minutes=30)
    session_longest: timedelta = timedelta(hours=12)
    backoff: Backoff = Backoff()
    batch_size: int = 1000
    batch_bytes: int = 8 * 1024 * 1024
    room: Room = field(default_factory=Room)
    parallel: int = 4
    silence: timedelta = timedelta(seconds=30)
    safeguards: Mapping[str, SafeguardRule] = field(default_factory=dict)
    sealing: Sealing | None = None
    keep_payloads: timedelta = timedelta(days=90)
    keep_receipts: timedelta | None = timedelta(days=1461)
    keep_audit_log: timedelta | None = None
    openid: OpenId | None = None
    alerts: AlertSettings = AlertSettings()
    warnings: tuple[ConfigProblem, ...] = ()
