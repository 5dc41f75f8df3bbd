"""The settings as they are written: names, kinds and defaults. What refers to something else is checked in ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, create_model, model_validator

from adapters.address import Address
from adapters.schema import Duration, DurationOrForever, OneOrMore, OneOrSeveral, SettingsGroup
from store.domain.policies import IN_FILE_ONLY, OFFERED, Setting
from sync.config.openid import OpenIdPart, Origin
from sync.config.push import PushPart
from sync.config.scalars import Listen, Network, PayloadKey, Region, TimeZone
from sync.config.settings import SafeguardRule
from sync.config.write_back import WriteBackPart

Fallback = Literal["no_statement", "clear", "reject", "most_restrictive"]


class ApiTlsPart(SettingsGroup):
    """The API's certificate and its key: PEM, as ``file:PATH``."""

    certificate: str
    key: str
    password: str | None = None


class UnknownPart(SettingsGroup):
    """When an API key asks about too many unknown patients."""

    floor: Annotated[int, Field(ge=0)] = 200
    percent: Annotated[float, Field(ge=0, le=100)] = 20
    within: Annotated[Duration, Field(ge=timedelta(seconds=10), le=timedelta(days=1))] = timedelta(minutes=10)


class Api(SettingsGroup):
    """Where senders, staff pages, health and metrics are served."""

    listen: Listen = Address("127.0.0.1", 8080)
    tls: ApiTlsPart | None = None
    trusted_proxies: list[Network] = Field(default_factory=lambda: ["127.0.0.1", "::1"])
    plain: bool = False
    public_url: Origin | None = None
    access_log: bool = False
    connections: Annotated[int, Field(ge=10, le=100_000)] = 512
    connections_per_address: Annotated[int, Field(ge=1)] = 128
    unknown_patients: UnknownPart = UnknownPart()
    session_idle: Duration = timedelta(minutes=30)
    session_longest: Duration = timedelta(hours=12)


class Logs(SettingsGroup):
    """``auto`` is for people on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Retry(SettingsGroup):
    """How often a failed run is tried again before it counts as failed, and how long to wait between."""

    attempts: OneOrMore = 5
    first_wait: Duration = timedelta(seconds=2)
    longest_wait: Duration = timedelta(minutes=5)


class WorkPart(SettingsGroup):
    """How many runs a process does at once, and how long a worker machine may be silent before others take its jobs."""

    parallel: OneOrMore = 4
    silence: Annotated[Duration, Field(ge=timedelta(seconds=3))] = timedelta(seconds=30)


class RejectionsPart(SettingsGroup):
    """How much of what could not be used is kept of each source within an hour (``store.runs.rejection_room``)."""

    rows_per_hour: OneOrMore = 1000
    bytes_per_hour: OneOrMore = 32 * 1024 * 1024


AlertKind = Literal["held_changes", "open_rejections", "replies_to_review", "silent_sources", "dead_write_backs", "disabled_webhooks"]


class AlertsPart(SettingsGroup):
    """Who is told of what waits for a person: addresses as Apprise writes them."""

    to: list[str] = Field(default_factory=list)
    repeat: Annotated[Duration, Field(ge=timedelta(minutes=5), le=timedelta(days=30))] = timedelta(days=1)
    about: list[AlertKind] = Field(default_factory=lambda: list(get_args(AlertKind)))


class PayloadKeysPart(SettingsGroup):
    """The keys that kept payloads are sealed with: new ones with ``current``, the others open what was sealed before."""

    current: str
    keys: dict[str, PayloadKey]

    @model_validator(mode="after")
    def _has_current(self) -> PayloadKeysPart:
        if self.current not in self.keys:
            raise ValueError(f"current is {self.current!r}, which is not in keys; add that key, or name another")
        return self


def _written(settings: Iterable[Setting]) -> dict[str, Any]:
    return {one.name: (one.type, one.default) for one in settings}


DEFAULT_SAFEGUARD = SafeguardRule()
PolicyPart: type[SettingsGroup] = create_model("PolicyPart", __base__=SettingsGroup, **_written(OFFERED))


class SafeguardPart(SettingsGroup):
    """How many patients one run may make more contactable before it is held, and how long a held set waits for a person."""

    floor: Annotated[int, Field(ge=0)] = DEFAULT_SAFEGUARD.floor
    percent: Annotated[float, Field(ge=0, le=100)] = DEFAULT_SAFEGUARD.percent
    expires: Duration = DEFAULT_SAFEGUARD.expires


class EnterprisePart(SettingsGroup):
    """One customer organisation. :data:`ENTERPRISE` adds the policies (``store.domain.policies``)."""

    display_name: str = ""
    sync_contact_preferences: bool = False
    do_not_contact_toggle: bool = False
    default_region: Region | None = None
    time_zone: TimeZone = "UTC"
    authorities: dict[str, list[str]] = Field(default_factory=dict)
    linking_authorities: list[str] = Field(default_factory=list)
    placeholder_identifiers: list[str] = Field(default_factory=list)
    policy: SettingsGroup = SettingsGroup()
    safeguard: SafeguardPart = SafeguardPart()
    opt_in_words: list[str] = Field(default_factory=lambda: ["START", "UNSTOP", "YES"])
    opt_out_words: list[str] = Field(default_factory=list)
    keep_names: bool = True
    keep_birth_dates: bool = True

    @model_validator(mode="after")
    def _words_say_one_thing(self) -> EnterprisePart:
        both = {word.strip().casefold() for word in self.opt_in_words} & {word.strip().casefold() for word in self.opt_out_words}
        if both:
            raise ValueError(f"{', '.join(sorted(both))} is both an opt-in and an opt-out word; remove it from one list")
        return self


ENTERPRISE: type[EnterprisePart] = create_model(
    "ENTERPRISE", __base__=EnterprisePart, policy=(PolicyPart, PolicyPart()), **_written(IN_FILE_ONLY)
)


class PatientIdPart(SettingsGroup):
    """By which identifier a source knows its patients. Several types are several namespaces."""

    authority: str = ""
    type: OneOrSeveral = ()


class SchedulePart(SettingsGroup):
    """When a source is read. Exactly one of ``every`` and ``cron``."""

    every: Duration | None = None
    cron: str | None = None
    jitter: Duration | None = None


ScheduleOrNever = Annotated[SchedulePart | None, BeforeValidator(lambda value: None if value == "never" else value)]
"""``never``: only resync and ingest read the source."""
FreshnessOrNever = Annotated[Duration | None, BeforeValidator(lambda value: None if value == "never" else value)]
"""``never``: the source may be silent for any time."""


ContactMeaning = Literal["cell", "home", "work", "other", "phone", "email", "none"]
RemarkMeaning = Literal["no_calls", "no_texts", "neither", "wrong_number", "noted", "nothing"]


class RulePart(SettingsGroup):
    """How one attribute is read (adapters/mapping/rules.py). What is not written is left to the mapping's own default."""

    from_: str | list[str] | None = Field(default=None, alias="from")
    values: dict[str, str] | None = None
    on_absent: Fallback | None = None
    on_unknown: Fallback | None = None
    aggregate: Literal["most_restrictive", "any_denied", "all_denied", "first"] | None = None
    others: Literal["no_statement", "clear", "denied"] | None = None
    by: Literal["field", "rank", "first"] | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _says_where(self) -> RulePart:
        if self.by in ("rank", "first"):
            if self.model_fields_set - {"by", "source"}:
                raise ValueError(f"'by: {self.by}' takes no other settings; remove them from this rule")
        elif not self.from_:
            raise ValueError("no 'from'; name the field or path to read")
        return self


