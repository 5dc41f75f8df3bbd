"""The policies of an enterprise, in one catalogue. Configuration, settings page, API, documentation and rules all read it. Pure.

A new policy is one field of :class:`Policy`, and the rule that reads it. If a choice permits more contact with only some patients,
``store.patients.policy_effect`` counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

ALL, CATEGORY_ONLY, LINE_ONLY = "all", "category", "line"
"""How far a STOP reaches (``store.domain.revocation``)."""


class Choice(NamedTuple):
    """A value of a policy. ``effect``: what it permits or stops, in one line. ``permits``: it permits more contact than the others.

    A type as ``value`` means any value of that type; ``{}`` in ``title`` is replaced by the value.
    """

    value: Any
    title: str
    effect: str
    permits: bool = False

    @property
    def text(self) -> str:
        """The value as text for people."""
        return as_text(self.value)


class Setting(NamedTuple):
    """The definition of a policy. ``offered``: enterprise users can set it too, not only the configuration file.

    The field of :class:`Policy` provides the name, the type of the values as Pydantic and msgspec read it, and the default.
    """

    title: str
    choices: tuple[Choice, ...]
    offered: bool = True
    name: str = ""
    type: Any = None
    default: Any = None

    def takes(self, value: object) -> bool:
        """Whether the value is one of the choices."""
        return any(value == one.value and isinstance(value, type(one.value)) for one in self.choices)

    def read(self, text: str) -> object:
        """The value of a form's text; the text itself if it is none of the choices."""
        return next((one.value for one in self.choices if one.text == text), text)

    def choice(self, value: object) -> Choice:
        """The choice for a valid value."""
        return next(one for one in self.choices if one.value == value or (isinstance(one.value, type) and isinstance(value, one.value)))


def as_text(value: object) -> str:
    """A value as text for people."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Policy:
    """The policies of an enterprise. Those not offered to its users are set beside the ``policy`` group of the configuration."""

    when_stale: Annotated[
        str,
        Setting(
            "When data from a source is stale",
            (
                Choice("flag", "Answer and flag", "Decisions use the last known data and are marked as stale.", permits=True),
                Choice("refuse", "Refuse", "Nothing is sent to the source's patients until it sends data again."),
            ),
        ),
    ] = "flag"
    when_unreadable: Annotated[
        str,
        Setting(
            "When newer evidence about a preference cannot be read",
            (
                Choice("refuse", "Do not send", "Messages that depend on it are not sent until it can be read. This is the safe choice."),
                Choice(
                    "flag", "Answer and flag", "Decisions use the previous data and include the reason preference_unreadable.", permits=True
                ),
            ),
        ),
    ] = "refuse"
    when_preferred_impossible: Annotated[
        str,
        Setting(
            "When an automation cannot use the preferred contact method",
            (
                Choice("refuse", "Do not send", "Only the preferred method is used. This is the safe choice."),
                Choice("next", "Try the next channel", "Another channel is used if it is permitted.", permits=True),
            ),
        ),
    ] = "refuse"
    appointment_may_lift_dnc: Annotated[
        bool,
        Setting(
            "When an appointment has its own contact preference",
            (
                Choice(False, "Do Not Contact applies", "Automations are not sent, regardless of the choice for the appointment."),
                Choice(
                    True, "The appointment takes priority", "The choice overrides Do Not Contact, for this appointment only.", permits=True
                ),
            ),
        ),
    ] = False
    staff_may_record_opt_in: Annotated[
        bool,
        Setting(
            "When a patient who opted out of texts asks in person or by phone to get them again",
            (
                Choice(
                    False, "Only by text", "Only a text with START from the patient's phone opts them in again. This is the safe choice."
                ),
                Choice(
                    True,
                    "Staff may record it",
                    "Through the API, for one number that no other patient has, with user and reason.",
                    permits=True,
                ),
            ),
        ),
    ] = False
    search: Annotated[
        str,
        Setting(
            "How users may look up patients",
            (
                Choice("all", "Name, birth date, phone or identifier", "Parts of a name are enough. Each search is in the audit log."),
                Choice("identifiers", "Identifier only", "A complete identifier is needed. Search by name, birth date or phone is off."),
            ),
        ),
    ] = "all"
    revocation_scope: Annotated[
        str,
        Setting(
            "What a STOP ends",
            (
                Choice(ALL, "all texts", "A STOP ends texts from all lines. This is the safe choice."),
                Choice(
                    CATEGORY_ONLY,
                    "texts of its category",
                    "A STOP in reply to marketing ends all marketing; in reply to another message, messages on its topic. If it is unknown "
                    "what it answered, it ends texts from all lines.",
                    permits=True,
                ),
                Choice(
                    LINE_ONLY,
                    "texts from its line",
                    "A STOP ends texts from its line, and all marketing if it answered marketing. STOP ALL ends texts from all lines.",
                    permits=True,
                ),
            ),
            offered=False,
        ),
    ] = ALL
    revocation_scope_from: Annotated[
        date | None,
        Setting(
            "The first day on which a STOP may end less than all texts",
            (
                Choice(None, "no first day", "`revocation_scope` applies to earlier replies too.", permits=True),
                Choice(date, "{}", "A STOP before that day ends texts from all lines."),
            ),
            offered=False,
        ),
    ] = None
    revocation_scope_until: Annotated[
        date | None,
        Setting(
            "The day from which a STOP ends all texts",
            (
                Choice(None, "no last day", "`revocation_scope` applies without an end.", permits=True),
                Choice(date, "{}", "A STOP on or after that day ends texts from all lines."),
            ),
            offered=False,
        ),
    ] = None
    """Both days begin in the enterprise's time zone."""
    decision_receipts: Annotated[
        bool,
        Setting(
            "Decisions are stored",
            (
                Choice(False, "no", "Decisions are not stored. The data known at any time can still be queried."),
                Choice(True, "yes", "Each decision can be shown again with the data known at the time."),
            ),
            offered=False,
        ),
    ] = False
    """With the request (``store.audit.receipts``)."""


def _setting(name: str, default: Any, annotation: Any) -> Setting:
    kind, setting = get_args(annotation)
    if kind is str:
        kind = Literal.__getitem__(tuple(one.value for one in setting.choices))
    found: Setting = setting._replace(name=name, type=kind, default=default)
    return found


HINTS = get_type_hints(Policy, include_extras=True)
POLICIES = tuple(_setting(one.name, one.default, HINTS[one.name]) for one in fields(Policy))
OFFERED = tuple(one for one in POLICIES if one.offered)
IN_FILE_ONLY = tuple(one for one in POLICIES if not one.offered)
DEFAULTS = Policy()

DO_NOT_CONTACT_TOGGLE = Setting(
    "Do Not Contact",
    (
        Choice(True, "On", "Facesheets show the Do Not Contact toggle. Enterprise users can change it; managers and staff can see it."),
        Choice(False, "Off", "The toggle is hidden, and nobody can set Do Not Contact here."),
    ),
    name="do_not_contact_toggle",
    type=bool,
    default=False,
)
SETTINGS = {one.name: one for one in (DO_NOT_CONTACT_TOGGLE, *OFFERED)}
"""What enterprise users may change, by name."""
