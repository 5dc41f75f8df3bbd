"""Default settings of the enterprise: the "Do Not Contact" setting, and the policies with what each choice does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from store.domain.enterprise import Enterprise
from store.domain.lock import Role
from store.errors import StoreError
from store.patients.preferences import Preferences
from store.patients.settings import CHOICES
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit

ENTERPRISE = frozenset({Role.ENTERPRISE})
TOGGLE = "do_not_contact_toggle"


class Choice(NamedTuple):
    """One of the values of a setting, and what it does. ``value`` as the form sends it."""

    value: str
    title: str
    does: str


class PolicyQuestion(NamedTuple):
    """A setting as a question."""

    name: str
    title: str
    choices: tuple[Choice, ...]


TOGGLE_POLICY = PolicyQuestion(
    TOGGLE,
    "Do Not Contact",
    (
        Choice("true", "On", "Facesheets show the Do Not Contact toggle. Enterprise users can change it; managers and staff can see it."),
        Choice("false", "Off", "The toggle is hidden, and nobody can set Do Not Contact here."),
    ),
)
POLICIES = (
    PolicyQuestion(
        "when_stale",
        "When data from a source is stale",
        (
            Choice("flag", "Answer and flag", "Decisions use the last known data and are marked as stale."),
            Choice("refuse", "Refuse", "Nothing is sent to the source's patients until it sends data again."),
        ),
    ),
    PolicyQuestion(
        "when_unreadable",
        "When newer evidence about a preference cannot be read",
        (
            Choice("refuse", "Do not send", "Messages that depend on it are not sent until it can be read. This is the safe choice."),
            Choice("flag", "Answer and flag", "Decisions use the previous data and include the reason preference_unreadable."),
        ),
    ),
    PolicyQuestion(
        "when_preferred_impossible",
        "When an automation cannot use the preferred contact method",
        (
            Choice("refuse", "Do not send", "Only the preferred method is used. This is the safe choice."),
            Choice("next", "Try the next channel", "Another channel is used if it is permitted."),
        ),
    ),
    PolicyQuestion(
        "appointment_may_lift_dnc",
        "When an appointment has its own contact preference",
        (
            Choice("false", "Do Not Contact applies", "Automations are not sent, regardless of the choice for the appointment."),
            Choice("true", "The appointment takes priority", "The choice overrides Do Not Contact, for this appointment only."),
        ),
    ),
    PolicyQuestion(
        "staff_may_record_opt_in",
        "When a patient who opted out of texts asks in person or by phone to get them again",
        (
            Choice("false", "Only by text", "Only a text with START from the patient's phone opts them in again. This is the safe choice."),
            Choice("true", "Staff may record it", "Through the API, for one number that no other patient has, with user and reason."),
        ),
    ),
)


class Configured(NamedTuple):
    """What the configuration file settles, and what that means."""

    title: str
    value: str
    does: str


def configured(enterprise: Enterprise) -> list[Configured]:
    """What people of the enterprise should know and cannot change here."""
    names = [source.display_name or source.name for source in enterprise.sources]
    day, words = enterprise.revoke_all_from, ", ".join(sorted(enterprise.opt_in_words))
    return [
        Configured(
            "Contact preferences are synced",
            "yes" if enterprise.syncs else "no",
            "The EMR sets Do Not Contact and the other preferences it sends. They are locked here."
            if enterprise.syncs
            else "Contact preferences from the EMR are stored as evidence but have no effect. They are set here.",
        ),
        Configured(
            "Sources, most trusted first", ", ".join(names) or "none", "If two sources send different phones, the first source wins."
        ),
        Configured("Words that reverse a STOP", words, "Texted by the patient. They reverse only the patient's own STOP."),
        Configured(
            "A STOP to one line applies to all lines",
            f"from {day.isoformat()}" if day else "no",
            "From that day on, one STOP ends texts from all lines." if day else "A STOP ends texts from its line; STOP ALL from all lines.",
        ),
        Configured(
            "Decisions are stored",
            "yes" if enterprise.receipts else "no",
            "Each decision can be shown again with the data known at the time."
            if enterprise.receipts
            else "Decisions are not stored. The data known at any time can still be queried.",
        ),
        Configured("Time zone", enterprise.time_zone.replace("_", " "), "Used for all times on these pages."),
    ]


class DefaultSettings:
    """The settings page. ``changed`` is called after each change."""

    def __init__(self, store: Preferences, changed: Callable[[], None]) -> None:
        self.store, self.changed = store, changed

    def pages(self) -> Iterable[Page]:
        """The page and its form."""
        return Page("GET", "/settings", ENTERPRISE, self.show), Page("POST", "/settings", ENTERPRISE, self.change)

    def show(self, visit: Visit) -> Shown:
        """The settings in force."""
        return self._shown(visit)

    def change(self, visit: Visit) -> Shown | Goto:
        """What the form chose."""
        try:
            self.store.settings.put(visit.enterprise, _chosen(visit.form), actor=visit.actor, now=visit.now)
        except StoreError as error:
            problem = problem_of(error)
            return self._shown(visit, problem.detail, int(problem.status))
        self.changed()
        return Goto("/settings?done=1")

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        enterprise = self.store.enterprises[visit.enterprise]
        chosen = {name: _word(value) for name, value in asdict(self.store.settings.get(visit.enterprise)).items()}
        return Shown(
            "settings.html",
            {
                "title": "Default settings",
                "syncs": enterprise.locks,
                "sources": [one.display_name or one.name for one in enterprise.sources],
                "toggle": TOGGLE_POLICY,
                "policies": POLICIES,
                "chosen": chosen,
                "configured": configured(enterprise),
                "refusal": refusal,
                "done": "Settings saved." if visit.query.get("done") else "",
            },
            status,
        )


def _chosen(form: Mapping[str, str]) -> dict[str, Any]:
    """The form's words as the values of settings; what is none of a setting's words goes on as it is, to be refused."""
    values = {name: {_word(choice): choice for choice in CHOICES[name]} for name in form if name in CHOICES}
    return {name: words.get(form[name], form[name]) for name, words in values.items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