class ContactPart(SettingsGroup):
    """The site's own codes and remarks beside numbers and addresses, and what it writes where it knows none."""

    use: dict[str, ContactMeaning] = Field(default_factory=dict)
    equipment: dict[str, ContactMeaning] = Field(default_factory=dict)
    remarks: dict[str, RemarkMeaning] = Field(default_factory=dict)
    placeholders: list[str] = Field(default_factory=list)


class SourcePart(SettingsGroup):
    """What every source has; the rest of its settings belong to its adapter (``options``)."""

    enterprise: str
    adapter: str
    display_name: str = ""
    preset: str | None = None
    plain: bool = False
    patient_id: PatientIdPart = PatientIdPart()
    freshness: FreshnessOrNever = None
    masters: list[str] = Field(default_factory=list)
    default_region: Region | None = None
    time_zone: TimeZone | None = None
    schedule: ScheduleOrNever = None
    full_resync: SchedulePart | None = None
    push: PushPart | None = None
    write_back: WriteBackPart | None = None
    contact: ContactPart = ContactPart()
    contact_for_changes: Annotated[str, Field(max_length=200)] = ""
    languages: dict[str, str] = Field(default_factory=dict)
    mapping: dict[str, Any] = Field(default_factory=dict)


class PresetPart(SettingsGroup):
    """What is known of one EMR, as data. ``promises`` are the attributes that its records state, one test fixture each.

    ``adapter`` is the only one that may read this EMR, where another would do harm or get nothing. ``contact`` and ``languages`` are its
    own codes, as in the settings of a source.
    """

    name: str
    title: str
    protocol: Literal["hl7v2", "fhir", "rest", "files"]
    sources: list[str]
    promises: list[str]
    adapter: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    contact: ContactPart = ContactPart()
    languages: dict[str, str] = Field(default_factory=dict)
    mapping: dict[str, RulePart] = Field(default_factory=dict)


class Top(SettingsGroup):
    """The whole file. Enterprises, sources, providers, webhooks and exports are checked one by one, so that each error is found."""

    database: str
    api: Api = Api()
    logs: Logs = Logs()
    retry: Retry = Retry()
    batch_size: OneOrMore = 1000
    batch_bytes: OneOrMore = 8 * 1024 * 1024
    rejections: RejectionsPart = RejectionsPart()
    work: WorkPart = WorkPart()
    payload_keys: PayloadKeysPart | None = None
    keep_payloads: Duration = timedelta(days=90)
    keep_receipts: DurationOrForever = timedelta(days=1461)
    keep_audit_log: DurationOrForever = None
    openid: OpenIdPart | None = None
    alerts: AlertsPart = AlertsPart()
    enterprises: dict[str, Any]
    sources: dict[str, Any] = Field(default_factory=dict)
    providers: dict[str, Any] = Field(default_factory=dict)
    webhooks: dict[str, Any] = Field(default_factory=dict)
    exports: dict[str, Any] = Field(default_factory=dict)
