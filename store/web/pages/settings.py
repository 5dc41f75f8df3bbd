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
        Choice("true", "On", "Facesheets show the Do Not Contact toggle. Enterprise users flip it, managers and staff see it."),
        Choice("false", "Off", "Nobody sees a toggle, and nobody sets Do Not Contact here."),
    ),
)
POLICIES = (
    PolicyQuestion(
        "when_stale",
        "When a source has been silent for too long",
        (
            Choice("flag", "Answer and flag", "Senders get an answer from what was last known, marked as stale."),
            Choice("refuse", "Refuse", "Nothing is sent to the source's patients until it is heard again."),
        ),
    ),
    PolicyQuestion(
        "when_unreadable",
        "When newer evidence about a preference cannot be read",
        (
            Choice("refuse", "Do not send", "Nothing that the preference governs is sent until it can be read. This is the safe choice."),
            Choice("flag", "Answer and flag", "Senders get an answer from what was known before, with preference_unreadable as a reason."),
        ),
    ),
    PolicyQuestion(
        "when_preferred_impossible",
        "When an automation cannot use the preferred way of contact",
        (
            Choice("refuse", "Do not send", "The preferred way is the only one. This is the safe choice."),
            Choice("next", "Try the next channel", "Another channel is used, if nothing is against it."),
        ),
    ),
    PolicyQuestion(
        "appointment_may_lift_dnc",
        "When an appointment has its own contact preference",
        (
            Choice("false", "Do Not Contact stays", "An automation is not sent, whatever was chosen for the appointment."),
            Choice("true", "The appointment counts", "What the patient chose for the appointment lifts Do Not Contact for it alone."),
        ),
    ),
    PolicyQuestion(
        "staff_may_record_opt_in",
        "When a patient who opted out of texts asks for them again in person or by phone",
        (
            Choice("false", "Only by text", "A text with START from the patient's phone is the only way back. This is the safe choice."),
            Choice("true", "Staff may record it", "Through the API, for one number that nobody else has, with who recorded it and why."),
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
            "The EMR sets Do Not Contact and what else it states; it is locked here."
            if enterprise.syncs
            else "What the EMR says about contact is kept as evidence and has no effect; it is set here.",
        ),
        Configured(
            "Sources, the most trusted first", ", ".join(names) or "none", "Where two state different phones, the first one counts."
        ),
        Configured("Words that undo a STOP", words, "Texted by the patient. They undo their own STOP, nothing else."),
        Configured(
            "A STOP to one line counts for all lines",
            f"from {day.isoformat()}" if day else "no",
            "From that day on, one STOP ends all texts." if day else "A STOP ends the texts of its line; STOP ALL those of all lines.",
        ),
        Configured(
            "Decisions are kept",
            "yes" if enterprise.receipts else "no",
            "Each answer to a sender can be shown again, with what was known then."
            if enterprise.receipts
            else "Answers to senders are not kept; what was known at any time can be asked all the same.",
        ),
        Configured("Time zone", enterprise.time_zone.replace("_", " "), "Times on the pages are in it."),
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
                "done": "The settings are saved." if visit.query.get("done") else "",
            },
            status,
        )


def _chosen(form: Mapping[str, str]) -> dict[str, Any]:
    """The form's words as the values of settings; what is none of a setting's words goes on as it is, to be refused."""
    values = {name: {_word(choice): choice for choice in CHOICES[name]} for name in form if name in CHOICES}
    return {name: words.get(form[name], form[name]) for name, words in values.items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
